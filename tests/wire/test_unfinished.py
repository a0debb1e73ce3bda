"""Messages that have no last frame, and connections that many bytes come on"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import struct
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import zmq
from keyedworld import World, bound
from wiretools import LIMIT, until, zmq_context

from caterva2.limits.constants import MIB
from caterva2.wire import codec, sockets, unfinished
from caterva2.wire.sockets import Address, LoopSocket
from caterva2.wire.unfinished import GROWN, GROWS, IDLE_LOOK_S, LOOK_S

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16 + 1 + 31)
MORE, LONG, COMMAND = 1, 2, 4
SPEED = 60 * MIB
"""Bytes a second that are sent."""
ENOUGH = 512 * MIB
"""Bytes that no connection can send before it is ended, on the slowest machine."""


def command(kind: str) -> bytes:
    """The command by which a peer of a kind is ready."""
    body = b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind.encode()
    return bytes((COMMAND, len(body))) + body


def endless(at: Address, kind: str, size: int) -> int:
    """Send frames of one message without an end; the bytes that were taken until that ended."""
    frame = bytes((MORE | LONG,)) + struct.pack(">Q", size) + bytes(size)
    sent = 0
    with (
        contextlib.suppress(ConnectionError),
        socket.create_connection((at.host, at.port), LIMIT) as peer,
    ):
        peer.sendall(GREETING + command(kind))
        answer = b""
        while b"READY" not in answer:
            answer += peer.recv(1000)
        peer.setblocking(False)
        while sent < ENOUGH:
            # The system of a peer may take a long time to see that nothing it sends is taken.
            readable, writable, _ = select.select([peer], [peer], [], LIMIT)
            if readable and not peer.recv(1000):
                break
            if writable:
                taken = peer.send(frame[sent % len(frame) :])
                time.sleep(taken / SPEED)  # as on a link: both sides are in this process
                sent += taken
    return sent


def test_a_message_without_an_end_ends_its_connection(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        world = World(tmp_path, keyed=False)
        async with world.broker() as broker, world.publisher(broker) as publisher:
            for at, kind, size in (
                (broker.endpoint, "DEALER", 30_000),
                (broker._bound.xsub.address, "PUB", 8_000),
                (bound(publisher), "DEALER", 500_000),
            ):
                assert await asyncio.to_thread(endless, at, kind, size) < ENOUGH, kind
                assert "bytes came of no message" in caplog.text
                caplog.clear()
            assert publisher.lease.fence  # the publisher's own connections went on

    asyncio.run(run())


def test_many_whole_messages_end_no_connection() -> None:
    """So do they while the loop has no time to take them."""

    async def run() -> None:
        with zmq_context() as context:
            router = sockets.make(context, zmq.ROUTER, data=True)
            at = sockets.bind(router, Address("127.0.0.1", 0), "here")
            taken: list[int] = []
            served = LoopSocket(router, lambda frames: taken.append(len(frames[2])), addressed=True)
            peer = context.socket(zmq.DEALER)
            peer.linger = 0
            peer.connect(at.endpoint)
            message = [codec.MAGIC, bytes(500_000)]
            count = 4 * GROWN // 500_000
            try:
                served._unfinished.growth.floor = 0  # type: ignore[union-attr]
                for n in range(count):
                    peer.send_multipart(message)
                    await asyncio.sleep(0.02 if n % 8 == 0 else 0)
                await until(lambda: len(taken) == count)
                [known] = served.connections._by_fd.values()
                assert known.unfinished < len(message[1])
            finally:
                served.close()

    asyncio.run(run())


def test_a_process_is_looked_at_once_a_second_for_all_its_sockets_until_it_grows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run() -> None:
        size, waits, looks = GROWN, [], []
        monkeypatch.setattr(unfinished, "_resident", lambda: looks.append(size) or size)
        with zmq_context() as context:
            made = [LoopSocket(sockets.make(context, zmq.ROUTER), print, addressed=True)]
            growth = made[0]._unfinished.growth  # type: ignore[union-attr]
            monkeypatch.setattr(growth, "_look_in", waits.append)
            made.append(LoopSocket(sockets.make(context, zmq.ROUTER), print, addressed=True))
            assert len(looks) == 1
            for grown, wait in ((0, IDLE_LOOK_S), (GROWS, LOOK_S), (1, IDLE_LOOK_S)):
                size += grown
                waits.clear()
                growth._look()
                assert waits[-1] == wait
            assert len(looks) == 4
            made.pop().close()
            assert not growth._timer.cancelled()
            made.pop().close()
            assert growth._timer is None
            assert unfinished._Growth.of(asyncio.get_running_loop()) is growth

    asyncio.run(run())


def test_a_message_of_very_many_frames_ends_its_connection_and_holds_up_no_other() -> None:
    async def run() -> None:
        with zmq_context() as context:
            router = sockets.make(context, zmq.ROUTER, data=True)
            at = sockets.bind(router, Address("127.0.0.1", 0), "here")
            taken: list[int] = []
            served = LoopSocket(router, lambda frames: taken.append(len(frames)), addressed=True)
            other = context.socket(zmq.DEALER)
            other.linger = 0
            other.connect(at.endpoint)
            with socket.create_connection((at.host, at.port), LIMIT) as peer:
                peer.sendall(GREETING + command("DEALER"))
                await asyncio.to_thread(peer.recv, 1000)
                await asyncio.to_thread(peer.sendall, bytes((MORE, 0)) * 100_000 + bytes(2))
                other.send_multipart([b"", b"x"])
                peer.settimeout(LIMIT)
                while await asyncio.to_thread(peer.recv, 1000):
                    pass
            await until(lambda: taken == [3])
            other.send_multipart([b"", b"x", b"y"])
            await until(lambda: taken == [3, 4])
            served.close()

    asyncio.run(run())


def test_what_is_suspect_has_time_until_the_next_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that is late is followed by the next tick at once, before messages are handled."""
    monkeypatch.setattr(unfinished, "until_tick", lambda _: 0.0)
    monkeypatch.setattr(unfinished, "_resident", lambda: GROWN)

    async def run() -> None:
        growth = unfinished._Growth()
        suspect: Any = SimpleNamespace(note_accepted=lambda: None, end=lambda _: True)
        growth._sockets.append(suspect)
        growth._look()
        assert growth._timer is not None
        assert growth._timer.when() - asyncio.get_running_loop().time() > LOOK_S / 2
        growth.remove(suspect)

    asyncio.run(run())
