"""Conversion between HDF5 files and directories of Blosc2 arrays."""
