"""Chunks that are made of values, and the most recently used of them."""

from __future__ import annotations

import threading
from typing import Any

import numpy.typing as npt

from caterva2.frames import packing
from caterva2.limits import DEFAULTS
from caterva2.runtime.lru import Lru
from caterva2.sources.layout import Layout


def pack(values: npt.NDArray[Any], layout: Layout) -> bytes:
    """Compress the values of whole blocks into a raw chunk."""
    return packing.pack(values, layout.blocks, layout.cparams)


class Conversions:
    """The most recently used converted chunks; may be used from several threads.

    Parameters
    ----------
    max_bytes : int, optional
    """

    def __init__(self, max_bytes: int = DEFAULTS.publisher.converted_bytes) -> None:
        self._kept: Lru[tuple[str, int], bytes] = Lru(max_bytes, len)
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Bytes of all chunks that are kept."""
        return self._kept.size

    def get(self, key: tuple[str, int]) -> bytes | None:
        """Return the chunk of an etag and a chunk number."""
        return self._kept.get(key)

    def put(self, key: tuple[str, int], chunk: bytes) -> None:
        """Keep a chunk, unless it alone exceeds the bound."""
        with self._lock:
            self._kept.put(key, chunk)
