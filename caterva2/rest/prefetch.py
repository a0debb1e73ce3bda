"""Progress of a prefetch."""

from __future__ import annotations

from typing_extensions import TypedDict

from caterva2.model import PrefetchState
from caterva2.rest.shapes import Count, closed


@closed
class Prefetch(TypedDict):
    """Progress of a prefetch."""

    path: str
    state: PrefetchState
    datasets: Count
    """Datasets to fetch."""
    done: Count
    """Datasets that are in the cache now."""
    failed: Count
    """Datasets that could not be fetched."""
    failures: list[str]
    """The first of these, relative to the root."""
    nchunks: Count
    """Chunks of the datasets that were looked at so far."""
    cached: Count
    """Chunks of these that are in the cache."""
    error: str
    """The last error."""
    slice_: str
    """The part of a dataset that is fetched; empty for all of it."""
