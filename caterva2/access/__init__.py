"""The subscriber as one user may use it: the access policy, applied once."""
