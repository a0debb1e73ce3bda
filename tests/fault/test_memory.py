"""Readers that take nothing, and many greedy ones: memory stays within a bound."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import blosc2
import numpy as np
import pytest
import zmq

from caterva2.limits import DEFAULTS, constants
from caterva2.wire import codec, messages, sockets
from tests.conftest import Stack, eventually

CHUNKS = 64
GREEDY = 50
ALL_BYTES = 32 * constants.MIB
"""Payload that the publisher may hold: much less than its peers ask for."""
PUBLISHER_BOUND = ALL_BYTES + 32 * constants.MIB
"""Payload on its way, and what sockets and reads take; beside these each reader has a reply."""
SUBSCRIBER_BOUND = DEFAULTS.web.outputs_bytes + 288 * constants.MIB
"""Answers in the making, the pieces of stored frames, and decoding."""


@pytest.fixture
def published(stack: Stack, tmp_path: Path) -> Path:
    """A directory with an array of 64 chunks of 1 MiB that don't compress."""
    stack.configure(f"[limits.publisher]\nall_bytes = {ALL_BYTES}\n")
    source = tmp_path / "data"
    source.mkdir()
    values = np.random.default_rng(0).random((CHUNKS, 2**17))
    blosc2.asarray(values, chunks=(1, 2**17), cparams={"clevel": 0}, urlpath=str(source / "a.b2nd"))
    return source


class Memory:
    """The memory that a service takes from now on; a forked one began with that of its parent."""

    def __init__(self, stack: Stack, name: str) -> None:
        self._status = Path(f"/proc/{stack.children[name].process.pid}/status")
        self._before = self._peak()

    def growth(self) -> int:
        """Return how many bytes more it has had at most."""
        return self._peak() - self._before

    def _peak(self) -> int:
        found = re.search(r"VmHWM:\s+(\d+) kB", self._status.read_text())
        assert found
        return int(found[1]) * 1024


class Peer:
    """A reader of raw chunks that asks for all it may before it takes an answer."""

    def __init__(self, context: sockets.Context, endpoint: str) -> None:
        self.socket = sockets.make(context, zmq.DEALER, data=True)
        self.socket.rcvhwm = 4  # a reader that takes nothing shall not hold it all itself
        sockets.connect(self.socket, endpoint)
        self._ids = itertools.count(1)

    def ask(self, request: messages.DataRequest) -> None:
        numbered = request.model_copy(update={"id": next(self._ids)})
        self.socket.send_multipart(codec.encode(numbered))

    def replies(self) -> Iterator[messages.DataReply]:
        while self.socket.poll(90_000):
            yield codec.data_replies(self.socket.recv_multipart())
        raise AssertionError("nothing comes any more")


@contextlib.contextmanager
def connected(endpoint: str, count: int) -> Iterator[list[Peer]]:
    context: sockets.Context = zmq.Context()
    try:
        yield [Peer(context, endpoint) for _ in range(count)]
    finally:
        context.destroy(linger=0)


@pytest.mark.parametrize("count", [8, pytest.param(GREEDY, marks=pytest.mark.slow)])
def test_publisher_with_a_stalled_and_many_greedy_readers(
    stack: Stack, published: Path, count: int
) -> None:
    client = stack.start(data=published)
    memory = Memory(stack, "pub-data")
    endpoint = "tcp://" + client.get_roots()["data"]["http"]
    with connected(endpoint, count + 1) as (stalled, *greedy):
        first = greedy[0]
        first.ask(messages.InfoRequest.model_validate({"path": "a.b2nd"}))
        info = next(first.replies())
        assert isinstance(info, messages.Info)
        everything = messages.ChunksRequest(
            path=info.path, etag=info.etag, n=tuple(range(CHUNKS)), deadline_ms=60_000
        )
        part = everything.model_copy(update={"n": tuple(range(8)), "deadline_ms": 600_000})
        for _ in range(DEFAULTS.publisher.peer_jobs):
            stalled.ask(everything)
        for peer in greedy:
            for _ in range(4):
                peer.ask(part)
        ended = dict.fromkeys(greedy, 0)
        while min(ended.values()) < 4:
            # All wait with their queues full, and none for so long that its heartbeats stop.
            for peer in [peer for peer, count in ended.items() if count < 4]:
                reply = next(peer.replies())
                assert isinstance(reply, messages.Chunks), reply
                ended[peer] += reply.last
        assert memory.growth() < PUBLISHER_BOUND + count * DEFAULTS.publisher.reply_bytes


def test_readers_that_take_nothing_do_not_keep_others_from_reading(
    stack: Stack, published: Path
) -> None:
    client = stack.start(data=published)
    endpoint = "tcp://" + client.get_roots()["data"]["http"]
    etag = client.get_info("data/a.b2nd")["etag"]
    stalled = 2 * ALL_BYTES // DEFAULTS.publisher.peer_bytes
    with connected(endpoint, stalled) as peers:
        for peer in peers:
            request = {
                "path": "a.b2nd",
                "etag": etag,
                "n": tuple(range(CHUNKS)),
                "deadline_ms": 60_000,
            }
            peer.ask(messages.ChunksRequest.model_validate(request))
        eventually(lambda: client.fetch("data/a.b2nd", (slice(None), 0)).shape == (CHUNKS,), 60)


@pytest.mark.slow
def test_subscriber_with_stalled_and_fifty_greedy_readers(stack: Stack, published: Path) -> None:
    client = stack.start(data=published)
    memory = Memory(stack, "sub")
    client.fetch("data/a.b2nd", (slice(None), 0))
    port = int(stack.url.rpartition(":")[2])
    slice_, whole = "/api/fetch/data/a.b2nd?slice_=1:64,1:", "/api/fetch/data/a.b2nd"
    wrong: list[bytes] = []

    def read() -> None:
        with contextlib.closing(asked(port, slice_)) as connection:
            head = connection.recv(17)
            if head[9:12] not in (b"200", b"503"):
                wrong.append(head)
            while connection.recv(2**20):
                pass

    stalled = [asked(port, path) for path in (slice_, whole)]
    threads = [threading.Thread(target=read) for _ in range(GREEDY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
        assert not thread.is_alive()
    for connection in stalled:
        connection.close()
    assert wrong == []
    assert memory.growth() < SUBSCRIBER_BOUND


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3])
def test_many_readers_of_what_is_not_cached(stack: Stack, published: Path, count: int) -> None:
    names = [f"data/a{n}.b2nd" for n in range(count)]
    for name in names:
        os.link(published / "a.b2nd", published / Path(name).name)
    client = stack.start(data=published)
    memory = Memory(stack, "sub")
    many = 8 if count > 1 else 4
    with ThreadPoolExecutor(many) as readers:
        for name in names:
            found = readers.map(client.fetch, [name] * many)
            assert {values.shape for values in found} == {(CHUNKS, 2**17)}
    assert memory.growth() < 96 * constants.MIB


def asked(port: int, path: str) -> socket.socket:
    """A connection on which something was asked for, and nothing is read yet."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=90)
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    connection.sendall(request.encode())
    return connection


@pytest.mark.parametrize("rows", [64, pytest.param(300, marks=pytest.mark.slow)])
def test_subscriber_that_serves_more_than_it_may_hold(
    stack: Stack, tmp_path: Path, rows: int
) -> None:
    source = tmp_path / "data"
    source.mkdir()
    values = np.random.default_rng(0).random((rows, 2**17))
    quick = {"codec": blosc2.Codec.LZ4, "clevel": 1}
    blosc2.asarray(values, chunks=(1, 2**17), cparams=quick, urlpath=str(source / "a.b2nd"))
    values.tofile(source / "plain.bin")
    dataset = stack.start(data=source).get("data/a.b2nd")
    memory = Memory(stack, "sub")
    assert (dataset[...] == values).all()
    assert (dataset[1:] == values[1:]).all()
    assert stack.client.get("data/plain.bin")[1:] == values.tobytes()[1:]
    assert memory.growth() < 48 * constants.MIB
