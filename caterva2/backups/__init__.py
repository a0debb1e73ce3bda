"""Copies of state directories: made while a service runs, verified, and put back."""
