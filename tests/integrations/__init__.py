"""Remote data read by other libraries."""
