"""User accounts, passwords, sessions, and the access policy."""
