"""Commands of ``cat2cli``: each takes a client and options, and returns its output."""
