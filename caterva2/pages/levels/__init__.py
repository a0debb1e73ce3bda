"""Pages of the levels of a root: directories, their tree, and the datasets in them."""
