"""The Plot tab: which plots fit an array, their state in the URL, and what they will read."""
