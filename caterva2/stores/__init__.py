"""Sources over stores of objects: directories, zip files, buckets; Zarr's and plain ones."""
