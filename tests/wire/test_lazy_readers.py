"""Readers that ask for too much, take nothing or go away."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import Any

import pytest
import zmq
from dataserver import Server, ask_bytes, ask_chunks, serving
from wiretools import LIMIT, until

from caterva2.errors import (
    Busy,
)
from caterva2.limits import DEFAULTS
from caterva2.limits.constants import MIB
from caterva2.wire import codec
from caterva2.wire import messages as m

SHALLOW = replace(DEFAULTS, wire=replace(DEFAULTS.wire, data_hwm=3, retries=0))
"""Queues that a few replies fill, and no second try."""


def test_too_many_requests_of_one_peer() -> None:
    limits = replace(SHALLOW, publisher=replace(DEFAULTS.publisher, peer_jobs=2))

    async def run() -> None:
        async with serving(limits) as server:
            entry = server.source.put("f", bytes(64 * MIB))
            with lazy_reader(server) as reader:
                for n in range(5):
                    request = ask_bytes(entry, 0, entry.size).model_copy(update={"id": n})
                    reader.send_multipart(codec.encode(request))
                # Two are worked on, and the others refused ahead of their megabytes.
                busy: set[int] = set()
                while len(busy) < 3:
                    await until(lambda: bool(reader.poll(0)))
                    reply = codec.data_replies(reader.recv_multipart())
                    if isinstance(reply, m.Error):
                        assert (reply.name, reply.retry) == ("busy", "later")
                        assert reply.after_ms > 0
                        busy.add(reply.id)
                assert len(busy) == 3
                info = await server.requester().ask(m.InfoRequest(path=entry.path), LIMIT)
                assert info.etag == entry.etag

    asyncio.run(run())


def test_too_many_requests_of_all() -> None:
    limits = replace(SHALLOW, publisher=replace(DEFAULTS.publisher, all_jobs=0))

    async def run() -> None:
        async with serving(limits) as server:
            entry = server.put_array()
            with pytest.raises(Busy) as caught:
                await server.collect(ask_chunks(entry, 0))
            assert caught.value.after_ms > 0

    asyncio.run(run())


@contextlib.contextmanager
def lazy_reader(server: Server) -> Any:
    """A DEALER that takes nothing unless it is asked to."""
    with server._context.socket(zmq.DEALER) as reader:
        reader.linger = 0
        reader.rcvhwm = 1
        reader.connect(server.endpoint)
        yield reader


def test_a_reader_that_takes_nothing_blocks_nobody_else() -> None:
    async def run() -> None:
        async with serving(SHALLOW) as server:
            big = server.source.put("big", bytes(64 * MIB))
            array = server.put_array()
            with lazy_reader(server) as reader:
                for n in range(4):
                    request = ask_bytes(big, 0, big.size).model_copy(update={"id": n})
                    reader.send_multipart(codec.encode(request))
                await until(lambda: server.jobs.served.bytes > 0)
                for _ in range(20):
                    replies = await server.collect(ask_chunks(array, *range(5)))
                    assert sum(len(reply.n) for reply, _ in replies) == 5
                assert server.jobs.served.bytes < 2 * big.size

    asyncio.run(run())


def test_a_reader_that_takes_nothing_loses_its_request() -> None:
    async def run() -> None:
        async with serving(SHALLOW) as server:
            big = server.source.put("big", bytes(64 * MIB))
            with lazy_reader(server) as reader:
                request = ask_bytes(big, 0, big.size, deadline_ms=300)
                reader.send_multipart(codec.encode(request))
                await until(lambda: server.jobs.served.requests == 1)
                await until(lambda: not len(server.jobs.jobs))
                assert server.jobs.served.bytes < big.size

    asyncio.run(run())


def test_a_reader_that_goes_away_ends_its_requests() -> None:
    async def run() -> None:
        async with serving(SHALLOW) as server:
            big = server.source.put("big", bytes(64 * MIB))
            with lazy_reader(server) as reader:
                reader.send_multipart(codec.encode(ask_bytes(big, 0, big.size)))
                await until(lambda: server.jobs.served.bytes > 0)
            await until(lambda: not len(server.jobs.jobs))

    asyncio.run(run())


def test_cancel_ends_the_work() -> None:
    async def run() -> None:
        async with serving(SHALLOW) as server:
            big = server.source.put("big", bytes(64 * MIB))
            with lazy_reader(server) as reader:
                request = ask_bytes(big, 0, big.size).model_copy(update={"id": 5})
                reader.send_multipart(codec.encode(request))
                await until(lambda: server.jobs.served.bytes > 0)
                reader.send_multipart(codec.encode(m.Cancel(id=99)))
                reader.send_multipart(codec.encode(m.Cancel(id=5)))
                await until(lambda: not len(server.jobs.jobs))
                assert server.cancelled == [99, 5]

    asyncio.run(run())
