"""Counts of what arrived from publishers."""

from __future__ import annotations

from collections.abc import Sequence


class Traffic:
    """Count what arrived from publishers, for metrics."""

    def __init__(self) -> None:
        self.chunks = 0
        self.kept = 0
        self.blocks = 0
        self.bytes = 0

    def record(self, *, chunks: int = 0, kept: int = 0, blocks: int = 0, size: int) -> None:
        self.chunks += chunks
        self.kept += kept
        self.blocks += blocks
        self.bytes += size


def totals(traffic: Sequence[Traffic]) -> dict[str, float]:
    """Return the metrics of all counts together."""
    return {
        "caterva2_fetched_chunks_total": sum(one.chunks for one in traffic),
        "caterva2_kept_chunks_total": sum(one.kept for one in traffic),
        "caterva2_fetched_blocks_total": sum(one.blocks for one in traffic),
        "caterva2_fetched_bytes_total": sum(one.bytes for one in traffic),
    }
