"""Sparse frames of Blosc2: directories with a file for each chunk."""
