"""Indexing and dtypes of numpy as data: selections, index arrays, fields. No I/O."""
