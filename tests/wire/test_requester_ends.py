"""Requests from a thread that end otherwise than by an answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgpack
import pytest
import zmq
from peers import QUICK, Peer, Watched, answering, pong
from wiretools import wait_until, zmq_context

from caterva2.errors import (
    BadMessage,
    Busy,
    CatervaError,
    RootOffline,
)
from caterva2.wire import codec, dealers, sockets
from caterva2.wire import messages as m
from caterva2.wire.calls import CallTable, Single
from caterva2.wire.requester import Requester


def test_close_fails_what_is_under_way_and_what_comes_later(context: sockets.Context) -> None:
    with Peer(context, answering(lambda _: None)) as peer:
        calls = [Watched() for _ in range(2 * QUICK.credit)]
        for call in calls:
            peer.requester.submit(call)
        wait_until(lambda: bool(peer.router.peers))
        peer.requester.close()
        late = Watched()
        peer.requester.submit(late)
        for call in [*calls, late]:
            assert [type(error) for error in call.errors] == [RootOffline]
        with pytest.raises(RootOffline):
            peer.ask(m.Ping())
        peer.requester.close()
    assert "requester" not in {thread.name for thread in threading.enumerate()}


def test_cancel_tells_the_other_side(context: sockets.Context) -> None:
    asked: list[int] = []
    cancelled: list[int] = []

    def handle(_: bytes, frames: list[bytes]) -> list[list[bytes]]:
        try:
            asked.append(codec.control_requests(frames).id)
        except codec.BadMessage:
            request = codec.data_requests(frames)
            assert isinstance(request, m.Cancel)
            cancelled.append(request.id)
        return []

    with Peer(context, handle) as peer:
        kept, dropped = Watched(), Watched()
        peer.requester.submit(kept)
        peer.requester.submit(dropped)
        wait_until(lambda: len(asked) == 2)
        peer.requester.cancel(dropped)
        wait_until(lambda: bool(cancelled))
        assert cancelled == asked[1:]
    assert [type(error) for error in kept.errors] == [RootOffline]
    assert dropped.errors == []


def test_cancel_after_close_is_heard_by_nobody(context: sockets.Context) -> None:
    with Peer(context, answering(pong)) as peer:
        call = Watched()
        peer.requester.submit(call)
        wait_until(lambda: bool(call.replies))
        peer.requester.close()
        peer.requester.cancel(call)
        assert call.errors == []


def test_replies_that_make_no_sense_are_dropped(context: sockets.Context) -> None:
    def handle(_: bytes, frames: list[bytes]) -> list[list[bytes]]:
        request = codec.control_requests(frames)
        right = [bytes(frame) for frame in codec.encode(pong(request))]
        other = [bytes(frame) for frame in codec.encode(m.Pong(id=request.id + 99, binst="x"))]
        return [[], [b""], [b"junk", b"junk"], [codec.MAGIC, b"\xc1"], other, right, right]

    with Peer(context, handle) as peer:
        for _ in range(3):
            assert peer.ask(m.Ping()).binst == "b"


def test_an_error_in_a_call_ends_only_that_call(context: sockets.Context) -> None:
    class Choking(Watched):
        def on_reply(self, reply: Any, payload: Sequence[memoryview]) -> bool:
            raise ZeroDivisionError

    with Peer(context, answering(pong)) as peer:
        call = Choking()
        peer.requester.submit(call)
        wait_until(lambda: bool(call.errors))
        assert call.errors[0].name == "internal"
        assert peer.ask(m.Ping()).type == "pong"


@pytest.mark.parametrize("endpoint", ["tcp://nonsense", "tcp://host:http", "ipc://" + "x" * 250])
def test_an_endpoint_that_is_none_fails_the_calls(context: sockets.Context, endpoint: str) -> None:
    """Endpoints come over the wire: a bad one must not leave anybody waiting."""
    requester: Requester[Any] = Requester(context, endpoint, codec.data_replies, "requester")
    try:
        call = Single[Any](m.Hello(), time.monotonic() + 0.05)
        requester.submit(call)
        with pytest.raises(CatervaError):
            call.future.result(2)
    finally:
        requester.close()
        requester._wake_in.close()  # whatever became of its thread, leave nothing open
        requester._wake_out.close()


def test_a_retry_that_waits_for_credit_does_not_spin() -> None:
    table: CallTable[Any] = CallTable(replace(QUICK, credit=1))
    first, second = Watched(1000.0), Watched(1000.0)
    now = time.monotonic()
    table.submit(first)
    [(number, _)] = table.due(now)
    assert table.failed(number, Busy("later"), now) is None
    table.submit(second)
    [(_, call)] = table.due(now)
    assert call is second
    assert table.wait(now + 1.0) > 0.5


@pytest.mark.parametrize(
    "fields",
    [{"type": "pong"}, {"type": "pong", "binst": 7}, {"type": "nothing"}, {"type": "snapshot"}],
    ids=["missing", "wrong-type", "unknown", "of-another-kind"],
)
def test_bad_reply_fails_its_call_at_once(
    context: sockets.Context, fields: dict[str, object]
) -> None:
    def handle(_: bytes, frames: list[bytes]) -> list[list[bytes]]:
        try:
            request = codec.control_requests(frames)
        except BadMessage:
            return []  # a cancel
        return [[codec.MAGIC, msgpack.packb(fields | {"id": request.id})]]

    with Peer(context, handle) as peer:
        for _ in range(2 * QUICK.credit):  # each gives its credit back
            began = time.monotonic()
            with pytest.raises(BadMessage, match="requester sent a bad message") as refused:
                peer.ask(m.Ping())
            assert time.monotonic() - began < 4
        assert refused.value.status == 502


def test_thread_that_dies_fails_its_calls() -> None:
    """Without a socket to connect, as when a process has as many as it may have."""
    with zmq_context() as full:
        full.set(zmq.MAX_SOCKETS, 1)
        with full.socket(zmq.DEALER):
            requester: Requester[Any] = Requester(
                full, "tcp://127.0.0.1:1", codec.data_replies, "requester"
            )
            calls = [Watched(), Watched()]
            for call in calls:
                requester.submit(call)
            wait_until(lambda: all(call.errors for call in calls))
            assert requester.ended
            requester.close()


@pytest.mark.parametrize("room", [2, 3])
def test_thread_without_a_monitor_dies_as_well(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its socket is made, but what the socket's end needs is not."""

    def close_late(dealer: sockets.Socket) -> None:
        time.sleep(0.1)  # so that it would have failed to connect before
        close(dealer)

    close = dealers.close
    monkeypatch.setattr(dealers, "close", close_late)
    with zmq_context() as full:
        full.set(zmq.MAX_SOCKETS, room)
        requester: Requester[Any] = Requester(
            full, "tcp://127.0.0.1:1", codec.data_replies, "requester"
        )
        call = Watched(timeout=0.5)
        requester.submit(call)
        wait_until(lambda: bool(call.errors))
        requester.close()


def test_call_that_can_not_take_its_error_keeps_none_from_the_others(
    context: sockets.Context,
) -> None:
    class Stubborn(Watched):
        def on_error(self, error: CatervaError) -> None:
            super().on_error(error)
            raise ZeroDivisionError

    with Peer(context, answering(lambda _: None)) as peer:
        calls = [Stubborn(), Watched()]
        for call in calls:
            peer.requester.submit(call)
        wait_until(lambda: bool(peer.router.peers))
        peer.requester.close()
        assert [len(call.errors) for call in calls] == [1, 1]
