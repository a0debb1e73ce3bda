"""A subscriber as its operators see it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal, Protocol

from caterva2.cache.store import Store
from caterva2.errors import Busy, CatervaError, SlowDown
from caterva2.model import Health, RootStatus
from caterva2.names import RootName
from caterva2.rest.service import BrokerStatus, Problem, Status
from caterva2.rest.service import RootStatus as SeenRoot
from caterva2.rest.service import Workers as WorkersStatus
from caterva2.runtime.events import Listeners
from caterva2.runtime.metrics import Metrics
from caterva2.runtime.monitoring import process
from caterva2.runtime.monitoring.faults import Faults
from caterva2.runtime.monitoring.loop_delay import LoopDelay
from caterva2.runtime.single_flight import SingleFlight
from caterva2.subscriber.monitoring import measured, status
from caterva2.subscriber.remote_root import RemoteRoot
from caterva2.version import __version__

_ANSWERS = 5.0
"""Seconds that the disk of the cache may take to say whether it can be written."""
_STALLED = 5.0
"""Seconds of a delay of the event loop after which the service is not ready for a while."""


class Broker(Protocol):
    """State of the link to the broker, for operators."""

    @property
    def known(self) -> bool:
        """Whether it ever said which roots there are."""
        ...

    @property
    def connected(self) -> bool:
        """Whether it is up now."""
        ...

    @property
    def silent_for(self) -> float | None:
        """Seconds since it was heard; None before that, and without a broker."""
        ...


class Workers(Protocol):
    """The processes that serve beside this one."""

    def report(self, metrics: Metrics) -> None:
        """Report them, for metrics; it may block."""
        ...

    def status(self) -> WorkersStatus:
        """Return their status."""
        ...


class Monitor:
    """Answer what operators ask about a subscriber.

    Parameters
    ----------
    metrics : Metrics
        What is measured all the time is counted there.
    cache : Path
        Directory of the cache.
    store : Store
    listeners : Listeners
    roots : mapping
        Those that were opened.
    statuses : callable
        Lists all roots.
    queues : callable
        Gives the lengths of queues by their names.
    changes : callable
        Gives the number of changes.
    has_broker : bool
        Whether it was started with one.

    Attributes
    ----------
    faults : Faults
    delay : LoopDelay
    workers : Workers, optional
    """

    broker: Broker
    workers: Workers | None = None

    def __init__(
        self,
        metrics: Metrics,
        cache: Path,
        store: Store,
        listeners: Listeners,
        roots: Mapping[RootName, RemoteRoot],
        statuses: Callable[[], list[RootStatus]],
        queues: Callable[[], Iterable[tuple[str, int]]],
        changes: Callable[[], int],
        has_broker: bool,
    ) -> None:
        self.faults = Faults(metrics)
        self.delay = LoopDelay(metrics)
        self._metrics = metrics
        self._cache = cache
        self._looks: SingleFlight[None, bool] = SingleFlight(cancel_abandoned=False)
        self._store = store
        self._listeners = listeners
        self._roots = roots
        self._statuses = statuses
        self._queues = queues
        self._changes = changes
        self._has_broker = has_broker

    def health(self) -> Health:
        """Return whether the broker is heard, and how many roots are up."""
        up = sum(not one.offline for one in self._statuses())
        return Health(self._has_broker and self.broker.connected, up)

    def upstream_away(self, reason: str) -> None:
        """Note that an upstream is not reached."""
        self.faults.note("upstream-away", reason)

    async def report(self, metrics: Metrics) -> None:
        """Report what is measured when it is asked for; of many roots that is work for a thread."""
        statuses, roots = self._statuses(), list(self._roots.values())
        await asyncio.to_thread(self._report, metrics, statuses, roots, list(self._queues()))

    def _report(
        self,
        metrics: Metrics,
        statuses: list[RootStatus],
        roots: list[RemoteRoot],
        queues: list[tuple[str, int]],
    ) -> None:
        metrics.set(measured.ROOTS, sum(not one.offline for one in statuses))
        metrics.set(measured.BROKER_UP, self._has_broker and self.broker.connected)
        if self.broker.silent_for is not None:
            metrics.set(measured.BROKER_SILENT, round(self.broker.silent_for, 3))
        for one in statuses:
            metrics.set(measured.ROOT_UP, not one.offline, root=one.name)
        for root in roots:
            measured.report_root(metrics, root)
        measured.report_cache(metrics, self._store.quota)
        metrics.set(measured.EVENT_LISTENERS, len(self._listeners))
        metrics.inc(measured.CHANGES, self._changes())
        measured.report_queues(metrics, queues)
        process.report(metrics)
        if self.workers is not None:
            self.workers.report(metrics)

    async def status(self, may_read: Callable[[RootName], bool], watches: bool) -> Status:
        """Return the status as one user may see it; of many roots that is work for a thread.

        Parameters
        ----------
        may_read : callable
            Tells whether a root may be seen.
        watches : bool
            Whether what is of all roots and users may be seen.
        """
        silent = self.broker.silent_for
        away: Literal["away", "none"] = "away" if self._has_broker else "none"
        broker: BrokerStatus = {
            "state": "up" if self._has_broker and self.broker.connected else away,
            "silent": None if silent is None else round(silent, 3),
        }
        given = self._statuses(), dict(self._roots), may_read
        queues = dict(self._queues()) if watches else None
        roots, problems = await asyncio.to_thread(self._judged, broker, watches, *given)
        return {
            "version": __version__, "started": status.time_text(process.START),
            "well": not problems, "broker": broker, "roots": roots,
            "cache": status.cache(self._store.quota) if watches else None,
            "queues": queues, "problems": problems,
            "workers": self.workers.status() if self.workers is not None and watches else None,
        }  # fmt: skip

    def _judged(
        self,
        broker: BrokerStatus,
        watches: bool,
        statuses: list[RootStatus],
        opened: dict[RootName, RemoteRoot],
        may_read: Callable[[RootName], bool],
    ) -> tuple[list[SeenRoot], list[Problem]]:
        """Return the roots that may be read, and what is wrong. Blocks."""
        roots = status.readable(statuses, opened, may_read)
        seen = {one["name"] for one in roots}
        return roots, status.problems(
            broker, roots, self.faults.recent(), lambda root: root in seen if root else watches
        )

    def answered(self, error: CatervaError, who: str) -> None:
        """Note an error that a user, or a reader without login, is answered with."""
        self._metrics.inc(measured.ERRORS, error=error.name)
        if isinstance(error, Busy | SlowDown):
            self.faults.note("refused", f"{who or 'a reader without login'}: {error.detail}")

    async def unready(self) -> str:
        """Return why the subscriber can't serve; empty if it can."""
        if not self.broker.known:
            heard = not self._has_broker or self.broker.connected
            return f"{'upstream' if heard else 'broker'}: none was heard yet"
        late = self.delay.lately(asyncio.get_running_loop().time())
        if late > _STALLED:
            return f"event loop: it stood still for {late:.1f} s"
        try:
            async with asyncio.timeout(_ANSWERS):
                usable = await self._looks.run(None, self._can_write)
        except TimeoutError:
            return "cache: its disk does not answer"
        return "" if usable else "cache: its directory can't be written"

    async def _can_write(self) -> bool:
        """Return whether the cache can be written; a disk that hangs holds one thread, not all."""
        return await asyncio.to_thread(os.access, self._cache, os.W_OK | os.X_OK)
