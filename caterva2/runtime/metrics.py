"""Counters, gauges and histograms of a service, with labels; the words are those of Prometheus."""

from __future__ import annotations

import itertools
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

Labels = tuple[tuple[str, str], ...]
MAX_SERIES = 50_000
"""Pairs of a name and labels that are kept: a label may hold what comes from outside."""


@dataclass(frozen=True, slots=True)
class Counter:
    """A number that never decreases; its name ends with ``_total``."""

    name: str
    help: str


@dataclass(frozen=True, slots=True)
class Gauge:
    """A number that goes up and down."""

    name: str
    help: str


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many values were at most as large as each of some bounds, which ascend."""

    name: str
    help: str
    bounds: tuple[float, ...]


Family = Counter | Gauge | Histogram


class Metrics(Protocol):
    """The contract of those who count.

    Names and labels match ``[a-z0-9_]+``, units are seconds and bytes. All methods may be called
    from any thread, take a few microseconds, and never raise for what a peer sent.
    """

    def inc(self, counter: Counter, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter."""

    def set(self, gauge: Gauge, value: float, **labels: str) -> None:
        """Set a gauge."""

    def observe(self, histogram: Histogram, value: float, **labels: str) -> None:
        """Add a value to a histogram."""


class NullMetrics:
    """Null object: counts nothing."""

    def inc(self, counter: Counter, amount: float = 1.0, **labels: str) -> None:
        """Do nothing."""

    def set(self, gauge: Gauge, value: float, **labels: str) -> None:
        """Do nothing."""

    def observe(self, histogram: Histogram, value: float, **labels: str) -> None:
        """Do nothing."""


NO_METRICS: Metrics = NullMetrics()


@dataclass(frozen=True, slots=True)
class Sample:
    """The current value of one series."""

    name: str
    labels: Labels
    value: float


@dataclass(slots=True)
class _Number:
    value: float = 0.0

    def samples(self, family: Family, labels: Labels) -> Iterator[Sample]:
        yield Sample(family.name, labels, self.value)

    def copy(self) -> _Number:
        return _Number(self.value)


@dataclass(slots=True)
class _Distribution:
    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def add(self, value: float) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def samples(self, family: Family, labels: Labels) -> Iterator[Sample]:
        bounds = [*map(str, self.bounds), "+Inf"]
        for bound, count in zip(bounds, itertools.accumulate(self.counts), strict=True):
            yield Sample(f"{family.name}_bucket", (*labels, ("le", bound)), count)
        yield Sample(f"{family.name}_sum", labels, self.total)
        yield Sample(f"{family.name}_count", labels, sum(self.counts))

    def copy(self) -> _Distribution:
        return _Distribution(self.bounds, list(self.counts), self.total)


class MemoryMetrics:
    """Metrics in memory, to be read as samples.

    Parameters
    ----------
    max_series : int
        What would make one more is not counted.
    """

    def __init__(self, max_series: int = MAX_SERIES) -> None:
        self._max_series = max_series
        self._lock = threading.Lock()
        self._numbers: dict[tuple[Family, Labels], _Number] = {}
        self._distributions: dict[tuple[Family, Labels], _Distribution] = {}

    def inc(self, counter: Counter, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter."""
        if amount < 0:
            raise ValueError(f"{counter.name} is a counter: it can't decrease by {-amount}")
        with self._lock:
            if number := self._number(counter, labels):
                number.value += amount

    def set(self, gauge: Gauge, value: float, **labels: str) -> None:
        """Set a gauge."""
        with self._lock:
            if number := self._number(gauge, labels):
                number.value = value

    def observe(self, histogram: Histogram, value: float, **labels: str) -> None:
        """Add a value to a histogram."""
        self.observer(histogram, **labels)(value)

    def observer(self, histogram: Histogram, **labels: str) -> Callable[[float], None]:
        """Return a function that adds values to a histogram, to be kept where there are many.

        There is no series before the first value.
        """
        key = histogram, _sorted(labels)
        known: _Distribution | None = None

        def observe(value: float) -> None:
            nonlocal known
            with self._lock:
                known = known or self._distribution(key)
                if known is not None:
                    known.add(value)

        return observe

    def merge(
        self, histogram: Histogram, counts: Sequence[int], total: float, **labels: str
    ) -> None:
        """Add values that were observed elsewhere: their numbers by the bounds, and their sum."""
        key = histogram, _sorted(labels)
        with self._lock:
            if (known := self._distribution(key)) is not None:
                known.counts = known.counts or [0] * (len(known.bounds) + 1)
                known.counts = [a + b for a, b in zip(known.counts, counts, strict=True)]
                known.total += total

    def taken(self, histogram: Histogram) -> list[tuple[dict[str, str], list[int], float]]:
        """Return what was observed of a histogram, by labels, and begin anew."""
        found = []
        with self._lock:
            for (family, labels), known in self._distributions.items():
                if family == histogram and any(known.counts):
                    found.append((dict(labels), known.counts, known.total))
                    known.counts, known.total = [], 0.0
        return found

    def copy(self) -> Self:
        """Return the current values as metrics of their own."""
        made = type(self)(self._max_series)
        with self._lock:
            made._numbers = {key: number.copy() for key, number in self._numbers.items()}
            made._distributions = {key: found.copy() for key, found in self._distributions.items()}
        return made

    def families(self) -> dict[Family, list[Sample]]:
        """Return all current values, in the order of names and labels."""
        found: dict[Family, list[Sample]] = {}
        with self._lock:
            series: dict[tuple[Family, Labels], _Number | _Distribution]
            series = {**self._numbers, **self._distributions}
            for family, labels in sorted(series, key=lambda key: (key[0].name, key[1])):
                value = series[family, labels]
                found.setdefault(family, []).extend(value.samples(family, labels))
        return found

    def _distribution(self, key: tuple[Histogram, Labels]) -> _Distribution | None:
        if key not in self._distributions and self._has_room():
            self._distributions[key] = _Distribution(key[0].bounds)
        return self._distributions.get(key)

    def _number(self, family: Family, labels: dict[str, str]) -> _Number | None:
        key = family, _sorted(labels)
        if key not in self._numbers and self._has_room():
            self._numbers[key] = _Number()
        return self._numbers.get(key)

    def _has_room(self) -> bool:
        return len(self._numbers) + len(self._distributions) < self._max_series


def _sorted(labels: dict[str, str]) -> Labels:
    return tuple(sorted(labels.items()))
