"""Counters, gauges and observations of a service, by name and labels."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

Labels = tuple[tuple[str, str], ...]
Kind = Literal["counter", "gauge", "summary"]
MAX_SERIES = 10_000
"""Pairs of a name and labels that are kept: a label may hold what comes from outside."""


class Metrics(Protocol):
    """The contract of counters, gauges and summaries.

    Names and labels are those of Prometheus: ``[a-z_]+``, counters end with ``_total``, units
    are seconds and bytes. All methods may be called from any thread, take about a microsecond,
    and never raise for what a peer sent; using one name in two ways is an error of the program
    and raises `ValueError`.
    """

    def inc(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter, which never decreases."""

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add a value to a summary, which keeps the number and the sum of its values."""


class NullMetrics:
    """Null object: counts nothing."""

    def inc(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Do nothing."""

    def set(self, name: str, value: float, **labels: str) -> None:
        """Do nothing."""

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Do nothing."""


NO_METRICS: Metrics = NullMetrics()


@dataclass(frozen=True, slots=True)
class Sample:
    """The current value of one series."""

    name: str
    labels: Labels
    value: float


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
        self._kinds: dict[str, Kind] = {}
        self._values: dict[tuple[str, Labels], float] = {}

    def inc(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter."""
        if amount < 0:
            raise ValueError(f"{name} is a counter: it can't decrease by {-amount}")
        with self._lock:
            self._check(name, "counter")
            self._add(name, _sorted(labels), amount)

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        key = name, _sorted(labels)
        with self._lock:
            self._check(name, "gauge")
            if key in self._values or len(self._values) < self._max_series:
                self._values[key] = value

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add a value to a summary."""
        series = _sorted(labels)
        with self._lock:
            self._check(name, "summary")
            self._add(f"{name}_count", series, 1.0)
            self._add(f"{name}_sum", series, value)

    def kinds(self) -> dict[str, Kind]:
        """Return the kind of each name; a summary's samples have ``_count`` and ``_sum`` behind."""
        with self._lock:
            return dict(self._kinds)

    def samples(self) -> Iterator[Sample]:
        """Iterate over all current values, in the order of names and labels."""
        with self._lock:
            values = sorted(self._values.items())
        return (Sample(name, labels, value) for (name, labels), value in values)

    def _check(self, name: str, kind: Kind) -> None:
        known = self._kinds.setdefault(name, kind)
        if known != kind:
            raise ValueError(f"{name} is a {known}, not a {kind}")

    def _add(self, name: str, labels: Labels, amount: float) -> None:
        key = name, labels
        if key in self._values or len(self._values) < self._max_series:
            self._values[key] = self._values.get(key, 0.0) + amount


def _sorted(labels: dict[str, str]) -> Labels:
    return tuple(sorted(labels.items()))
