"""Which keys the origins of roots sign with, and whether a catalog is what one of them signed."""
