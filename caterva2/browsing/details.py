"""Totals and state of a root."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from caterva2.model import Way


@dataclass(frozen=True, slots=True)
class RootDetails:
    """Number of datasets, sizes and state of a root.

    Parameters
    ----------
    datasets, size : int
        Their number and stored bytes, as of the last catalog.
    cached : int
        Bytes that the cache has of them.
    state : str
        Whether the catalog follows all changes, is behind or not followed, or the root is offline.
    heard : float or None
        When its publisher was last heard, in seconds since 1970; None before the first time.
    way : Way or None
        How its data comes here; None of a special root.
    """

    datasets: int
    size: int
    cached: int
    state: Literal["live", "stale", "offline"]
    heard: float | None
    way: Way | None = None
