"""A service under a supervisor such as systemd: notices of its state, beats, passed sockets."""
