"""A directory as a source."""
