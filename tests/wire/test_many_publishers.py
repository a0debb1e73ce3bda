"""A subscriber of many roots keeps few connections, and loses nothing by that."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest
from peers import answering
from wiretools import LIMIT, Router, until

from caterva2.errors import RootOffline
from caterva2.limits import DEFAULTS
from caterva2.model import RootInfo
from caterva2.names import RootName
from caterva2.subscriber.publishers.connection import PublisherConnection
from caterva2.subscriber.publishers.pool import ConnectionPool
from caterva2.wire import codec, sockets
from caterva2.wire import messages as m

FEW = replace(DEFAULTS.subscriber, connections=4)
ROOTS = 40


def hello(frames: list[bytes]) -> list[list[bytes]]:
    request = codec.control_requests(frames)
    reply = m.PublisherHello(
        id=request.id, inst="i", fence=1, root=RootName("r0"), rev=0, limits=m.Credit()
    )
    return [[bytes(frame) for frame in codec.encode(reply)]]


def away(name: RootName) -> RootOffline:
    return RootOffline(f"{name} is away")


def make(context: sockets.Context, pool: ConnectionPool, n: int, end: str) -> PublisherConnection:
    name = RootName(f"r{n}")
    made = PublisherConnection(name, context, away, pool)
    made.move(RootInfo(root=name, inst="i", fence=1, endpoints=(end,), ttl_ms=1000))
    return made


def threads() -> int:
    return sum(thread.name.startswith("the publisher of") for thread in threading.enumerate())


def test_few_connections_stay_open_of_many_roots(context: sockets.Context) -> None:
    async def run() -> None:
        pool = ConnectionPool(FEW)
        router = Router(context, lambda _, frames: hello(frames))
        roots = [make(context, pool, n, router.endpoint) for n in range(ROOTS)]
        try:
            for _ in range(2):
                for root in roots:
                    assert (await root().ask(m.Hello(), LIMIT)).type == "hello-ok"
                await until(lambda: threads() <= FEW.connections)
            assert threads() == FEW.connections
        finally:
            for root in roots:
                await root.close()
            router.close()
        assert threads() == 0

    asyncio.run(run())


def test_what_is_under_way_is_answered_though_its_connection_is_left(
    context: sockets.Context,
) -> None:
    held: list[list[bytes]] = []
    go_on = threading.Event()

    def handle(_: bytes, frames: list[bytes]) -> list[list[bytes]]:
        held.append(frames)
        assert go_on.wait(LIMIT)
        return hello(frames)

    async def run() -> None:
        pool = ConnectionPool(replace(FEW, connections=1))
        slow = Router(context, handle)
        other = Router(context, lambda _, frames: hello(frames))
        first, second = (
            make(context, pool, 0, slow.endpoint),
            make(context, pool, 1, other.endpoint),
        )
        asked = asyncio.create_task(first().ask(m.Hello(), LIMIT))
        await until(lambda: bool(held))
        assert (await second().ask(m.Hello(), LIMIT)).type == "hello-ok"
        await first.tidy()  # closes none that has calls
        go_on.set()
        assert (await asked).type == "hello-ok"
        await until(lambda: threads() == 1)
        for root in (first, second):
            await root.close()
        slow.close()
        other.close()

    asyncio.run(run())


def test_connection_in_use_for_several_requests_stays(context: sockets.Context) -> None:
    async def run() -> None:
        pool = ConnectionPool(replace(FEW, connections=1))
        router = Router(context, lambda _, frames: hello(frames))
        first, second = (make(context, pool, n, router.endpoint) for n in range(2))
        with first.holding() as connection:
            await second().ask(m.Hello(), LIMIT)
            assert (await connection.ask(m.Hello(), LIMIT)).type == "hello-ok"
            assert not connection.draining
        for root in (first, second):
            await root.close()
        router.close()

    asyncio.run(run())


def test_unused_publisher_is_probed_only_where_there_is_room(context: sockets.Context) -> None:
    """As none of these many is there, one after the other is asked again."""

    async def run() -> None:
        pool = ConnectionPool(replace(FEW, connections=2))
        silent = Router(context, answering(lambda _: None))
        roots = [make(context, pool, n, "tcp://127.0.0.1:1") for n in range(6)]
        for root in roots:
            assert not root.judge(broker_lost=True)
        assert threads() == 0
        for root in roots[:2]:
            root()
        async with asyncio.timeout(LIMIT):
            while not all(root.offline for root in roots[:2]):
                for root in roots:
                    root.judge(broker_lost=True)
                await asyncio.sleep(0.05)
        with pytest.raises(RootOffline):
            roots[0]()
        assert threads() <= 4
        for root in roots:
            await root.close()
        silent.close()

    asyncio.run(run())
