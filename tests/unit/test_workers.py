"""Parts of workers: the channel, numbers that make permissions void, replicas, and connections"""

from __future__ import annotations

import asyncio
import os
import socket
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from caterva2.cache.store import Store
from caterva2.errors import SourceCorrupt
from caterva2.limits import DEFAULTS
from caterva2.names import DatasetPath, RootName
from caterva2.web.server.early import Answer, Asked
from caterva2.web.server.hosts import Hosts
from caterva2.web.server.options import HttpOptions
from caterva2.web.server.prefix import Prefix
from caterva2.workers import channel, connection, settings
from caterva2.workers.channel import Channel
from caterva2.workers.connection import LentConnection, Manner
from caterva2.workers.generations import MANY, Generations, SeenGenerations
from caterva2.workers.permission import Permissions
from caterva2.workers.permits import Key, Permits
from caterva2.workers.pool import WorkerPool
from caterva2.workers.replica import ReadReplica
from tests.unit import replicas

A, B = DatasetPath("a.b2nd"), DatasetPath("dir/b.b2nd")
FOO, BAR = RootName("foo"), RootName("bar")
REST = b" HTTP/1.1\r\nHost: localhost\r\nAccept: y\r\n\r\n"
WAIT_S = 30


async def until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not look():  # noqa: ASYNC110 - it tells no event
            await asyncio.sleep(0.001)


# --- the channel ---


def test_long_messages_and_descriptors_arrive_in_order() -> None:
    async def work() -> None:
        ours, theirs = channel.pair()
        got: list[tuple[Any, int]] = []
        end = asyncio.Event()
        sender = Channel(ours, lambda *_: None, lambda: None)
        receiver = Channel(theirs, lambda *one: got.append(one), end.set)
        null = os.open(os.devnull, os.O_RDONLY)
        try:
            for n in range(20):
                assert sender.send(["data", n, bytes(200_000)], null if n % 2 else -1)
            await until(lambda: len(got) == 20)
        finally:
            os.close(null)
        assert [message[1] for message, _ in got] == list(range(20))
        assert all(len(message[2]) == 200_000 for message, _ in got)
        assert [descriptor >= 0 for _, descriptor in got] == [bool(n % 2) for n in range(20)]
        for _, descriptor in got:
            if descriptor >= 0:
                os.close(descriptor)
        sender.close()
        async with asyncio.timeout(WAIT_S):
            await end.wait()
        receiver.close()

    asyncio.run(work())


@pytest.mark.parametrize("sent", [b"\1\xc1", b"\1\x01", b"\1\x90"])
def test_a_peer_that_talks_nonsense_is_cut_off(sent: bytes) -> None:
    async def work() -> None:
        ours, theirs = channel.pair()
        end = asyncio.Event()
        Channel(theirs, lambda *_: None, end.set)
        ours.send(sent)
        async with asyncio.timeout(WAIT_S):
            await end.wait()
        ours.close()

    asyncio.run(work())


def test_what_nobody_takes_is_refused() -> None:
    async def work() -> None:
        ours, theirs = channel.pair()
        sender = Channel(ours, lambda *_: None, lambda: None, most=10)
        assert not all(sender.send(["x", bytes(40_000)]) for _ in range(1000))
        sender.close()
        theirs.close()

    asyncio.run(work())


# --- permissions ---


@pytest.fixture
def generations() -> Any:
    made = Generations()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("doubt", "left"),
    [
        (lambda g: g.doubt_all(), set()),
        (lambda g: g.doubt_root(FOO), {(BAR, A)}),
        (lambda g: g.doubt_datasets(FOO, {A}), {(FOO, B), (BAR, A)}),
        (lambda g: g.doubt_datasets(FOO, [A] * MANY), {(BAR, A)}),
    ],
)
def test_what_changed_makes_other_numbers(
    generations: Generations, doubt: Callable[[Generations], None], left: set[Any]
) -> None:
    seen = SeenGenerations(generations.descriptor)
    known = {(r, p): generations.marks(r, p) for r, p in ((FOO, A), (FOO, B), (BAR, A))}
    assert all(map(seen.are, known.values()))
    doubt(generations)
    assert {key for key, marks in known.items() if seen.are(marks)} == left


@pytest.fixture
def whole(tmp_path: Path) -> tuple[Store, Path]:
    """A complete replica of `replicas.INFO` in a store, and the path of its files."""
    store = Store(tmp_path / "cache")
    replica = store.replica(replicas.ROOT, replicas.INFO)
    sizes = list(map(len, replicas.RAW))

    digests = list(map(zlib.crc32, replicas.RAW))
    replica.add(range(10), sizes, digests, b"".join(replicas.RAW))
    assert replica.complete
    return store, store.base_of(replicas.ROOT, replicas.INFO.path, replicas.INFO.etag)


def opened(base: Path) -> ReadReplica:
    return ReadReplica(base, replicas.ROOT, replicas.INFO.etag, 100)


def test_a_block_is_read_once_its_chunk_was_verified(whole: tuple[Store, Path]) -> None:
    store, base = whole
    replica = opened(base)
    assert replica.try_block(3, 1) is None
    assert replica.unread == (3, 1)
    assert replica.warm(3, 1)
    core = store.replica(replicas.ROOT, replicas.INFO)
    core.verify(np.arange(10))
    assert replica.try_block(3, 1) == core.try_block(3, 1)
    assert replica.try_block(3, 1) is not None


def test_a_damaged_chunk_is_left_to_the_core(whole: tuple[Store, Path]) -> None:
    store, base = whole
    replicas.damage(store.replica(replicas.ROOT, replicas.INFO), 4)
    replica = opened(base)
    assert not replica.warm(4, 0)
    assert replica.warm(5, 0)


def test_files_that_are_removed_stay_readable_and_are_let_go(
    whole: tuple[Store, Path], generations: Generations
) -> None:
    store, base = whole
    permits = Permits(SeenGenerations(generations.descriptor), DEFAULTS.cache)
    key = Key("", replicas.ROOT, replicas.INFO.path)
    marks = generations.marks(*key[1:])
    permits.permit(key, marks, 60.0, "", False, opened(base))
    dataset = permits.dataset(key)
    assert dataset is not None
    assert dataset.replica.warm(0, 0)
    store.remove(base)
    assert dataset.replica.is_removed
    assert dataset.try_block(0, 0) is not None
    permits.tidy()
    assert not permits.holds_files
    assert permits.dataset(key) is None
    assert permits.gap.key == key


def test_a_replica_of_another_version_is_not_opened(whole: tuple[Store, Path]) -> None:
    with pytest.raises(SourceCorrupt, match="another version"):
        ReadReplica(whole[1], replicas.ROOT, "other", 100)


def test_a_permission_ends_with_its_time_and_with_doubts(
    whole: tuple[Store, Path], generations: Generations
) -> None:
    permits = Permits(SeenGenerations(generations.descriptor), DEFAULTS.cache)
    key = Key("token", replicas.ROOT, replicas.INFO.path)
    replica = opened(whole[1])
    permits.permit(key, generations.marks(*key[1:]), 0.0, "ann@x", False, replica)
    assert permits.dataset(key) is None
    permits.permit(key, generations.marks(*key[1:]), 60.0, "ann@x", False, replica)
    assert permits.dataset(key) is not None
    assert permits.dataset(key._replace(token="other")) is None
    assert permits.known_user("token").email == "ann@x"
    generations.doubt_all()
    assert permits.dataset(key) is None


def test_a_judgement_that_fails_leaves_a_dataset_to_the_core(generations: Generations) -> None:
    class Failing(Permissions):
        async def judge(self, token: str, root: RootName, path: DatasetPath) -> dict[str, Any]:
            raise RuntimeError("on purpose")

    got: list[Any] = []
    pool, nothing = WorkerPool.__new__(WorkerPool), cast("Any", None)
    pool._permissions = Failing(nothing, nothing, nothing, generations)
    member = cast("Any", SimpleNamespace(permit=lambda *given: got.append(given)))
    asyncio.run(pool._judge(member, "token", FOO, A))
    assert got == [("token", FOO, A, {"marks": generations.marks(FOO, A), "base": ""})]


def test_settings_go_to_workers_as_data() -> None:
    options = HttpOptions(hosts=Hosts(["lab.example"], True), prefix=Prefix("/data"))
    given = settings.described(options, DEFAULTS, recorded=True, accounts=False)
    made = settings.restored(given)
    assert (made.limits.web, made.limits.cache) == (DEFAULTS.web, DEFAULTS.cache)
    assert (made.recorded, made.accounts, made.manner.prefix.text) == (True, False, "/data")
    assert made.manner.hosts.refusal([(b"host", b"lab.example")]) is None
    assert made.manner.hosts.refusal([(b"host", b"evil.example")]) is not None


# --- connections ---


class Desk:
    """Answers what is below ``/early``, once it does not lack anything more."""

    def __init__(self) -> None:
        self.manner = Manner(DEFAULTS.web, Hosts([]), Prefix(""))
        self.given_back: list[bytes] = []
        self.lacks: list[asyncio.Future[bool]] = []
        self.lacking_next = 0

    def joined(self, one: LentConnection) -> None: ...

    def left(self, one: LentConnection) -> None: ...

    def answer(self, target: bytes, asked: Asked) -> Answer | None:
        if not target.startswith(b"/early") or self.lacking_next:
            return None
        return Answer(b"HTTP/1.1 200 OK\r\n", b"content-length: %d\r\n" % len(target), target)

    def answered(self, target: bytes, answer: Answer, client: str) -> None: ...

    def lacking(self) -> asyncio.Future[bool] | None:
        if not self.lacking_next:
            return None
        self.lacking_next -= 1
        self.lacks.append(asyncio.get_running_loop().create_future())
        return self.lacks[-1]

    def give_back(self, one: LentConnection, data: bytes) -> bool:
        self.given_back.append(data)
        return True

    def date(self) -> bytes:
        return b"date: now\r\n"


async def talk(desk: Desk, *sent: bytes, first: bytes = b"") -> tuple[Any, asyncio.StreamReader]:
    """Open a lent connection, and send some pieces on it."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    _, lent = await loop.connect_accepted_socket(lambda: LentConnection(desk, 1, 1, first), theirs)
    reader, writer = await asyncio.open_connection(sock=ours)
    for piece in sent:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.01)  # so that pieces arrive one by one
    return (lent, writer), reader


def run(desk: Desk, *sent: bytes, first: bytes = b"") -> bytes:
    """Return what is answered until the connection is given back."""

    async def work() -> bytes:
        (_, writer), reader = await talk(desk, *sent, first=first)
        async with asyncio.timeout(WAIT_S):
            got = await reader.read()
        writer.transport.abort()
        return got

    return asyncio.run(work())


@pytest.mark.parametrize(
    "other",
    [
        b"GET /other" + REST,
        b"POST /early" + REST,
        b"GET /early HTTP/1.0\r\n\r\n",
        b"GET /early HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET /early HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
        b"GET /early HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /early HTTP/1.1\r\n folded: x\r\n\r\n",
        b"GET /early HTTP/1.1\r\nAcc(ept: x\r\n\r\n",
        b"GET /early HTTP/1.1\r\nAccept: x\1\r\n\r\n",
        b"GET /early HTTP/1.1\r\nAccept: " + b"x" * connection.LONGEST + b"\r\n\r\n",
        b"GET /early HTT",
        (b"GET /early/1" + REST) * 2,
        bytes(100),
    ],
)
def test_what_is_no_usual_request_goes_back_as_it_came(other: bytes) -> None:
    desk = Desk()
    first = b"GET /early/1" + REST
    got = run(desk, b"GET /early/2" + REST, other, first=first)
    assert got.count(b"200 OK") == 2
    assert b"".join(desk.given_back) == other


def test_a_request_waits_for_what_its_answer_lacks() -> None:
    async def work() -> None:
        desk = Desk()
        desk.lacking_next = 2
        (_, writer), reader = await talk(desk, b"GET /early/1" + REST)
        for n in range(2):
            await until(lambda n=n: len(desk.lacks) > n)
            desk.lacks[n].set_result(True)
        async with asyncio.timeout(WAIT_S):
            assert (await reader.readuntil(b"/early/1")).startswith(b"HTTP/1.1 200")
        assert not desk.given_back
        desk.lacking_next = 1
        writer.write(b"GET /early/2" + REST)
        await until(lambda: len(desk.lacks) == 3)
        async with asyncio.timeout(WAIT_S):
            desk.lacks[2].set_result(False)
            assert await reader.read() == b""
        assert desk.given_back == [b"GET /early/2" + REST]
        writer.transport.abort()

    asyncio.run(work())
