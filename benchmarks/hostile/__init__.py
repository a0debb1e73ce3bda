"""What strangers may send: attacks on services that run, each by a process of its own."""
