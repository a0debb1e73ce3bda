"""Computed datasets: expressions opened with the rights of their reader."""
