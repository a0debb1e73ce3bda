"""A source in a process of its own: libraries that read the files of others may crash or hang."""
