"""A whole stored chunk as a shard, and as single chunks of Blosc 1."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from caterva2.errors import SourceCorrupt
from caterva2.frames.chunk import HEADER
from caterva2.frames.shards.index import ShardIndex, index_of, repeated_value
from caterva2.frames.shards.inner import Conversion, decoded

_LENGTH = slice(12, 16)
"""Place of a chunk's own length in its header."""


def inner_chunks(
    chunk: bytes | memoryview,
    index: ShardIndex | None = None,
    n: int = 0,
    ids: Sequence[int] | None = None,
) -> list[bytes | None]:
    """Convert blocks of a chunk; None for those of zeros.

    Parameters
    ----------
    chunk : bytes-like
        A whole chunk that passed the gate.
    index : ShardIndex, optional
        That of the chunk, if it is known.
    n : int
        Number of the chunk, for errors.
    ids : sequence of int, optional
        Numbers of the blocks; all without it.

    Raises
    ------
    SourceCorrupt
        If it is damaged.
    """
    index = index or index_of(chunk)
    ids = range(index.count) if ids is None else ids
    conversion = Conversion.of(chunk)
    if conversion.way == "zeros":
        return [None] * len(ids)
    if conversion.way == "repeated":
        return [conversion.repeated(repeated_value(chunk))] * len(ids)
    if conversion.way == "whole":
        found = _decoded(chunk, conversion, n)
        return [found[block] for block in ids]
    view = memoryview(chunk)
    places = index.table[ids, 2:].tolist()
    return [conversion.inner(view[begin : begin + size], n) for begin, size in places]


def inner_of_single(single: bytes | memoryview, n: int = 0) -> bytes | None:
    """Convert a block that is a chunk of its own, as `frames.blocks.single` makes it."""
    start = bytes(single[:HEADER])
    # But for its own length it is the header of all blocks of its chunk.
    conversion = _of_start(start[: _LENGTH.start] + bytes(4) + start[_LENGTH.stop :])
    return conversion.inner(memoryview(single)[conversion.header.body :], n)


@functools.lru_cache(maxsize=256)
def _of_start(start: bytes) -> Conversion:
    return Conversion.of(start)


def _decoded(chunk: bytes | memoryview, conversion: Conversion, n: int) -> list[bytes | None]:
    header = conversion.header
    data = memoryview(decoded(bytes(chunk), header.nbytes, n))
    starts = range(0, header.nbytes, header.blocksize)
    return [conversion.values(data[at : at + header.blocksize]) for at in starts]


def shard(chunk: bytes | memoryview, index: ShardIndex | None = None, n: int = 0) -> bytes:
    """Convert a chunk to a shard.

    Parameters
    ----------
    chunk : bytes-like
        A whole chunk that passed the gate.
    index : ShardIndex, optional
        That of the chunk, if it is known.
    n : int
        Number of the chunk, for errors.

    Raises
    ------
    SourceCorrupt
        If it is damaged.
    """
    index = index or index_of(chunk)
    pieces = [piece for piece in inner_chunks(chunk, index, n) if piece is not None]
    made = b"".join((*pieces, index.encoded))
    if len(made) != index.size:
        raise SourceCorrupt(f"chunk {n} became {len(made)} bytes, its index says {index.size}")
    return made
