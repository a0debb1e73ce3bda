"""The tab with the values of a dataset: a window of one plane, as a table."""
