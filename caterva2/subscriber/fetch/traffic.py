"""Counts of what arrived from publishers."""

from __future__ import annotations


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
