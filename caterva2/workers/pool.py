"""The workers of a subscriber: they are started, watched, and lent connections."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

from caterva2.cache.store import Store
from caterva2.names import DatasetPath, RootName
from caterva2.rest.service import Workers as WorkersStatus
from caterva2.runtime.logs.requests import Request, RequestRecords
from caterva2.runtime.metrics import Counter, Gauge, MemoryMetrics, Metrics
from caterva2.runtime.tasks import Tasks
from caterva2.subscriber.service import Subscriber
from caterva2.web.middleware.latency import REQUESTS
from caterva2.web.server.lending import Lent, Take
from caterva2.workers.crew import Crew
from caterva2.workers.generations import Generations
from caterva2.workers.member import Member
from caterva2.workers.permission import Permissions

log = logging.getLogger(__name__)
WORKERS = Gauge("caterva2_workers", "Workers that run")
RESTARTS = Counter("caterva2_worker_restarts_total", "Workers that ended, and were started again")
ANSWERS = Counter("caterva2_worker_answers_total", "Requests that workers answered")
CONNECTIONS = Gauge("caterva2_worker_connections", "Connections that workers have")
MEMORY = Gauge(
    "caterva2_worker_memory_bytes", "Memory of all workers that is in use, what they share too"
)
CPU = Counter("caterva2_worker_cpu_seconds_total", "Processor time of all workers")
LOOK = 5.0
"""Seconds between two looks at the workers."""
FIRST, MOST = 0.1, 10.0
"""Seconds until a worker that crashed is started again, at first and at most."""
STEADY = 60.0
"""Seconds after which a crash is no more one of a row."""


class WorkerPool:
    """The workers, as `caterva2.web.server.lending.Lender` and `caterva2.workers.member.Post`.

    Parameters
    ----------
    count : int
    generations : Generations
    permissions : Permissions
    given : dict
        What workers have to know.
    subscriber : Subscriber
    metrics : MemoryMetrics
    records : RequestRecords

    Attributes
    ----------
    restarts : int
    """

    take: Take

    def __init__(
        self,
        count: int,
        generations: Generations,
        permissions: Permissions,
        given: dict[str, Any],
        subscriber: Subscriber,
        metrics: MemoryMetrics,
        records: RequestRecords,
    ) -> None:
        self._count, self._permissions = count, permissions
        self._subscriber, self._metrics, self._records = subscriber, metrics, records
        self._crew = Crew(generations.descriptor, given)
        self._members: dict[int, Member] = {}
        self._tasks = Tasks()
        self._forking = asyncio.Lock()  # so that one thread waits for it at most
        self._ending = False
        self.restarts = 0
        self._cpu = 0.0

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Self]:
        """Have workers while the context is entered; they start in the background."""
        for place in range(self._count):
            self._tasks.start(self._keep(place), f"keep worker {place}")
        self._tasks.start(self._look(), "look at workers")
        try:
            yield self
        finally:
            self._ending = True
            await self._tasks.stop()
            for member in list(self._members.values()):
                member.close()
            await asyncio.to_thread(self._crew.end)

    async def failed(self) -> None:
        """Wait for the first failure of a background task, and raise it."""
        await self._tasks.failed()

    async def _keep(self, place: int) -> None:
        """Start a worker again whenever it has ended, after a while if it crashes in a row."""
        wait = FIRST
        while True:
            try:
                async with self._forking:
                    pid, sock = await asyncio.to_thread(self._crew.fork)
            except OSError as error:
                log.error("a worker can't be started: %s", error)
                await _rest(wait)
                wait = min(2 * wait, MOST)
                continue
            member = self._members[place] = Member(pid, sock, self)
            log.info("worker %d is process %d", place, pid)
            await member.ended.wait()
            self.restarts += 1
            self._cpu += member.used()[1]
            if member.leaves:
                log.info("worker %d has ended, and is started again", pid)
                wait = FIRST
                continue
            log.error("worker %d has crashed, and is started again", pid)
            wait = FIRST if time.monotonic() - member.began > STEADY else min(2 * wait, MOST)
            await _rest(wait)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            for member in self._running():
                member.look()

    def _running(self) -> list[Member]:
        return [member for member in list(self._members.values()) if not member.ended.is_set()]

    def _serving(self) -> list[Member]:
        return [member for member in self._running() if member.serves]

    # --- connections ---

    def lend(self, descriptor: int, patience: int, data: bytes, lent: Lent) -> bool:
        """Lend a connection to the worker that has fewest."""
        members = [] if self._ending else self._serving()
        if not members:
            return False
        member = min(members, key=lambda one: len(one.lent))
        try:
            return member.lend(descriptor, patience, data, lent)
        except OSError:  # no more files can be opened
            return False

    def returned(self, sock: socket.socket, data: bytes, patience: int) -> None:
        """Serve a connection that came back."""
        sock.setblocking(False)
        self._tasks.start(self._take(sock, data, patience), "take a connection")

    async def _take(self, sock: socket.socket, data: bytes, patience: int) -> None:
        await self.take(sock, data, patience)

    def asked(self, member: Member, token: str, root: RootName, path: DatasetPath) -> None:
        """Answer what a worker asks."""
        self._tasks.start(self._judge(member, token, root, path), "judge for a worker")

    async def _judge(self, member: Member, token: str, root: RootName, path: DatasetPath) -> None:
        try:
            given = await self._permissions.judge(token, root, path)
        except Exception:
            log.exception("%s/%s could not be judged for a worker", root, path)
            given = self._permissions.refused(root, path)
        member.permit(token, root, path, given)

    # --- what they did ---

    def reported(self, report: dict[str, Any]) -> None:
        """Count what a worker did as if it had been done here."""
        self._metrics.inc(ANSWERS, report["answers"])
        for labels, counts, total in report["requests"]:
            self._metrics.merge(REQUESTS, counts, total, **labels)
        for path, user, client, status, sent, seconds in report["records"]:
            self._records.add(Request("GET", path, user, client), status, sent, seconds)
        for root, path, etag, count in report["hits"]:
            self._hit(RootName(root), DatasetPath(path), etag, count)

    def _hit(self, name: RootName, path: DatasetPath, etag: str, count: int) -> None:
        """Count reads of a replica, which must not be evicted for being read elsewhere."""
        root, _ = self._subscriber.found(name)
        if root is not None:
            root.traffic.hits += count
            self._subscriber.try_dataset(name, path)  # keeps it open
            store = self._subscriber.store
            self._subscriber.pool.later(lambda: _touch(store, store.base_of(name, path, etag)))

    def report(self, metrics: Metrics) -> None:
        """Report the workers, for metrics."""
        members = self._running()  # processor time of those that leave goes on to count
        used = [member.used() for member in members]
        metrics.set(WORKERS, sum(member.serves for member in members))
        metrics.inc(RESTARTS, self.restarts)
        metrics.set(CONNECTIONS, sum(len(member.lent) for member in members))
        metrics.set(MEMORY, sum(memory for memory, _ in used))
        metrics.inc(CPU, self._cpu + sum(seconds for _, seconds in used))

    def status(self) -> WorkersStatus:
        """Return their status."""
        members = self._serving()
        return {
            "wanted": self._count, "running": len(members), "restarts": self.restarts,
            "connections": sum(len(member.lent) for member in members),
        }  # fmt: skip


def _touch(store: Store, base: Path) -> None:
    if store.quota.counts(base):
        with contextlib.suppress(FileNotFoundError):  # it is evicted at this time
            store.quota.touch(base)


async def _rest(seconds: float) -> None:
    await asyncio.sleep(seconds * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
