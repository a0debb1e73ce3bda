"""The log of a service: its lines, and the records that are kept apart from it."""
