"""Browsing of catalogs: one level of a root, and search in it; without I/O."""
