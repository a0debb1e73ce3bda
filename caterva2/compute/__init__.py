"""Datasets that are computed when they are read: expressions, what they mean, their values."""
