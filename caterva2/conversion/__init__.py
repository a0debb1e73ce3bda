"""Conversion between HDF5 files or Zarr stores and directories of Blosc2 arrays."""
