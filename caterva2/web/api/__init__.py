"""The routes of the REST interface, a module a topic."""
