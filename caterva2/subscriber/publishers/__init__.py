"""The publishers of the roots: connections to them, and which of them are there."""
