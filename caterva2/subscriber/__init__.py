"""The subscriber: follows roots, fetches missing chunks and reads through the cache."""
