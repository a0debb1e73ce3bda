"""Published arrays as hierarchies of Zarr, versions 3 and 2."""
