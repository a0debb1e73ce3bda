"""Expressions over remote arrays: built here, computed by the subscriber."""
