"""Sources of data for publishers: a module or folder for each implementation of `Source`."""
