"""A responder: what it dispatches, answers and drops."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgpack
import pytest
import zmq
from wiretools import ANY, LIMIT, until, zmq_context

from caterva2.errors import BadMessage, Busy, Internal, NotFound
from caterva2.limits import DEFAULTS
from caterva2.wire import codec, sockets
from caterva2.wire import messages as m
from caterva2.wire.auth.policy import ANYBODY, AdmitAll, Grant, Role
from caterva2.wire.requester import Requester
from caterva2.wire.responder import Peer, PeerGone, Responder

ONCE = 0.5


class Served:
    """A responder with a requester and a plain DEALER."""

    def __init__(self, context: sockets.Context, **options: Any) -> None:
        router = sockets.make(context, zmq.ROUTER, limits=replace(DEFAULTS.wire, control_hwm=3))
        endpoint = sockets.bind(router, ANY, "control").endpoint
        self.responder: Responder[m.ControlRequest] = Responder(
            router, codec.control_requests, "the tested service", **options
        )
        self.requester: Requester[Any] = Requester(
            context, endpoint, codec.control_replies, "the tested service"
        )
        self.dealer = context.socket(zmq.DEALER)
        self.dealer.linger = 0
        self.dealer.rcvhwm = 1
        self.dealer.connect(endpoint)

    async def reply(self, *frames: bytes | memoryview) -> Any:
        """Send frames, and give the reply to them."""
        self.dealer.send_multipart(frames)
        await until(lambda: bool(self.dealer.poll(0)))
        return codec.control_replies(self.dealer.recv_multipart())


@contextlib.asynccontextmanager
async def served(**options: Any) -> AsyncIterator[Served]:
    with zmq_context() as context:
        made = Served(context, **options)
        try:
            yield made
        finally:
            await asyncio.to_thread(made.requester.close)
            made.responder.close()


def test_a_request_reaches_the_handler_of_its_type() -> None:
    async def run() -> None:
        async with served() as server:
            seen: list[tuple[Peer, m.Request]] = []

            def ping(peer: Peer, request: m.Ping) -> None:
                seen.append((peer, request))
                server.responder.reply(peer, m.Pong(id=request.id, binst="b"))

            server.responder.handle(m.Ping, ping)
            server.responder.handle(m.Hello, lambda *_: pytest.fail("another type"))
            assert (await server.requester.ask(m.Ping(), LIMIT)).binst == "b"
            [(peer, request)] = seen
            assert peer.address == "127.0.0.1"
            assert request.type == "ping"
            assert (peer.key, peer.grant) == ("", ANYBODY)
            assert peer.route

    asyncio.run(run())


def test_an_error_of_a_handler_is_the_answer() -> None:
    async def run() -> None:
        async with served() as server:

            def refuse(peer: Peer, request: m.Ping) -> None:
                raise NotFound("nothing here", info={"etag": "e"})

            server.responder.handle(m.Ping, refuse)
            with pytest.raises(NotFound, match="nothing here") as caught:
                await server.requester.ask(m.Ping(), LIMIT)
            assert caught.value.info == {"etag": "e"}

    asyncio.run(run())


def test_an_unexpected_exception_is_logged_and_answered(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with served() as server:
            server.responder.handle(m.Ping, lambda *_: print(1 // 0))
            with pytest.raises(Internal, match="ZeroDivisionError at the tested service"):
                await server.requester.ask(m.Ping(), LIMIT)
            # The loop serves on.
            with pytest.raises(Internal):
                await server.requester.ask(m.Ping(), LIMIT)

    asyncio.run(run())
    assert "handling ping failed" in caplog.text
    assert caplog.records[0].exc_info is not None


def test_a_request_without_a_handler_is_refused() -> None:
    async def run() -> None:
        async with served() as server:
            with pytest.raises(BadMessage, match=r"the tested service does not answer ping"):
                await server.requester.ask(m.Ping(), LIMIT)

    asyncio.run(run())


def test_a_bad_message_is_answered_with_its_id() -> None:
    async def run() -> None:
        async with served() as server:
            reply = await server.reply(codec.MAGIC, msgpack.packb({"type": "nothing", "id": 7}))
            assert (reply.id, reply.name) == (7, "bad-message")
            reply = await server.reply(codec.MAGIC, b"\xc1")
            assert (reply.id, reply.name) == (0, "bad-message")

    asyncio.run(run())


def test_another_protocol_gets_no_answer() -> None:
    async def run() -> None:
        async with served() as server:
            server.responder.handle(
                m.Ping, lambda peer, ask: server.responder.reply(peer, m.Pong(id=ask.id, binst="b"))
            )
            server.dealer.send_multipart([b"GET / HTTP/1.1", b""])
            server.dealer.send(b"")
            assert (await server.reply(*codec.encode(m.Ping(id=3)))).id == 3

    asyncio.run(run())


def test_each_message_is_noticed_before_it_is_decoded() -> None:
    async def run() -> None:
        heard: list[Peer] = []
        async with served(on_message=heard.append) as server:
            await server.reply(codec.MAGIC, b"\xc1")
            server.dealer.send_multipart([b"junk", b"junk"])
            await until(lambda: len(heard) == 2)
            assert heard[0] == heard[1]

    asyncio.run(run())


def test_peers_that_are_not_admitted_get_no_answer() -> None:
    class Nobody:
        def grant(self, key: str) -> Grant | None:
            return None

    async def run() -> None:
        heard: list[Peer] = []
        async with served(authenticator=Nobody(), on_message=heard.append) as server:
            server.responder.handle(m.Ping, lambda *_: pytest.fail("it was admitted"))
            server.dealer.send_multipart(codec.encode(m.Ping(id=3)))
            await asyncio.sleep(0)
            assert not await asyncio.to_thread(server.dealer.poll, 200)
            assert heard == []

    asyncio.run(run())


def test_a_reply_to_a_peer_that_is_gone_is_lost() -> None:
    async def run() -> None:
        async with served() as server:
            gone = Peer(b"nowhere")
            server.responder.reply(gone, m.Pong(id=1, binst="b"))
            with pytest.raises(PeerGone):
                server.responder.send(gone, codec.encode(m.Pong(id=1, binst="b")))

    asyncio.run(run())


def test_a_full_queue_is_said_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with served() as server:
            peers: list[Peer] = []
            server.responder.handle(m.Ping, lambda peer, _: peers.append(peer))
            server.dealer.send_multipart(codec.encode(m.Ping(id=3)))
            await until(lambda: bool(peers))
            frames = [*codec.encode(m.Pong(id=3, binst="b")), bytes(1_000_000)]
            while server.responder.send(peers[0], frames):
                pass
            server.responder.reply(peers[0], m.Pong(id=3, binst="b"))

    asyncio.run(run())
    assert "a peer's queue is full: dropped pong" in caplog.text


def test_refusals_are_logged_but_not_those_of_a_flood(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def run() -> None:
        async with served() as server:
            answers = [NotFound("no"), Busy("later")]

            def refuse(peer: Peer, request: m.Ping) -> None:
                raise answers.pop(0)

            server.responder.handle(m.Ping, refuse)
            for _ in range(2):
                await server.reply(*codec.encode(m.Ping(id=3)))

    asyncio.run(run())
    assert [r.message for r in caplog.records if r.name.endswith("responder")] == [
        "refused ping: no"
    ]


def test_the_null_object_admits_everybody() -> None:
    assert AdmitAll().grant("") is ANYBODY
    assert AdmitAll().holder("") == ""
    assert ANYBODY.covers(Role.PUBLISH, "foo")
    assert ANYBODY.covers(Role.READ, "foo")
