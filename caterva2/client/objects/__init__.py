"""Handles of what a subscriber serves: roots, directories, files, arrays and their fields."""
