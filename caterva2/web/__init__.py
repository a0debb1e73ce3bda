"""The Starlette application: the REST interface over a `Reader`."""
