"""Chunks of Blosc 1: their headers, and what is decoded of them."""

from __future__ import annotations

import contextlib

from caterva2.errors import SourceCorrupt
from caterva2.frames import blosc1

MOST = 2**20


def one(data: bytes) -> None:
    with contextlib.suppress(SourceCorrupt):
        nbytes = blosc1.header(data).nbytes
        if nbytes <= MOST:
            blosc1.decompress(data, nbytes)
