"""Import of HDF5 files into directories of Blosc2 arrays, and export back."""
