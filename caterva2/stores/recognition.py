"""How a Zarr store is recognised. This module loads nothing that reads one."""

from __future__ import annotations

import os

METADATA = ("zarr.json", ".zgroup", ".zarray")
"""Names of which a store, group or array has one."""


def is_store(directory: str) -> bool:
    """Return whether a directory is a Zarr store, group or array."""
    return any(os.path.lexists(f"{directory}/{name}") for name in METADATA)
