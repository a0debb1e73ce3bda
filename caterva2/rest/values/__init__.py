"""Values of arrays for programs without Blosc2: dtypes as JSON, the values format, files."""
