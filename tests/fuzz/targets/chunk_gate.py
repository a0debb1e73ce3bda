"""Raw chunks: the gate, and the decoder behind it."""

from __future__ import annotations

import contextlib

from caterva2.errors import CodecNotAllowed, SourceCorrupt
from caterva2.frames import chunk, proof
from caterva2.frames.chunk import ChunkShape
from caterva2.signing import digests

NBYTES, TYPESIZE, BLOCKSIZE = 4000, 4, 1000
SHAPES = ChunkShape.of("array", TYPESIZE, BLOCKSIZE), ChunkShape.of("frame", TYPESIZE, BLOCKSIZE)


def one(data: bytes) -> None:
    for shape in SHAPES:
        with contextlib.suppress(SourceCorrupt, CodecNotAllowed):
            chunk.check(data, shape, NBYTES)
            proof.check([0], [data], NBYTES)
            assert len(digests.of(data)) == digests.SIZE
