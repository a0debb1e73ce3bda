"""Chunks of which only some blocks were fetched, held in memory."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from caterva2.frames import blocks
from caterva2.runtime.lru import Lru

BLOCK_COST = 128
"""Bytes of memory that a block takes beside its own."""


@dataclass(slots=True)
class _Part:
    """The blocks that are held of one chunk."""

    header: bytes
    blocks: dict[int, bytes] = field(default_factory=dict)
    fetches: int = 0

    @property
    def size(self) -> int:
        return sum(map(len, self.blocks.values())) + BLOCK_COST * (1 + len(self.blocks))


class Parts:
    """A bounded store of parts of chunks. All methods may be called from any thread.

    Parameters
    ----------
    max_bytes : int
        Bytes of all parts together; the part that was added last is held in any case.
    """

    def __init__(self, max_bytes: int) -> None:
        self._parts: Lru[tuple[int, int], _Part] = Lru(
            max_bytes, lambda part: part.size, keep_newest=True
        )
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the parts take."""
        return self._parts.size

    def add(self, owner: int, n: int, header: bytes, found: Mapping[int, bytes]) -> None:
        """Hold blocks of chunk ``n`` of an owner, beside those that are held already."""
        with self._lock:
            part = self._parts.pop((owner, n))  # its size changes
            if part is None or part.header != header:
                part = _Part(header)
            part.blocks.update(found)
            part.fetches += 1
            self._parts.put((owner, n), part)

    def missing(self, owner: int, n: int, ids: Sequence[int]) -> list[int]:
        """Return those of some blocks that are not held."""
        with self._lock:
            part = self._parts.peek((owner, n))
            return list(ids) if part is None else [n for n in ids if n not in part.blocks]

    def held(self, owner: int, n: int) -> tuple[int, int]:
        """Return how many blocks of a chunk are held, and how often some of them were fetched."""
        with self._lock:
            part = self._parts.peek((owner, n))
            return (0, 0) if part is None else (len(part.blocks), part.fetches)

    def chunk(self, owner: int, n: int, ids: Sequence[int]) -> bytes | None:
        """Compose a chunk in which some blocks have their values, None if one is not held."""
        found = self._held(owner, n, ids)
        return blocks.sparse_chunk(*found) if found else None

    def singles(self, owner: int, n: int, ids: Sequence[int]) -> list[bytes] | None:
        """Compose a chunk of each of some blocks, None if one is not held."""
        found = self._held(owner, n, ids)
        return [blocks.single(found[0], block) for block in found[1].values()] if found else None

    def _held(
        self, owner: int, n: int, ids: Sequence[int]
    ) -> tuple[bytes, dict[int, bytes]] | None:
        with self._lock:
            part = self._parts.peek((owner, n))
            if part is None or not part.blocks.keys() >= set(ids):
                return None
            self._parts.get((owner, n))
            return part.header, {n: part.blocks[n] for n in ids}

    def drop(self, owner: int, ids: Sequence[int]) -> None:
        """Forget some chunks, since they were stored as a whole."""
        if len(self._parts):
            with self._lock:
                for n in ids:
                    self._parts.pop((owner, n))

    def forget(self, owner: int) -> None:
        """Forget all chunks of an owner."""
        with self._lock:
            for key in self._parts:
                if key[0] == owner:
                    self._parts.pop(key)
