"""Faults that a service met: each is counted, logged, and remembered for a while."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Literal

from caterva2.runtime.metrics import NO_METRICS, Counter, Metrics

log = logging.getLogger(__name__)
FAULTS = Counter("caterva2_faults_total", "Faults by kind, and by root where they are of one")
Kind = Literal[
    "broken-file", "cache-full", "damaged-transfer", "disk-full", "not-signed", "publisher-away",
    "refused", "slow-disk", "slow-link", "upstream-away",
]  # fmt: skip
QUIET = 60.0
"""Seconds for which a fault is not logged again."""
REMEMBERED = 900.0
"""Seconds for which a fault is recent."""
KEPT = 200
"""Faults that are remembered: their roots come from outside."""


@dataclass(frozen=True, slots=True)
class Fault:
    """The latest of the faults of one kind, of one root or of the whole service.

    ``count`` is how many there were since it was remembered, ``at`` in seconds since 1970.
    """

    kind: Kind
    root: str
    text: str
    count: int
    at: float
    logged: float


class Faults:
    """The faults of a service. All methods may be called from any thread.

    Parameters
    ----------
    metrics : Metrics, optional

    Attributes
    ----------
    metrics : Metrics
    """

    def __init__(self, metrics: Metrics = NO_METRICS) -> None:
        self.metrics = metrics
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[Kind, str], Fault] = OrderedDict()

    def note(self, kind: Kind, text: str, root: str = "") -> None:
        """Count a fault, and log it unless one of its kind and root was logged just now."""
        self.metrics.inc(FAULTS, fault=kind, root=root)
        now = time.time()
        with self._lock:
            known = self._known.pop((kind, root), None)
            if known is None or now - known.at > REMEMBERED:
                known = Fault(kind, root, text, 0, now, 0.0)
            to_log = now - known.logged > QUIET
            logged = now if to_log else known.logged
            count = known.count + 1
            made = replace(known, text=text, count=count, at=now, logged=logged)
            self._known[kind, root] = made
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        if to_log:
            log.warning("%s: %s%s", kind, text, f" ({count} so far)" if count > 1 else "")

    def recent(self, now: float | None = None) -> list[Fault]:
        """Return the faults of the last quarter of an hour, the latest first."""
        now = time.time() if now is None else now
        with self._lock:
            known = list(self._known.values())
        return [fault for fault in reversed(known) if now - fault.at <= REMEMBERED]
