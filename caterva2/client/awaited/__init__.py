"""Handles for event loops: methods that send a request are coroutines."""
