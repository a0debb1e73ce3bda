"""A subscriber of many roots keeps few connections, and loses nothing by that."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace

import pytest
from wiretools import LIMIT, Router, until

from caterva2.errors import RootOffline
from caterva2.limits import DEFAULTS
from caterva2.model import RootInfo
from caterva2.names import RootName
from caterva2.subscriber.publishers.connection import TRIAL_PAUSE, PublisherConnection
from caterva2.subscriber.publishers.pool import ConnectionPool
from caterva2.subscriber.publishers.watch import give_turns
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


@pytest.mark.parametrize("there", [True, False])
def test_all_publishers_are_probed_in_turns(context: sockets.Context, there: bool) -> None:
    """Though the pool has room for four connections, all of which are in use."""
    asked: set[bytes] = set()

    def handle(peer: bytes, frames: list[bytes]) -> list[list[bytes]]:
        asked.add(peer)
        return hello(frames)

    async def run() -> None:
        pool, turns = ConnectionPool(FEW), 3
        router = Router(context, handle)
        end = router.endpoint if there else "tcp://127.0.0.1:1"
        used = [make(context, pool, n, router.endpoint) for n in range(FEW.connections)]
        for one in used:
            await one().ask(m.Hello(), LIMIT)
        asked.clear()
        roots = [make(context, pool, 10 + n, end) for n in range(ROOTS)]
        async with asyncio.timeout(LIMIT):
            while len(asked) < ROOTS if there else not all(root.offline for root in roots):
                give_turns(roots, turns)
                assert sum(root.on_trial for root in roots) <= turns
                for root in roots:
                    root.judge(broker_lost=True)
                assert threads() <= len(used) + 2 * turns  # the ended ones are about to go
                await asyncio.sleep(0.02)
        assert all(root.offline is not there for root in roots)
        assert [one().ended for one in used] == [False] * len(used)
        for root in [*used, *roots]:
            await root.close()
        router.close()
        assert threads() == 0

    asyncio.run(run())


def test_publisher_that_was_tried_is_left_alone_for_a_while(context: sockets.Context) -> None:
    async def run() -> None:
        router = Router(context, lambda _, frames: hello(frames))
        root = make(context, ConnectionPool(FEW), 0, router.endpoint)
        now = time.monotonic()
        assert root.waits_for_trial(now) is not None
        give_turns([root])
        assert root.on_trial
        async with asyncio.timeout(LIMIT):
            while root.on_trial:
                root.judge(broker_lost=True)
                await asyncio.sleep(0.01)
        assert root.waits_for_trial(time.monotonic()) is None
        assert root.waits_for_trial(now + 2 * TRIAL_PAUSE) is not None
        await root.close()
        router.close()

    asyncio.run(run())


def test_refused_connection_is_noticed_at_once(context: sockets.Context) -> None:
    """The broker is heard: nothing else would tell before the lease has run out."""

    async def run() -> None:
        pool = ConnectionPool(FEW)
        root = make(context, pool, 0, "tcp://127.0.0.1:1")
        call = asyncio.ensure_future(root().ask(m.Hello(), LIMIT))
        await asyncio.wait_for(pool.failing.wait(), LIMIT)
        assert root.failing
        await until(lambda: root.judge(broker_lost=False))
        assert root.suspect
        with pytest.raises(RootOffline):
            await call
        with pytest.raises(RootOffline):
            root()
        await root.close()

    asyncio.run(run())


def test_connections_that_were_left_are_closed_if_tidying_is_cancelled(
    context: sockets.Context,
) -> None:
    """A requester whose thread goes on while its context closes the socket never ends."""

    class Closing:
        draining = False

        def __init__(self) -> None:
            self.begun, self.may_end, self.ended = (threading.Event() for _ in range(3))

        def close(self) -> None:
            self.begun.set()
            self.may_end.wait(LIMIT)
            self.ended.set()

        end = close

    async def run() -> None:
        connection = make(context, ConnectionPool(FEW), 0, "tcp://127.0.0.1:9")
        left = first, second = Closing(), Closing()
        connection._closing = list(left)  # type: ignore[arg-type]
        task = asyncio.create_task(connection.tidy())
        await until(first.begun.is_set)
        task.cancel()
        await asyncio.sleep(0)
        for one in left:
            one.may_end.set()
        await asyncio.wait({task})
        assert first.ended.is_set()
        await connection.close()
        assert second.ended.is_set()

    asyncio.run(run())
