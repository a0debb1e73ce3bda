"""Statistics of an array that arrives in pieces: range, mean, spread, percentiles, histogram.

Range, mean and standard deviation are of all finite values. Percentiles and histogram are of an
even sample where the array has more than `SAMPLE` values. NaN and infinities are counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]
SAMPLE = 2**18
"""Values up to which all of them count for percentiles and the histogram.

Of so many, percentile 1 of the sample is one between 0.95 and 1.05 of all values, mostly.
"""
HISTOGRAM = 256
"""Bins of a histogram at most."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of values in bins of equal width between two bounds."""

    counts: tuple[int, ...]
    lo: float
    hi: float


@dataclass(frozen=True, slots=True)
class Statistics:
    """Statistics of an array; numbers are None where there is no finite value."""

    count: int
    nan: int
    infinite: int
    min: float | None
    max: float | None
    mean: float | None
    std: float | None
    p1: float | None
    p99: float | None
    histogram: Histogram
    sampled: int
    """Number of values that percentiles and histogram are of."""


@dataclass(slots=True)
class Summary:
    """Summary of one or more pieces of an array; `join` adds another piece.

    ``spread`` is the sum of the squared distances from the mean, ``sample`` the values that were
    taken.
    """

    count: int = 0
    nan: int = 0
    infinite: int = 0
    low: Any = None
    high: Any = None
    mean: float = 0.0
    spread: float = 0.0
    sample: list[Values] = field(default_factory=list)

    @property
    def finite(self) -> int:
        """Number of finite values."""
        return self.count - self.nan - self.infinite

    def join(self, other: Summary) -> None:
        """Add what is known of another piece."""
        ours, theirs = self.finite, other.finite
        self.count += other.count
        self.nan += other.nan
        self.infinite += other.infinite
        self.sample += other.sample
        if not theirs:
            return
        self.low = other.low if self.low is None else min(self.low, other.low)
        self.high = other.high if self.high is None else max(self.high, other.high)
        apart, part = other.mean - self.mean, theirs / (ours + theirs)
        self.mean = self.mean + apart * part if ours else other.mean
        self.spread += other.spread + (apart * apart * ours * part if ours else 0.0)

    def statistics(self, *, spread: bool = True) -> Statistics:
        """Return the statistics; without ``spread`` there is no standard deviation."""
        values = np.concatenate(self.sample) if self.sample else np.empty(0)
        values = values[np.isfinite(values)] if values.dtype.kind == "f" else values
        low, high, finite = self.low, self.high, self.finite
        p1, p99 = percentiles(values)
        std = math.sqrt(self.spread / finite) if finite and self.spread >= 0 and spread else None
        return Statistics(
            self.count, self.nan, self.infinite, _plain(low), _plain(high),
            _plain(self.mean if finite else None), _plain(std), p1, p99,
            histogram(values, low, high), len(values),
        )  # fmt: skip


def summarise(
    values: Values, sample: Values, reduced: Mapping[str, Values], *, spread: bool
) -> tuple[Summary, bool]:
    """Summarise a piece, and say whether it is free of NaN.

    Parameters
    ----------
    values, sample : ndarray
        The numbers, and those of them that are sampled.
    reduced : mapping
        What is known of runs of them: of each the ``low``, ``high`` or ``total``, or NaN if one of
        them is.
    spread : bool
        Whether the standard deviation is asked for.
    """
    found = Summary(values.size, sample=[sample.flatten()])
    if not values.size:
        return found, True
    lowest = np.minimum.reduce(reduced.get("low", values), axis=None)
    highest = np.maximum.reduce(reduced.get("high", values), axis=None)
    totals, clean = reduced.get("total", values), True
    if values.dtype.kind == "f" and not (np.isfinite(lowest) and np.isfinite(highest)):
        finite = np.isfinite(values)
        found.nan = int(np.count_nonzero(np.isnan(values)))
        found.infinite = values.size - int(np.count_nonzero(finite)) - found.nan
        totals = values = values[finite]
        clean = not found.nan
        if not values.size:
            return found, clean
        lowest, highest = values.min(), values.max()
    found.low, found.high = lowest.item(), highest.item()
    found.mean = float(_total(totals)) / values.size
    if spread:
        apart = values.reshape(-1) - np.float64(found.mean)
        found.spread = float(np.dot(apart, apart))
    return found, clean


def _total(values: Values) -> Any:
    """Return the sum of values in double precision, through one in integers where that is exact."""
    small = values.dtype.kind in "iu" and values.itemsize <= 2
    if small and values.ndim > 1 and len(values) <= 2**15:  # a column fits in 32 bits
        values = np.add.reduce(values, axis=0, dtype=np.dtype(f"{values.dtype.kind}4"))
    return np.add.reduce(values, axis=None, dtype=np.float64)


def sample_steps(shape: Sequence[int], most: int = SAMPLE) -> tuple[int, ...]:
    """Return a step for each axis, so that these select at most ``most`` items, evenly."""
    steps = [1] * len(shape)
    left = list(shape)
    while math.prod(left) > most:
        longest = left.index(max(left))
        steps[longest] += steps[longest] // 2 + 1  # 2, 4, 7, 11, ...: patterns rarely have these
        left[longest] = -(-shape[longest] // steps[longest])
    return tuple(steps)


def sampled(values: Values, first: Sequence[int], steps: Sequence[int]) -> Values:
    """Return the items of a box that are sampled; ``first`` is its place in the array."""
    key = tuple(
        slice((step // 2 - at) % step, None, step) for at, step in zip(first, steps, strict=True)
    )
    found: Values = values[key]
    return found


def percentiles(values: Values) -> tuple[float | None, float | None]:
    """Return the percentiles 1 and 99, None of nothing."""
    if not values.size:
        return None, None
    with np.errstate(over="ignore", invalid="ignore"):
        p1, p99 = np.percentile(values, (1, 99))
    return _plain(p1), _plain(p99)


def histogram(values: Values, low: Any, high: Any) -> Histogram:
    """Count finite values in bins between two bounds; bins of integers are as wide as integers."""
    if low is None:
        return Histogram((), 0.0, 0.0)
    if isinstance(low, int):
        width = (high - low) // HISTOGRAM + 1
        bins = (high - low) // width + 1
        offsets = values.astype(np.int64).view(np.uint64) - np.uint64(low % 2**64)  # wraps around
        counts = np.bincount((offsets // np.uint64(width)).astype(np.int64), minlength=bins)
        return Histogram(tuple(counts.tolist()), low, low + bins * width)
    # Halves, since the distance of two doubles may be no double.
    with np.errstate(invalid="ignore", divide="ignore", over="ignore", under="ignore"):
        places = (
            (values.astype(np.float64) * 0.5 - low * 0.5) / (high * 0.5 - low * 0.5) * HISTOGRAM
        )
    places = np.nan_to_num(places, nan=0.0)
    numbers = np.clip(places, 0, HISTOGRAM - 1).astype(np.int64)
    counts = np.bincount(numbers, minlength=HISTOGRAM)
    # The extremes are known even if no sampled value is one of them.
    counts[0], counts[-1] = max(counts[0], 1), max(counts[-1], 1 if high > low else 0)
    return Histogram(tuple(counts.tolist()), low, high)


def _plain(number: Any) -> Any:
    """Return a number as JSON knows it; None for what is not finite."""
    if number is None or isinstance(number, int):
        return number
    return float(number) if math.isfinite(number) else None
