"""A worker: connections, permissions, and the channel to the core.

It ends when the channel does. At SIGTERM it gives all connections back first, so that none of their
clients notices.
"""

from __future__ import annotations

import asyncio
import email.utils
import logging
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from caterva2.limits import Limits
from caterva2.names import DatasetPath, RootName
from caterva2.runtime.metrics import MemoryMetrics
from caterva2.web.early.answers import EarlyAnswers
from caterva2.web.early.slices import Slices
from caterva2.web.middleware.latency import REQUESTS
from caterva2.web.server.early import Answer, Asked
from caterva2.workers import settings
from caterva2.workers.channel import Channel, Message
from caterva2.workers.connection import LentConnection, Manner
from caterva2.workers.generations import SeenGenerations
from caterva2.workers.permits import NOTHING, Key, Permits
from caterva2.workers.replica import ReadReplica
from caterva2.workers.report import Report

TICK = 1.0
"""Seconds between two looks at connections that are idle, and at files that were removed."""
REPORT = 0.25
"""Seconds until the core hears of what was answered."""
DRAINED = 5.0
"""Seconds in which connections have to be back before the worker ends."""


class Worker:
    """Answers on connections that are lent to it, as `caterva2.workers.connection.Desk`.

    Made on the running loop.

    Parameters
    ----------
    sock : socket
        To the core.
    page : int
        Descriptor of the shared numbers.
    manner : Manner
    limits : Limits
    recorded : bool
        Whether each answer is recorded.
    accounts : bool
        Whether there are users.
    """

    def __init__(
        self,
        sock: socket.socket,
        page: int,
        manner: Manner,
        limits: Limits,
        recorded: bool,
        accounts: bool,
    ) -> None:
        self.manner = manner
        self.ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._recorded = recorded
        self._metrics = MemoryMetrics()
        self._permits = Permits(SeenGenerations(page), limits.cache)
        sessions = self._permits if accounts else None
        self._early = EarlyAnswers(self._permits, sessions, [Slices()], self._metrics)
        self._asked: dict[Key, asyncio.Future[bool]] = {}
        self._warming: dict[tuple[int, int, int], asyncio.Future[bool]] = {}
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="verify")
        self._open: dict[int, LentConnection] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._report = Report()
        self._reports: asyncio.TimerHandle | None = None
        self._ticking: asyncio.TimerHandle | None = None
        self._ending = self._has_all = False
        self._began = 0.0
        self._second, self._date = 0, b""
        self._channel = Channel(sock, self._on_message, self.ended.set)

    # --- the core ---

    def _on_message(self, message: Message, descriptor: int) -> None:
        kind, *given = message
        if kind == "lend":
            self._borrow(descriptor, *given)
        elif kind == "permit":
            self._permitted(*given)
        elif kind == "close":
            self._close_one(*given)
        elif kind == "all":
            self._has_all = True
        elif kind == "ping":
            logging.getLogger().setLevel(given[0])  # it may have been set anew
            self._channel.send(["pong"])

    def _borrow(self, descriptor: int, ident: int, patience: int, first: bytes) -> None:
        if descriptor < 0:  # this process may not open more files
            self._report.closed.append(ident)
            self._report_soon()
            return
        sock = socket.socket(fileno=descriptor)
        if self._ending:
            self._channel.send(["back", ident, patience, first], sock.fileno())
            sock.close()
            return
        task = self._loop.create_task(self._connect(sock, ident, patience, first))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, sock: socket.socket, ident: int, patience: int, first: bytes) -> None:
        sock.setblocking(False)
        try:
            await self._loop.connect_accepted_socket(
                lambda: LentConnection(self, ident, patience, first), sock
            )
        except OSError:  # it is closed already
            sock.close()
            self._report.closed.append(ident)
            self._report_soon()

    def _close_one(self, ident: int) -> None:
        """Close the connection of an address that is idle for longest, as one of its number."""
        named = self._open.get(ident)
        if named is None:
            return
        of_address = (one for one in self._open.values() if one.client == named.client)
        staying = (one for one in of_address if not one.transport.is_closing())
        oldest = min(staying, key=lambda one: one.used, default=named)
        named.ident, oldest.ident = oldest.ident, named.ident
        self._open |= {one.ident: one for one in (named, oldest)}
        oldest.give_up()

    def _permitted(self, name: list[str], given: dict[str, Any]) -> None:
        key = Key(name[0], RootName(name[1]), DatasetPath(name[2]))
        place = given["base"], given.get("etag", "")
        replica = self._permits.opened(place)
        if replica is not None or not given["base"]:
            self._judged(key, given, replica)
            return
        opening = self._loop.run_in_executor(self._reading, self._permits.open, place, key.root)
        opening.add_done_callback(
            lambda done: self._judged(key, given, None if done.cancelled() else done.result())
        )

    def _judged(self, key: Key, given: dict[str, Any], replica: ReadReplica | None) -> None:
        marks = tuple((place, number) for place, number in given["marks"])
        if replica is None:
            self._permits.refuse(key, marks)
        else:
            said = given["seconds"], given["email"], given["offline"]
            self._permits.permit(key, marks, *said, replica)
        self._tick_soon()
        waiting = self._asked.pop(key, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(True)

    # --- of connections ---

    def joined(self, connection: LentConnection) -> None:
        self._open[connection.ident] = connection
        self._tick_soon()

    def left(self, connection: LentConnection) -> None:
        if self._open.pop(connection.ident, None) is not None:
            self._report.closed.append(connection.ident)
            self._report_soon()

    def answer(self, target: bytes, asked: Asked) -> Answer | None:
        self._permits.gap = NOTHING
        if self._ending or (self._recorded and asked.forwarded):
            return None  # the core judges whose word on the client counts
        self._began = time.perf_counter()
        return self._early.answer(target, asked)

    def answered(self, target: bytes, answer: Answer, client: str) -> None:
        self._report.answers += 1
        if self._recorded:
            seconds = time.perf_counter() - self._began
            self._report.record(target, answer, client, seconds)
        if self._reports is None or self._report.is_full:
            self._report_soon()

    def lacking(self) -> asyncio.Future[bool] | None:
        gap, self._permits.gap = self._permits.gap, NOTHING  # that of this request only
        if self._ending:
            return None
        if gap.key is not None:
            return self._ask(gap.key)
        replica = None if gap.dataset is None else gap.dataset.replica
        if replica is None or replica.unread is None:
            return None
        (n, block), replica.unread = replica.unread, None
        place = id(replica), n, block
        found = self._warming.get(place)
        if found is None:
            found = self._loop.run_in_executor(self._reading, replica.warm, n, block)
            self._warming[place] = found
            found.add_done_callback(lambda _: self._warming.pop(place, None))
        return found

    def _ask(self, key: Key) -> asyncio.Future[bool] | None:
        found = self._asked.get(key)
        if found is None:
            if not self._channel.send(["ask", *key]):
                return None
            found = self._asked[key] = self._loop.create_future()
        return found

    def give_back(self, connection: LentConnection, data: bytes) -> bool:
        descriptor = connection.transport.get_extra_info("socket").fileno()
        given = ["back", connection.ident, connection.patience, data]
        try:
            gone = self._channel.send(given, descriptor)
        except OSError:  # no more files can be opened
            gone = False
        if gone:
            self._open.pop(connection.ident, None)
        return gone

    def date(self) -> bytes:
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._date = b"date: %b\r\n" % email.utils.formatdate(now, usegmt=True).encode()
        return self._date

    # --- times ---

    def _report_soon(self) -> None:
        if self._reports is None:
            self._reports = self._loop.call_later(REPORT, self._send_report)
        elif self._report.is_full:
            self._reports.cancel()
            self._send_report()

    def _send_report(self) -> None:
        self._reports = None
        hits = self._permits.taken_hits()
        self._channel.send(["report", self._report.taken(hits, self._metrics.taken(REQUESTS))])

    def _tick_soon(self) -> None:
        if self._ticking is None and (self._open or self._permits.holds_files):
            self._ticking = self._loop.call_later(TICK, self._tick)

    def _tick(self) -> None:
        self._ticking = None
        now = time.monotonic()
        for connection in list(self._open.values()):
            connection.sweep(now)
        self._permits.tidy()
        self._tick_soon()

    # --- the end ---

    async def drain(self) -> None:
        """Give all connections back, and end."""
        if self._ending:
            return
        self._ending = True
        self._channel.send(["ends"])
        until = self._loop.time() + DRAINED
        reported = False  # not before the core lends no more, and all that it lent arrived
        while self._loop.time() < until and not (reported and not self._channel.pending):
            for connection in list(self._open.values()):
                connection.end()
            if self._has_all and not reported and not self._open and not self._tasks:
                reported = True
                self._send_report()
            await asyncio.sleep(0.01)  # answers are sent meanwhile
        self.ended.set()

    def close(self) -> None:
        """Close all connections."""
        self._channel.close()
        for connection in list(self._open.values()):
            connection.transport.abort()
        self._reading.shutdown(wait=False, cancel_futures=True)


async def serve(sock: socket.socket, page: int, given: dict[str, Any]) -> None:
    """Serve until the core ends, or SIGTERM."""
    made = settings.restored(given)
    worker = Worker(sock, page, made.manner, made.limits, made.recorded, made.accounts)
    loop = asyncio.get_running_loop()
    ends: list[asyncio.Task[None]] = []
    loop.add_signal_handler(
        signal.SIGTERM, lambda: ends.append(loop.create_task(worker.drain(), name="drain"))
    )
    try:
        await worker.ended.wait()
    finally:
        worker.close()
        os.close(page)
