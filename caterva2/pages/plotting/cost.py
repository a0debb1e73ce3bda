"""What a plot will read, before it is read."""

from __future__ import annotations

import math
from dataclasses import dataclass

from caterva2.model import DatasetInfo
from caterva2.pages.plotting.state import PlotState

ASK = 64_000_000
"""Bytes from the publisher above which the page asks before they are read."""
VALUES = 1_000_000_000
"""Decompressed bytes above which it asks."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Chunks that are read, and about how many bytes these are.

    ``missing`` are bytes that come from the publisher: which chunks are cached is not known
    here, so the share of all chunks counts.
    """

    chunks: int
    stored: int
    missing: int
    values: int

    @property
    def is_large(self) -> bool:
        """Whether the page asks before."""
        return self.missing > ASK or self.values > VALUES


def cost(info: DatasetInfo, state: PlotState, cached: int) -> Cost:
    """Return the cost of a plot of which ``cached`` chunks are there."""
    touched = math.prod(
        -(-size // chunk) if axis in state.drawn else 1
        for axis, (size, chunk) in enumerate(zip(info.shape, info.chunks, strict=True))
        if chunk
    )
    chunks = min(touched, info.nchunks)
    stored = info.cbytes * chunks // max(info.nchunks, 1)
    missing = stored * (info.nchunks - min(cached, info.nchunks)) // max(info.nchunks, 1)
    return Cost(chunks, stored, missing, chunks * info.chunksize)
