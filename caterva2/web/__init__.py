"""The Starlette application: the REST interface and the pages over a `Reader`."""
