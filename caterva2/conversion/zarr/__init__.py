"""Conversion between Zarr stores and directories of Blosc2 arrays."""
