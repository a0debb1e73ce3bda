"""The special roots, which are kept at the subscriber itself: files, and how they change."""
