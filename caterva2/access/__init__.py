"""The subscriber as one user sees it: the access policy, applied once."""
