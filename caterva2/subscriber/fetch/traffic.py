"""What arrived from the publishers of a root, and what its readers waited for."""

from __future__ import annotations

from collections import Counter

from caterva2.errors import CatervaError, Damaged, SourceCorrupt
from caterva2.runtime.metrics import Histogram
from caterva2.runtime.monitoring.faults import Faults, Kind
from caterva2.signing.checks import Forged

WAITS = Histogram(
    "caterva2_fetch_wait_seconds",
    "How long reads waited for chunks or blocks from a publisher",
    (0.005, 0.025, 0.1, 0.5, 2.5, 10.0),
)
SLOW_DISK = 1.0
"""Seconds for storing one answer above which the disk is slow."""
SLOW_LINK = 10.0
"""Seconds of a wait above which the link, or the publisher, is slow."""


class Traffic:
    """Count what arrived, what failed, and which reads found all in the cache.

    Counts are plain attributes, as a lock for each read would cost more than they are worth.

    Parameters
    ----------
    root : str, optional
    faults : Faults, optional
    """

    def __init__(self, root: str = "", faults: Faults | None = None) -> None:
        self.root = root
        self.chunks = 0
        self.kept = 0
        self.blocks = 0
        self.bytes = 0
        self.hits = 0
        self.misses = 0
        self.retries: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.faults = faults or Faults()

    def record(self, *, chunks: int = 0, kept: int = 0, blocks: int = 0, size: int) -> None:
        self.chunks += chunks
        self.kept += kept
        self.blocks += blocks
        self.bytes += size

    def waited(self, seconds: float, subject: str) -> None:
        """Record how long a read waited for a publisher."""
        self.misses += 1
        self.faults.metrics.observe(WAITS, seconds, root=self.root)
        if seconds > SLOW_LINK:
            text = f"a read of {self.root}/{subject} waited {seconds:.1f} s for its publisher"
            self.faults.note("slow-link", text, self.root)

    def stored(self, seconds: float, subject: str) -> None:
        """Record how long it took to store an answer."""
        if seconds > SLOW_DISK:
            text = f"the cache's disk took {seconds:.1f} s to store a part of {self.root}/{subject}"
            self.faults.note("slow-disk", text)

    def refused(self, why: str, subject: str) -> None:
        """Record that the disk or the quota did not take an answer."""
        text = f"{self.root}/{subject} does not fit into the cache: {why}"
        self.faults.note("cache-full", text)

    def retried(self, error: CatervaError) -> None:
        """Record that a request is sent again because of an error."""
        self.retries[error.name] += 1
        if isinstance(error, Damaged):
            self.faults.note("damaged-transfer", f"{self.root}: {error}", self.root)

    def failed(self, error: CatervaError) -> None:
        """Record that a request failed for good."""
        self.failures[error.name] += 1
        if isinstance(error, SourceCorrupt):
            kind: Kind = "not-signed" if isinstance(error, Forged) else "broken-file"
            self.faults.note(kind, f"{self.root}: {error}", self.root)
