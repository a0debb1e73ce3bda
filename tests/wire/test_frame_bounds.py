"""Frames, topics and readers that take more than their share of a service"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import blosc2
import numpy as np
import pytest
import zmq
from dataserver import ask_bytes, serving
from keyedworld import FOO, World, following
from wiretools import ANY, LIMIT, Router, until, zmq_context

from caterva2.broker.service import Broker, BrokerOptions
from caterva2.limits import DEFAULTS, constants
from caterva2.names import DatasetPath
from caterva2.wire import codec, sockets
from caterva2.wire import messages as m
from caterva2.wire.requester import Requester
from caterva2.wire.sockets import Address

ENDPOINTS = tuple(f"tcp://{'h' * 240}.{n}:65535" for n in range(8))


@pytest.mark.parametrize(
    ("message", "bound"),
    [
        (m.Register(root=FOO, inst="i" * 64, fence=1, endpoints=ENDPOINTS, curve_key="k" * 64,
                    rights="r" * 32),
         constants.CONTROL_FRAME),
        (m.RootUp(root=FOO, inst="i" * 64, fence=1, endpoints=ENDPOINTS, seq=1, binst="b" * 64,
                  rights="r" * 32, curve_key="k" * 64),
         constants.NOTE_BYTES),
        (m.Change(root=FOO, inst="i" * 64, fence=1, rev=1, op="put", path=DatasetPath("p" * 1024),
                  etag="e" * 64), constants.NOTE_BYTES),
        (m.InfosRequest(paths=tuple(DatasetPath(f"{n:03}" + "p" * 1021)
                                    for n in range(constants.REQUEST_INFOS))),
         constants.REQUEST_FRAME),
        (m.ChunksRequest(path=DatasetPath("p" * 1024), etag="e" * 64, deadline_ms=1,
                         rights="r" * 32,
                         n=tuple(range(2**30, 2**30 + constants.REQUEST_CHUNKS)),
                         held=(b"d" * 16,) * constants.REQUEST_CHUNKS), constants.REQUEST_FRAME),
    ],
    ids=lambda value: value.type if hasattr(value, "type") else "",
)  # fmt: skip
def test_the_largest_of_each_message_fits(message: m.Message, bound: int) -> None:
    assert max(map(len, codec.encode(message))) <= bound
    assert len(codec.root_topic(FOO.__class__("r" * constants.ROOT_NAME))) < constants.TOPIC_BYTES


def test_larger_frames_end_the_connection_that_sends_them(tmp_path: Path) -> None:
    async def refused(address: Address, kind: int, size: int) -> None:
        """A peer that sends a frame of a size loses its connection."""
        context: sockets.Context = zmq.Context()
        peer = context.socket(kind)
        events = peer.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        try:
            peer.connect(address.endpoint)
            if kind == zmq.SUB:
                peer.subscribe(bytes(size))
            async with asyncio.timeout(LIMIT):
                while not events.poll(0):
                    if kind != zmq.SUB:
                        peer.send(bytes(size))
                    await asyncio.sleep(0.01)
        finally:
            peer.disable_monitor()
            events.close(linger=0)
            context.destroy(linger=0)

    async def run() -> None:
        async with Broker.serving(BrokerOptions(ANY, ANY, ANY, tmp_path)) as broker:
            places = broker._bound
            await refused(places.control.address, zmq.DEALER, constants.CONTROL_FRAME + 1)
            await refused(places.xpub.address, zmq.SUB, constants.TOPIC_BYTES)

    asyncio.run(run())


def test_a_connection_with_too_many_topics_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limits = replace(DEFAULTS, broker=replace(DEFAULTS.broker, topics=50))

    async def run() -> None:
        async with Broker.serving(BrokerOptions(ANY, ANY, ANY, tmp_path), limits) as broker:
            with zmq_context() as context:
                greedy, modest = (context.socket(zmq.SUB) for _ in range(2))
                for peer, count in ((modest, 50), (greedy, 51)):
                    peer.connect(broker._bound.xpub.address.endpoint)
                    for n in range(count):
                        peer.subscribe(codec.root_topic(FOO.__class__(f"r{n}")))
                modest.unsubscribe(codec.root_topic(FOO.__class__("r1")))
                modest.subscribe(codec.ROOTS_TOPIC)
                await until(lambda: "too many topics" in caplog.text)
                await until(lambda: bool(modest.poll(0)))
        assert caplog.text.count("too many topics") < 20  # it connects again, after a pause

    asyncio.run(run())


def test_a_publisher_sends_large_frames_only_where_chunks_are_large(tmp_path: Path) -> None:
    values = np.random.default_rng(1).bytes(12 * constants.MIB)
    array = blosc2.asarray(
        np.frombuffer(values, "u1"), chunks=(len(values),), cparams={"clevel": 0}
    )
    world = World(tmp_path, keyed=False, contents={"large.b2nd": array.to_cframe(), "f.txt": b"x"})

    async def run() -> None:
        async with following(world) as (_, _, sub, _):
            small = await sub.dataset(FOO, DatasetPath("f.txt"))
            await small.fill()
            publisher = sub._roots[FOO].providers.connections[0]
            assert publisher._frame == constants.ANSWER_BYTES
            large = await sub.dataset(FOO, DatasetPath("large.b2nd"))
            await large.fill()
            assert large.cached_bytes > len(values)
            assert publisher._frame == 16 * constants.MIB

    asyncio.run(run())


def test_a_frame_that_nobody_asked_for_is_not_taken(tmp_path: Path) -> None:
    async def run() -> None:
        context: sockets.Context = zmq.Context()
        answer = codec.encode(m.Pong(id=1, binst="b"), [bytes(constants.ANSWER_BYTES + 1)])
        router = Router(context, lambda *_: [[bytes(frame) for frame in answer]])
        asker: Requester[m.ControlReply] = Requester(
            context, router.endpoint, codec.control_replies, "x"
        )
        try:
            asking = asyncio.create_task(asker.ask(m.Ping(), LIMIT))
            await until(lambda: asker.failing)
            assert not asking.done()
            asking.cancel()
        finally:
            await asyncio.to_thread(asker.close)
            router.close()
            context.destroy(linger=0)

    asyncio.run(run())


def test_who_has_no_request_under_way_always_gets_a_place() -> None:
    """Readers that take nothing use up all jobs, until they have taken nothing for a while."""
    limits = replace(
        DEFAULTS,
        wire=replace(DEFAULTS.wire, data_hwm=3, retries=0),
        publisher=replace(DEFAULTS.publisher, all_jobs=4, idle=1.0, peer_bytes=constants.MIB),
    )

    async def run() -> None:
        async with serving(limits) as server:
            entry = server.source.put("f", bytes(64 * constants.MIB))
            context: sockets.Context = zmq.Context()
            lazy = context.socket(zmq.DEALER)
            lazy.setsockopt(zmq.RCVHWM, 1)
            lazy.setsockopt(zmq.RCVBUF, 4096)
            lazy.connect(server.endpoint)
            try:
                for n in range(1, 5):
                    request = ask_bytes(entry, 0, entry.size).model_copy(
                        update={"id": n, "deadline_ms": 600_000}
                    )
                    lazy.send_multipart(codec.encode(request))
                await until(lambda: len(server.jobs.jobs) == 4)
                honest = server.requester()
                info = await honest.ask(m.InfoRequest(path=entry.path), LIMIT)
                assert info.etag == entry.etag
                await until(lambda: not len(server.jobs.jobs))
            finally:
                context.destroy(linger=0)

    asyncio.run(run())
