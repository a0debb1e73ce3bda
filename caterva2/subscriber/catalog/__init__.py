"""A subscriber's copy of a root's catalog: kept in step, saved, and requested page by page."""
