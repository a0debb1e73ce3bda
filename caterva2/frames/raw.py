"""Stored chunks and blocks of a frame, and the edges of its file.

This module imports neither numpy nor Blosc2.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Self

try:  # by instructions of the processor
    from isal.isal_zlib import crc32 as crc32
except ImportError:  # it is not built for this one
    from zlib import crc32 as crc32


@dataclass(frozen=True, slots=True)
class Run:
    """Raw chunks that were read together.

    ``sizes`` are the bytes of each chunk of ``ids`` in ``payload``, one after the other.
    """

    ids: list[int]
    sizes: list[int]
    payload: bytes

    @classmethod
    def of(cls, ids: list[int], pieces: Sequence[bytes | memoryview]) -> Self:
        """Return a run of chunks; if these are all that one read brought, that is not copied."""
        sizes = list(map(len, pieces))
        whole = getattr(pieces[0], "obj", None)
        alone = all(getattr(piece, "obj", None) is whole for piece in pieces)
        if isinstance(whole, bytes) and len(whole) == sum(sizes) and alone:
            return cls(ids, sizes, whole)
        return cls(ids, sizes, b"".join(pieces))

    def chunks(self) -> list[memoryview]:
        """Return the chunks one by one."""
        view, ends = memoryview(self.payload), itertools.accumulate(self.sizes, initial=0)
        return [view[begin:end] for begin, end in itertools.pairwise(ends)]

    def without(self, ids: Collection[int]) -> Self:
        """Return the run with chunks of no bytes in place of some."""
        if not ids:
            return self
        pieces = [
            b"" if n in ids else chunk for n, chunk in zip(self.ids, self.chunks(), strict=True)
        ]
        return type(self)(self.ids, list(map(len, pieces)), b"".join(pieces))


@dataclass(frozen=True, slots=True)
class Cut:
    """Some blocks of a chunk, or the whole chunk.

    ``payload`` is the header of the chunk and then the stored bytes of the blocks ``ids``, of
    which each takes one of ``sizes``. Without ids it is the whole chunk, which can't be divided.
    """

    ids: tuple[int, ...]
    sizes: tuple[int, ...]
    payload: bytes


@dataclass(frozen=True, slots=True)
class Edges:
    """The size of a file, and its first and last bytes."""

    size: int
    head: bytes
    tail: bytes

    def cut(self, size: int, offset: int) -> bytes | None:
        """Return some bytes of the file, None if these are not among those at its edges."""
        stop, tail_at = offset + size, self.size - len(self.tail)
        if 0 <= offset <= stop <= len(self.head):
            return self.head[offset:stop]
        if tail_at <= offset <= stop <= self.size:
            return self.tail[offset - tail_at : stop - tail_at]
        return None
