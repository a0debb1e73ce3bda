"""The client's own cache, against real services."""
