"""numpy's indexing and dtypes as data; no I/O."""
