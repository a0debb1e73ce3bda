"""Keys that are revoked or replaced while services run"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
import zmq
from dataserver import Collect
from keyedworld import CONTENT, FOO, MARKED, World, bound, following, is_up
from wiretools import until, zmq_context
from zmq.utils.monitor import recv_monitor_message

from caterva2.subscriber.service import Subscriber
from caterva2.wire import codec, sockets
from caterva2.wire import messages as m
from caterva2.wire.auth import keys
from caterva2.wire.auth.connections import Connections
from caterva2.wire.auth.curve import Curve


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.allow("pub", "publish", "foo")
    made.allow("sub", "read")
    return made


def test_the_connections_of_a_revoked_reader_end(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    key = world.pair("sub").public

    async def run() -> None:
        async with following(world) as (broker, _, sub, _):
            dataset = await sub.dataset(FOO, MARKED)
            await dataset.fill()
            sockets = broker._control, broker._xpub
            assert all(
                any(one.key == key for one in socket.connections._by_fd.values())
                for socket in sockets
            )
            world.revoke("sub")
            ended = [
                f"ended a connection to the {where} socket: key {key} is revoked"
                for where in ("control", "xpub", "data")
            ]
            await until(lambda: all(line in caplog.text for line in ended))
            await until(lambda: not sub.monitor.health().broker)
            assert await sub.entries(FOO)  # what is cached is there still
            world.allow("sub", "read")
            await until(lambda: sub.monitor.health().broker and is_up(sub))

    asyncio.run(run())


def test_the_root_of_a_revoked_publisher_goes_down(world: World) -> None:
    async def run() -> None:
        async with following(world) as (_, _, sub, _):
            world.revoke("pub")
            await until(lambda: not is_up(sub))

    asyncio.run(run())


async def data(subscriber: Subscriber) -> bytes:
    """Read a file from the publisher, whether it is cached or not."""
    root = subscriber._roots[FOO]
    etag, stop = root.entries[MARKED].etag, len(CONTENT)
    request = m.BytesRequest(path=MARKED, etag=etag, start=0, stop=stop, deadline_ms=10_000)
    call = Collect(request)
    root.providers().submit(call)
    await call.done
    return b"".join(frame for _, frames in call.replies for frame in frames)


def test_readers_go_on_while_a_key_of_theirs_is_replaced(world: World) -> None:
    """Reads never fail while a second key is admitted, used, and the only one left."""
    second = keys.make()

    async def run() -> None:
        async with following(world) as (broker, _, first, _):
            failed: list[Exception] = []
            reads, stop = 0, asyncio.Event()

            async def load() -> None:
                nonlocal reads
                while not stop.is_set():
                    try:
                        await first._roots[FOO].sync()
                        assert await data(first) == CONTENT
                        reads += 1
                    except Exception as error:  # noqa: BLE001 - counted
                        failed.append(error)
                    await asyncio.sleep(0)

            await first.subscribe(FOO)
            loading = asyncio.create_task(load())
            world.allow("sub", "read", "*", second.public)
            (world.directory / "again").mkdir()
            keys.write(world.directory / "again" / keys.FILE, second)
            async with world.subscriber(broker, "again") as again:
                await until(lambda: is_up(again))
                dataset = await again.dataset(FOO, MARKED)
                await dataset.fill()
                assert dataset.cached_bytes > 0
                done = reads
                await until(lambda: reads > done + 5)
                stop.set()
                await loading
                assert failed == []
                world.revoke(world.pair("sub").public)
                await until(lambda: not first.monitor.health().broker)
                assert again.monitor.health().broker
                await again._roots[FOO].sync()

    asyncio.run(run())


def test_connections_that_were_silent_end_when_they_speak(world: World) -> None:
    """Nothing had arrived on them when their key lost its rights, so they were not known."""
    world.allow("other", "both")
    pair = world.pair("other")

    async def run() -> None:
        async with world.broker() as broker, world.publisher(broker) as publisher:
            with zmq_context() as context:
                places = [
                    (zmq.SUB, "bro", broker._bound.xpub.address),
                    (zmq.DEALER, "pub", bound(publisher)),
                ]
                made = [
                    sockets.make(context, kind, protect=Curve(pair).call(world.pair(name).public))
                    for kind, name, _ in places
                ]
                seen = [
                    one.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
                    for one in made
                ]
                for one, (_, _, address) in zip(made, places, strict=True):
                    one.connect(address.endpoint)
                for monitor in seen:
                    await until(lambda monitor=monitor: bool(monitor.poll(0)))
                    assert recv_monitor_message(monitor)["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED
                world.revoke("other")
                world.allow("other", "publish", "mine")
                lists = [service._keys.at("xpub") for service in (broker, publisher)]
                await until(lambda: not any(one.grant(pair.public) for one in lists))
                await until(lambda: broker._keys.authenticator.grant(pair.public) is not None)
                assert not any(monitor.poll(0) for monitor in seen)
                made[0].subscribe(b"")
                made[1].send_multipart(codec.encode(m.Hello(id=1)))
                for monitor in seen:
                    await until(lambda monitor=monitor: bool(monitor.poll(0)))
                    assert recv_monitor_message(monitor)["event"] == zmq.EVENT_DISCONNECTED

    asyncio.run(run())


def test_a_descriptor_that_names_another_key_is_another_connection() -> None:
    """A late message of the connection before had the descriptor noted under its key."""
    known = Connections()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        known.seen(ours.fileno(), "before")
        known.seen(ours.fileno(), "after")
        assert known.end_unless(lambda key: key != "before") == []
        assert known.end_unless(lambda key: key != "after") == ["after"]
        assert theirs.recv(1) == b""


def test_a_descriptor_that_is_another_connection_now_is_left_alone() -> None:
    known = Connections()
    ours, theirs = socket.socketpair()
    connection = known.seen(ours.fileno(), "k")
    assert connection is not None
    number = ours.fileno()
    ours.close()
    again, other = socket.socketpair()
    assert again.fileno() == number
    assert known.end_unless(lambda key: False) == ["k"]
    again.sendall(b"x")
    assert other.recv(1) == b"x"
    assert known.seen(10_000, "k") is None
    assert len(known) == 0
    for one in (again, theirs, other):
        one.close()
