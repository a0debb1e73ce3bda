"""Digests of chunks by which an origin's signature holds for each of their blocks, too.

The digest of a chunk that can be divided is of its header and of its *leaves*: the stored size of
each block and a digest of its bytes, in the order of the blocks' numbers. So who has header
and leaves can check a block without the others.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

from caterva2.errors import SourceCorrupt
from caterva2.frames import chunk as chunks
from caterva2.frames.blocks import ChunkHeader, spans
from caterva2.limits.constants import LEAF_BYTES, LEAVES_BYTES

SIZE = 20
"""Bytes of a chunk's digest."""
_LENGTH = struct.Struct("<I")
_UNDIVIDED, _DIVIDED, _REPEATED, _PIECE = b"\0", b"\1", b"\2", b"\3"


def leaves(chunk: bytes | memoryview) -> bytes:
    """Return the leaves of a chunk that passed the gate; nothing if it is not divided for them."""
    view, header = memoryview(chunk), ChunkHeader.of(chunk)
    if not header.is_divisible or header.count * LEAF_BYTES > LEAVES_BYTES:
        return b""
    try:
        found = spans(header, lambda size, at: view[at : at + size], range(header.count))
    except SourceCorrupt:
        return b""
    return b"".join(_leaf(view[begin:stop]) for begin, stop in found)


def _leaf(block: bytes | memoryview) -> bytes:
    digest = hashlib.sha256(block).digest()
    return (_LENGTH.pack(len(block)) + digest)[:LEAF_BYTES]


def of(chunk: bytes | memoryview) -> bytes:
    """Return the digest of a chunk that passed the gate.

    One of zeros or NaNs has the digest of what it decodes to: it may be made anew on its way.
    """
    view = memoryview(chunk)
    repeated = ChunkHeader.of(chunk).flags2 >> 4 & 7
    if repeated in chunks.SPECIAL_KINDS:
        return _digest(_REPEATED, bytes([repeated]) + view[4:8])
    found = leaves(chunk)
    return of_leaves(view, found) if found else _digest(_UNDIVIDED, view)


def of_leaves(chunk: bytes | memoryview, found: bytes) -> bytes:
    """Return the digest of a chunk of which the header and the leaves are known."""
    return _digest(_DIVIDED, bytes(chunk[: chunks.HEADER]) + found)


def of_piece(data: bytes | memoryview) -> bytes:
    """Return the digest of the bytes of a plain file that are one of its chunks."""
    return _digest(_PIECE, data)


def have(found: bytes, ids: Sequence[int], blocks: Sequence[bytes]) -> bool:
    """Return whether some blocks are those that leaves were made of."""
    return all(
        found[n * LEAF_BYTES : (n + 1) * LEAF_BYTES] == _leaf(block)
        for n, block in zip(ids, blocks, strict=True)
    )


def _digest(kind: bytes, data: bytes | memoryview) -> bytes:
    made = hashlib.sha256(kind)
    made.update(data)
    return made.digest()[:SIZE]
