"""Chunks of which only some blocks were fetched, held in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from caterva2 import limits
from caterva2.frames import blocks

BLOCK_COST = 128
"""Bytes of memory that a block takes beside its own."""


@dataclass(slots=True)
class _Part:
    """What is held of one chunk."""

    header: bytes
    blocks: dict[int, bytes] = field(default_factory=dict)
    fetches: int = 0

    @property
    def size(self) -> int:
        return sum(map(len, self.blocks.values())) + BLOCK_COST * (1 + len(self.blocks))


class Parts:
    """A bounded store of parts of chunks, the least recently used chunk going first.

    All methods may be called from any thread.

    Parameters
    ----------
    most : int
        Bytes of all parts together.
    """

    def __init__(self, most: int = limits.PARTS_BYTES) -> None:
        self._most = most
        self._size = 0
        self._parts: OrderedDict[tuple[int, int], _Part] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, owner: int, n: int, header: bytes, found: Mapping[int, bytes]) -> None:
        """Hold blocks of chunk ``n`` of an owner, beside those that are held already."""
        with self._lock:
            part = self._drop((owner, n))
            if part is None or part.header != header:
                part = _Part(header)
            part.blocks.update(found)
            part.fetches += 1
            self._parts[owner, n] = part
            self._size += part.size
            while self._size > self._most and len(self._parts) > 1:
                self._drop(next(iter(self._parts)))

    def missing(self, owner: int, n: int, ids: Sequence[int]) -> list[int]:
        """Those of some blocks that are not held."""
        with self._lock:
            part = self._parts.get((owner, n))
            return list(ids) if part is None else [n for n in ids if n not in part.blocks]

    def held(self, owner: int, n: int) -> tuple[int, int]:
        """How many blocks are held of a chunk, and how often some of them were fetched."""
        with self._lock:
            part = self._parts.get((owner, n))
            return (0, 0) if part is None else (len(part.blocks), part.fetches)

    def chunk(self, owner: int, n: int, ids: Sequence[int]) -> bytes | None:
        """A chunk in which some blocks have their values; None if one of them is not held."""
        with self._lock:
            part = self._parts.get((owner, n))
            if part is None or not part.blocks.keys() >= set(ids):
                return None
            self._parts.move_to_end((owner, n))
            wanted = {n: part.blocks[n] for n in ids}
        return blocks.sparse_chunk(part.header, wanted)

    def drop(self, owner: int, ids: Sequence[int]) -> None:
        """Forget some chunks, since they came as a whole."""
        if self._parts:
            with self._lock:
                for n in ids:
                    self._drop((owner, n))

    def forget(self, owner: int) -> None:
        """Forget all chunks of an owner."""
        with self._lock:
            for key in [key for key in self._parts if key[0] == owner]:
                self._drop(key)

    def _drop(self, key: tuple[int, int]) -> _Part | None:
        part = self._parts.pop(key, None)
        if part is not None:
            self._size -= part.size
        return part
