"""The commands of ``cat2cli``."""
