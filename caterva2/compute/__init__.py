"""Expressions: syntax, stored form, planning and evaluation; no I/O."""
