"""How much is measured: all of it, as much as fits into minutes, or just enough to try the code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes of a run.

    Attributes
    ----------
    runs : int
        Of which the median counts.
    a_chunks, b_chunks : int
        Chunks of 1 MB of the dataset A, and of 32 KB of B.
    slices : int
        Slices that all clients together read.
    changes : int
        Changes on disk that are waited for.
    appended : int
        Frames that are appended to a dataset, each a version.
    roots : tuple of int
        Datasets of the roots that are listed.
    chunk_counts, clients, cached : tuple of int
        Steps of the growth curves: chunks of a dataset, clients, cached datasets.
    idle : float
        Seconds for which nobody asks.
    """

    name: str
    runs: int
    a_chunks: int
    b_chunks: int
    slices: int
    changes: int
    appended: int
    roots: tuple[int, ...]
    chunk_counts: tuple[int, ...]
    clients: tuple[int, ...]
    cached: tuple[int, ...]
    idle: float


FULL = Scale(
    "full", 5, 256, 10_000, 2000, 100, 200, (1000, 10_000, 100_000),
    (1000, 10_000, 100_000, 1_000_000), (1, 4, 16, 64), (300, 1000, 3000, 10_000), 60,
)  # fmt: skip
QUICK = Scale(
    "quick", 3, 32, 1000, 800, 30, 40, (1000, 10_000),
    (1000, 10_000, 100_000), (1, 4, 16), (100, 300, 1000), 20,
)  # fmt: skip
TINY = Scale("tiny", 1, 16, 50, 40, 3, 3, (20,), (10, 100), (1, 2), (3, 6), 1)
