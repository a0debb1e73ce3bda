"""Formats of others as data: Zarr's metadata, dtypes and codecs, without any I/O."""
