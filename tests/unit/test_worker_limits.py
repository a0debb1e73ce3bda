"""Limits of workers: open files, places of connections, slow clients, processes that stand still"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import threading
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from caterva2.cache.store import Store
from caterva2.limits import DEFAULTS
from caterva2.names import DatasetPath, RootName
from caterva2.runtime.metrics import MemoryMetrics
from caterva2.web.server.connections import Connections
from caterva2.web.server.hosts import Hosts
from caterva2.web.server.lending import Lent
from caterva2.web.server.prefix import Prefix
from caterva2.workers import channel, connection
from caterva2.workers.channel import Channel
from caterva2.workers.connection import Manner
from caterva2.workers.crew import Crew
from caterva2.workers.generations import Generations, SeenGenerations
from caterva2.workers.member import UNANSWERED, Member
from caterva2.workers.permits import Key, Permits
from caterva2.workers.pool import CPU, WORKERS, WorkerPool
from caterva2.workers.replica import ReadReplica
from caterva2.workers.serving import Worker
from tests.unit import replicas

WAIT_S = 30


async def until(look: Callable[[], Any]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not look():  # noqa: ASYNC110 - it tells no event
            await asyncio.sleep(0.001)


@pytest.fixture
def generations() -> Iterator[Generations]:
    made = Generations()
    yield made
    made.close()


def whole(directory: Path) -> Path:
    """The path of the files of a complete replica of `replicas.INFO`."""
    store = Store(directory / "cache")
    sizes, digests = list(map(len, replicas.RAW)), list(map(zlib.crc32, replicas.RAW))
    replica = store.replica(replicas.ROOT, replicas.INFO)
    replica.add(range(10), sizes, digests, b"".join(replicas.RAW))
    return store.base_of(replicas.ROOT, replicas.INFO.path, replicas.INFO.etag)


def test_no_more_replicas_are_open_than_may_be_whatever_is_permitted(
    tmp_path: Path, generations: Generations
) -> None:
    base = whole(tmp_path)
    permits = Permits(
        SeenGenerations(generations.descriptor), replace(DEFAULTS.cache, open_replicas=2)
    )
    keys = [Key("", replicas.ROOT, DatasetPath(f"{n}.b2nd")) for n in range(5)]
    marks, before = generations.marks(*keys[0][1:]), len(os.listdir("/proc/self/fd"))
    for n, key in enumerate(keys):
        for file in base.parent.glob(base.name + ".*"):
            os.link(file, file.with_name(f"{n}{file.suffix}"))
        opened = permits.open((str(base.with_name(str(n))), replicas.INFO.etag), replicas.ROOT)
        permits.permit(key, marks, 60.0, "", False, opened)
        del opened
    assert [permits.dataset(key) is not None for key in keys] == [False] * 3 + [True] * 2
    assert permits.dataset(keys[0]) is None
    assert permits.gap.key == keys[0]  # it is asked for again
    assert len(os.listdir("/proc/self/fd")) - before <= 2 * 2


def test_a_file_system_that_can_not_say_what_is_in_memory_is_not_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EOPNOTSUPP, "not there")

    replica = ReadReplica(whole(tmp_path), replicas.ROOT, replicas.INFO.etag, 100)
    assert replica.try_block(3, 1) is None
    assert replica.unread == (3, 1)
    assert replica.warm(3, 1)
    replica.unread = None
    monkeypatch.setattr("caterva2.workers.replica.pread_cached", refuse)
    assert replica.try_block(3, 1) is None
    assert replica.unread is None  # so the core answers


def test_lent_connections_give_up_their_places_for_new_ones() -> None:
    class Idle:
        def give_up(self) -> None:
            raise AssertionError("a lent one has been there for longer")

    opened = Connections(replace(DEFAULTS.web, address_connections=2), descriptors=100)
    first, given_up, lent = Idle(), [], Lent(opened)
    lent.close = lambda: given_up.append(lent)
    assert opened.add(first, "a")
    opened.replace(first, lent)
    assert opened.add(Idle(), "a")
    assert opened.add(Idle(), "a")
    assert given_up == [lent]
    lent.end()  # when the worker reports it
    assert len(opened) == 2


class Post:
    """Hears what a worker says."""

    def __init__(self) -> None:
        self.got: list[tuple[Any, ...]] = []

    def returned(self, *given: Any) -> None:
        self.got.append(given)

    asked = reported = returned


class Core:
    """The core's end of a worker in this process."""

    def __init__(self, generations: Generations) -> None:
        ours, theirs = channel.pair()
        self.got: list[Any] = []
        self.channel = Channel(ours, self._hear, lambda: None)
        manner = Manner(DEFAULTS.web, Hosts([]), Prefix(""))
        self.worker = Worker(theirs, generations.descriptor, manner, DEFAULTS, False, False)

    def _hear(self, message: Any, descriptor: int) -> None:
        self.got.append(message)
        if descriptor >= 0:
            os.close(descriptor)

    @contextlib.asynccontextmanager
    async def lending(self, count: int) -> AsyncIterator[list[socket.socket]]:
        """Lend connections, numbered from 1 on, to clients."""
        with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as stack:
            clients = []
            for n in range(count):
                client = socket.create_connection(listener.getsockname(), timeout=WAIT_S)
                clients.append(stack.enter_context(client))
                lent, _ = listener.accept()
                with lent:
                    assert self.channel.send(["lend", n + 1, 1, b""], lent.fileno())
                await until(lambda n=n: len(self.worker._open) > n)
            yield clients

    def close(self) -> None:
        self.worker.close()
        self.channel.close()


def test_a_worker_closes_what_is_idle_for_longest_of_an_address(generations: Generations) -> None:
    async def work() -> None:
        core = Core(generations)
        async with core.lending(2) as clients:
            one, other = core.worker._open.values()
            one.used += 60
            core.channel.send(["close", 1])
            await until(lambda: core.got)
            assert core.got[0][1]["closed"] == [1]  # whose place is another one's already
            assert core.worker._open == {2: one}
            assert other.transport.is_closing()
            assert clients[1].recv(1) == b""
        core.close()

    asyncio.run(work())


def test_a_client_that_leaves_the_end_of_an_answer_unread_is_cut(generations: Generations) -> None:
    async def work() -> None:
        core = Core(generations)
        async with core.lending(1) as clients:
            lent = core.worker._open[1]
            clients[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sending = lent.transport.get_extra_info("socket")
            sending.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            while not lent.transport.get_write_buffer_size():  # less than would pause it
                lent.transport.write(bytes(8192))
                await asyncio.sleep(0.01)
            lent.sweep(lent.used + DEFAULTS.web.keep_alive + 1)
            assert not lent.transport.is_closing()
            lent.sweep(lent.used + DEFAULTS.web.stalled + 1)
            await until(lambda: not core.worker._open)
        core.close()

    asyncio.run(work())


def test_a_worker_is_killed_for_what_it_does_not_answer_and_not_by_the_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work() -> None:
        ours, theirs = channel.pair()
        killed: list[int] = []
        monkeypatch.setattr(Member, "kill", lambda one: killed.append(one.pid))
        made = Member(7, ours, Post())
        worker = Channel(theirs, lambda *_: None, lambda: None)
        later = time.monotonic() + 1000  # the core itself was stopped
        clock = SimpleNamespace(monotonic=lambda: later)
        monkeypatch.setattr("caterva2.workers.member.time", clock)
        for _ in range(3):
            made.look()
        assert not made.serves
        worker.send(["pong"])
        await until(lambda: not made._unanswered)
        assert made.serves
        for _ in range(UNANSWERED):
            made.look()
        assert not killed
        made.look()
        assert killed == [7]
        worker.close()
        made.close()

    asyncio.run(work())


def test_a_worker_that_ends_waits_for_what_is_lent_to_it_until_the_core_knows(
    generations: Generations,
) -> None:
    async def work() -> None:
        core = Core(generations)
        draining = asyncio.create_task(core.worker.drain())
        await until(lambda: core.got)
        await asyncio.sleep(0.05)
        assert core.got == [["ends"]]
        with socket.create_server(("127.0.0.1", 0)) as listener:
            assert core.channel.send(["lend", 1, 1, b"GET"], listener.fileno())
        assert core.channel.send(["all"])
        await draining
        await until(lambda: len(core.got) > 1)
        assert core.got[1] == ["back", 1, 1, b"GET"]
        core.close()

    asyncio.run(work())


REST = b" HTTP/1.1\r\nHost: localhost\r\nAccept: application/vnd.caterva2.chunks\r\n\r\n"


def test_a_request_does_not_wait_for_what_that_of_another_connection_lacks(
    monkeypatch: pytest.MonkeyPatch, generations: Generations
) -> None:
    monkeypatch.setattr(connection, "LACKED", 2.0 * WAIT_S)

    async def work() -> None:
        core = Core(generations)
        async with core.lending(2) as clients:
            clients[0].sendall(b"GET /api/fetch/foo/a.b2nd?slice_=0:2" + REST)
            await until(lambda: core.got)
            assert core.got == [["ask", "", "foo", "a.b2nd"]]
            clients[1].sendall(b"POST /" + REST)
            await until(lambda: len(core.got) > 1)
            assert core.got[1] == ["back", 2, 2, b"POST /" + REST]
        core.close()

    asyncio.run(work())


def test_a_connection_that_can_not_be_given_back_is_reported_as_closed(
    monkeypatch: pytest.MonkeyPatch, generations: Generations
) -> None:
    async def work() -> None:
        core = Core(generations)
        send = core.worker._channel.send

        def refuse(message: Any, descriptor: int = -1) -> bool:
            if message[0] == "back":
                raise OSError("too many open files")
            return send(message, descriptor)

        monkeypatch.setattr(core.worker._channel, "send", refuse)
        async with core.lending(1) as clients:
            clients[0].sendall(b"POST /" + REST)
            await until(lambda: core.got)
            assert core.got[0][1]["closed"] == [1]
            assert clients[0].recv(1) == b""
        core.close()

    asyncio.run(work())


def test_processor_time_does_not_go_back_while_a_worker_leaves(generations: Generations) -> None:
    async def work() -> None:
        pool = WorkerPool.__new__(WorkerPool)
        pool.restarts, pool._cpu = 0, 0.0
        ours, theirs = channel.pair()
        made = Member(os.getpid(), ours, Post())
        pool._members = {0: made}
        counts = []
        for made.leaves in (False, True):
            metrics = MemoryMetrics()
            pool.report(metrics)
            counts.append({kind: one[0].value for kind, one in metrics.families().items()})
        assert [one[WORKERS] for one in counts] == [1, 0]
        assert 0 < counts[0][CPU] <= counts[1][CPU]
        made.close()
        theirs.close()

    asyncio.run(work())


def test_workers_go_on_where_the_system_has_no_room_for_another_one() -> None:
    crew = Crew(-1, {})
    crew._control, theirs = channel.pair()
    theirs.send(str(-errno.EAGAIN).encode())
    theirs.send(b"7")
    with pytest.raises(BlockingIOError):
        crew.fork()
    pid, sock = crew.fork()
    assert pid == 7
    sock.close()
    theirs.close()
    crew.end()


def test_a_slow_disk_does_not_hold_up_a_worker(
    monkeypatch: pytest.MonkeyPatch, generations: Generations
) -> None:
    goes_on = threading.Event()
    monkeypatch.setattr(Permits, "open", lambda *_: goes_on.wait(WAIT_S) and None)
    said = {"marks": [], "base": "/x", "etag": "1", "seconds": 9, "email": "", "offline": False}

    async def work() -> None:
        core = Core(generations)
        core.channel.send(["permit", ["", "foo", "a.b2nd"], said])
        core.channel.send(["ping", logging.getLogger().level])
        await until(lambda: core.got == [["pong"]])
        assert not goes_on.is_set()
        goes_on.set()
        key = Key("", RootName("foo"), DatasetPath("a.b2nd"))
        await until(lambda: core.worker._permits.valid(key) is not None)  # it is refused
        core.close()

    asyncio.run(work())
