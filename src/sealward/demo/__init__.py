"""The whole system on one machine: the same processes, started on loopback."""
