"""The example root and the example HDF5 file."""
