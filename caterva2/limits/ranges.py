"""Ranges of the values that make sense for a limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from caterva2.limits.constants import CHUNK_BYTES


@dataclass(frozen=True, slots=True)
class Range:
    """The values that make sense for a limit.

    Parameters
    ----------
    least, most : float
        Bounds, both allowed.
    size : bool
        Whether it is a number of bytes, which may be written as ``256MB``.
    """

    least: float
    most: float
    size: bool = False


COUNTS = Range(1, 10**9)
"""Of an int without a range of its own."""
SECONDS = Range(0.001, 10 * 366 * 86400.0)
"""Of a float without a range of its own."""
Bytes = Annotated[int, Range(1, 2**50, size=True)]
ChunkBytes = Annotated[int, Range(1, CHUNK_BYTES, size=True)]
