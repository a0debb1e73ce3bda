"""The superblock of an HDF5 file and its object headers, as they are read without the library."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from caterva2.hdf5 import superblock
from caterva2.hdf5.headers import Headers
from tests.fuzz.targets import _files

ADDRESSES = 2
"""Bytes at the end of the data that say where a header is."""
_PLIST = SimpleNamespace(get_userblock=lambda: 0, get_sizes=lambda: (8, 8))
FILE: Any = SimpleNamespace(
    id=SimpleNamespace(get_create_plist=lambda: _PLIST), swmr_mode=False
)  # fmt: skip


def one(data: bytes) -> None:
    with _files.written("a.h5", data) as path, path.open("rb") as file:
        superblock.read(file.fileno())
        headers = Headers(file.fileno(), FILE)
        for address in (0, int.from_bytes(data[-ADDRESSES:], "little")):
            found = headers.read(address)
            if found is not None:
                headers.note(found, np.dtype("<i8"))
                headers.dtype(found)
