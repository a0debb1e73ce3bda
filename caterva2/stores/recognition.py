"""How stores are recognised: Zarr's, trees and sparse frames.

This module loads nothing that reads one.
"""

from __future__ import annotations

import os

from caterva2.formats.blosc2_trees import MARKS, SPARSE

METADATA = ("zarr.json", ".zgroup", ".zarray")
"""Names of which a store, group or array of Zarr has one."""


def is_zarr(directory: str | os.PathLike[str]) -> bool:
    """Return whether a directory is a Zarr store, group or array."""
    return any(os.path.lexists(os.path.join(directory, name)) for name in METADATA)


def is_tree(directory: str | os.PathLike[str]) -> bool:
    """Return whether a directory is a tree of python-blosc2."""
    return any(os.path.lexists(os.path.join(directory, name)) for name in MARKS)


def is_sparse(directory: str | os.PathLike[str]) -> bool:
    """Return whether a directory is a sparse frame of Blosc2."""
    return os.path.lexists(os.path.join(directory, SPARSE))
