"""Mirrors: a subscriber serves roots again, to readers of its broker or at another site."""
