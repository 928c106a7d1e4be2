"""Where the gateway's readings come from: sensors, files, a simulator."""
