"""Computations of a subscriber that a Dask cluster does: the subscriber's end, and a worker's."""
