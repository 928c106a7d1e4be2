"""The command line: one function a command, and the only place that starts things."""
