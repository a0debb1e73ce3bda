"""Whole hierarchies moved between HDF5 files and directories of Blosc2 arrays."""
