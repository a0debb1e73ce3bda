"""Find chunks that passed the gate and had the right digest, but can't be decoded.

A service calls this in a thread, since it blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import blosc2

from caterva2.errors import SourceCorrupt
from caterva2.frames.chunk import nbytes_of

DECODING = (RuntimeError, ValueError, TypeError, MemoryError)
"""Errors of Blosc2 about a chunk that it can't decode."""


def check(ids: Iterable[int], chunks: Sequence[bytes], nbytes: int) -> None:
    """Decode chunks of up to ``nbytes`` decompressed bytes, for nothing but to see that it works.

    Raises
    ------
    SourceCorrupt
        About the first that can't be decoded; ``info`` has its number as ``chunk``.
    """
    scratch = bytearray(max(nbytes, 1))
    for n, chunk in zip(ids, chunks, strict=True):
        try:
            if nbytes_of(chunk) > len(scratch):  # Blosc2 would write beyond its end
                raise ValueError(f"its header says {nbytes_of(chunk)} bytes of {nbytes}")
            blosc2.decompress2(chunk, dst=scratch, nthreads=1)
        except DECODING as error:
            raise undecodable(n, error) from None


def undecodable(n: int, error: BaseException) -> SourceCorrupt:
    """Make the error about a chunk that can't be decoded."""
    return SourceCorrupt(f"chunk {n} can't be decoded: {str(error)[:200]}", info={"chunk": n})
