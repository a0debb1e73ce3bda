"""Many connections of one peer, which get no more of a publisher than a few do"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zmq
from keyedworld import FOO, MARKED, QUICK, World, bound, content, is_up
from wiretools import until

from caterva2.limits import DEFAULTS
from caterva2.limits.constants import MIB
from caterva2.publisher.outgoing import Outgoing, ReaderGone, ReplyReservation
from caterva2.wire import codec
from caterva2.wire import messages as m
from caterva2.wire.auth.curve import Curve
from caterva2.wire.auth.policy import Grant, Role
from caterva2.wire.responder import Peer

NAMED = Grant("site-b", Role.READ, ("*",))


def test_a_share_is_of_a_holder_or_an_address_and_not_of_a_connection() -> None:
    def shares(*peers: Peer) -> int:
        return len({peer.share for peer in peers})

    assert shares(*(Peer(b"%d" % n, "k" * n, NAMED, f"10.0.0.{n}") for n in range(4))) == 1
    assert shares(*(Peer(b"%d" % n, address="10.0.0.1") for n in range(4))) == 1
    assert shares(*(Peer(b"%d" % n, address=f"2001:db8::{n}") for n in range(4))) == 1
    assert shares(Peer(b"1", address="10.0.0.1"), Peer(b"2", address="10.0.0.2")) == 2
    assert shares(*(Peer(b"%d" % n, address="127.0.0.1") for n in range(4))) == 4
    assert shares(*(Peer(b"%d" % n) for n in range(4))) == 4


def test_many_connections_hold_no_more_memory_than_their_share() -> None:
    limits = replace(DEFAULTS.publisher, peer_bytes=2 * MIB, share_bytes=5 * MIB, idle=0.02)

    async def run() -> None:
        outgoing = Outgoing(limits)
        held: list[ReplyReservation] = []

        async def fill(peer: Peer) -> int:
            before = len(held)
            with pytest.raises(ReaderGone):
                while True:
                    held.append(await outgoing.room(peer, MIB, time.monotonic() + 9))
            return len(held) - before

        assert [await fill(Peer(b"%d" % n, address="10.0.0.1")) for n in range(6)] == [
            2,
            2,
            1,
            0,
            0,
            0,
        ]
        assert outgoing.used == 5 * MIB
        assert await fill(Peer(b"x", address="10.0.0.2")) == 2
        for one in held:
            one.release()
        assert (outgoing.used, outgoing.readers) == (0, 0)
        assert await fill(Peer(b"1", address="10.0.0.1")) == 2

    asyncio.run(run())


def test_many_connections_with_one_key_leave_the_publisher_to_others(tmp_path: Path) -> None:
    """A hostile peer with a key, which takes nothing of what it asks for on 30 connections."""
    given = replace(
        DEFAULTS.publisher, peer_jobs=4, share_jobs=10, all_jobs=20, share_bytes=3 * MIB
    )
    world = World(
        tmp_path, limits=replace(QUICK, publisher=given), contents={MARKED: bytes(8 * MIB)}
    )
    world.allow("pub", "publish", "foo")
    world.allow("sub", "read")
    world.allow("greedy", "read")

    async def run() -> None:
        async with (
            world.broker() as broker,
            world.publisher(broker) as publisher,
            world.subscriber(broker) as subscriber,
        ):
            context: zmq.Context[Any] = zmq.Context()
            try:
                jobs = publisher._requests
                greedy = [mute(context, world, publisher) for _ in range(30)]
                etag = publisher._followed.entries[MARKED].etag
                for one in greedy:
                    for n in range(4):
                        request = m.BytesRequest(
                            id=n, path=MARKED, etag=etag, start=0, stop=8 * MIB, deadline_ms=60_000
                        )
                        one.send_multipart(codec.encode(request))
                await until(lambda: jobs.jobs._by_share["greedy"] == given.share_jobs)
                await until(lambda: jobs.outgoing.used >= 2 * MIB)
                await until(lambda: is_up(subscriber))
                assert await content(subscriber, FOO)
                assert jobs.jobs._by_share["greedy"] == given.share_jobs == len(jobs.jobs)
                assert jobs.outgoing.used <= given.share_bytes
            finally:
                context.destroy(linger=0)
            await until(lambda: not len(jobs.jobs) and not jobs.jobs._by_share)

    asyncio.run(run())


def mute(context: zmq.Context[Any], world: World, publisher: Any) -> zmq.Socket[bytes]:
    made = context.socket(zmq.DEALER)
    made.setsockopt(zmq.RCVHWM, 1)
    made.setsockopt(zmq.RCVBUF, 4096)
    Curve(world.pair("greedy")).call(world.pair("pub").public)(made)
    made.connect(bound(publisher).endpoint)
    return made
