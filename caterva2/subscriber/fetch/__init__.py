"""Fetching of missing chunks and blocks from publishers."""
