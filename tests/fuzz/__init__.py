"""Fuzzing of what reads bytes of others: ``bin/fuzz [TARGET ...]``."""
