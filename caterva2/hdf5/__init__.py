"""An HDF5 file as a source."""
