"""ASGI middleware: sessions, security headers and the quick path for small slices."""
