"""The same handles for event loops: what takes a request is awaited."""
