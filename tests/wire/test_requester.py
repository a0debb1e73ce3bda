"""Requests from a thread: answers, errors, retries, silence and the end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import pytest
import zmq
from wiretools import LIMIT, Handler, Router, wait_until, zmq_context

from caterva2 import limits
from caterva2.errors import (
    BadMessage,
    Busy,
    CatervaError,
    DeadlineExceeded,
    NotFound,
    RootOffline,
    RootTaken,
    StaleVersion,
    StartError,
)
from caterva2.wire import codec, sockets
from caterva2.wire import messages as m
from caterva2.wire.calls import Call, CallTable
from caterva2.wire.requester import Requester, Single
from caterva2.wire.sockets import Address

Answer = Callable[[Any], m.Reply | None]


@pytest.fixture
def context() -> Iterator[sockets.Context]:
    with zmq_context() as made:
        yield made


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses before retries."""
    monkeypatch.setattr(limits, "BACKOFF", 0.005)


def answering(answer: Answer) -> Handler:
    """A handler that decodes requests and encodes what a function makes of them."""

    def handle(_: bytes, frames: list[bytes]) -> list[list[bytes]]:
        try:
            reply = answer(codec.control_requests(frames))
        except BadMessage:
            reply = None  # a cancel, which a broker does not know
        return [] if reply is None else [[bytes(frame) for frame in codec.encode(reply)]]

    return handle


def pong(request: Any) -> m.Reply:
    return m.Pong(id=request.id, binst="b")


def refusal(request: Any, error: CatervaError) -> m.Reply:
    return codec.error_message(request.id, error)


class Peer:
    """A requester and the router that it talks to, ended together."""

    def __init__(self, context: sockets.Context, handler: Handler, endpoint: str = "") -> None:
        self.router = Router(context, handler)
        self.requester: Requester[Any] = Requester(
            context, endpoint or self.router.endpoint, codec.control_replies, "requester"
        )

    def ask(self, request: m.Request, timeout: float = LIMIT) -> Any:
        return asyncio.run(self.requester.ask(request, timeout))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.requester.close()
        self.router.close()


class Watched(Call[Any]):
    """A call that remembers what it was told."""

    def __init__(self, timeout: float = LIMIT, replies: int = 1) -> None:
        self.deadline = time.monotonic() + timeout
        self.ids: list[int] = []
        self.replies: list[Any] = []
        self.errors: list[CatervaError] = []
        self._wanted = replies

    def message(self, request_id: int) -> m.Request:
        self.ids.append(request_id)
        return m.Ping(id=request_id)

    def on_reply(self, reply: Any, payload: Sequence[memoryview]) -> bool:
        self.replies.append(reply)
        return len(self.replies) >= self._wanted

    def on_error(self, error: CatervaError) -> None:
        self.errors.append(error)


def test_ask_and_answer(context: sockets.Context) -> None:
    with Peer(context, answering(pong)) as peer:
        first, second = peer.ask(m.Ping()), peer.ask(m.Ping())
        assert first.binst == second.binst == "b"
        assert first.id < second.id


def test_many_at_a_time_stay_below_the_credit(context: sockets.Context) -> None:
    held: list[Any] = []
    most = 0

    def handle(_: bytes, frames: list[bytes]) -> list[list[bytes]]:
        """Hold requests back until all credit is used, then answer the newest first."""
        nonlocal most
        held.append(codec.control_requests(frames))
        most = max(most, len(held))
        if len(held) < limits.CREDIT:
            return []
        answers = [codec.encode(pong(request)) for request in reversed(held)]
        held.clear()
        return [[bytes(frame) for frame in frames] for frames in answers]

    async def run(requester: Requester[Any]) -> None:
        asked = (requester.ask(m.Ping(), LIMIT) for _ in range(25 * limits.CREDIT))
        assert {reply.type for reply in await asyncio.gather(*asked)} == {"pong"}

    with Peer(context, handle) as peer:
        asyncio.run(run(peer.requester))
    assert most == limits.CREDIT


def test_credit_that_the_other_side_granted(context: sockets.Context) -> None:
    pings: list[int] = []
    cancelled: list[int] = []

    def handle(_: bytes, frames: list[bytes]) -> list[list[bytes]]:
        try:
            pings.append(codec.control_requests(frames).id)
        except codec.BadMessage:
            cancelled.append(codec.data_requests(frames).id)
        return []

    with Peer(context, handle) as peer:
        peer.requester.set_credit(2)
        calls = [Watched() for _ in range(5)]
        for call in calls:
            peer.requester.submit(call)
        wait_until(lambda: len(pings) == 2)
        peer.requester.cancel(calls[0])
        peer.requester.cancel(calls[1])
        wait_until(lambda: len(pings) == 4)
        wait_until(lambda: len(cancelled) == 2)
        assert cancelled == pings[:2]
        assert calls[4].ids == []


@pytest.mark.parametrize("kind", [NotFound, RootTaken, StaleVersion])
def test_an_error_is_raised_as_its_class(
    context: sockets.Context, kind: type[CatervaError]
) -> None:
    def answer(request: Any) -> m.Reply:
        return refusal(request, kind("no", info={"etag": "new"}))

    with Peer(context, answering(answer)) as peer:
        with pytest.raises(kind, match="no") as caught:
            peer.ask(m.Ping())
        assert caught.value.info == {"etag": "new"}
        assert len(peer.router.peers) == 1


@pytest.mark.usefixtures("quick")
def test_busy_is_tried_again_under_a_new_id(context: sockets.Context) -> None:
    ids: list[int] = []

    def answer(request: Any) -> m.Reply:
        ids.append(request.id)
        return pong(request) if len(ids) == 3 else refusal(request, Busy("later", after_ms=1))

    with Peer(context, answering(answer)) as peer:
        assert peer.ask(m.Ping()).type == "pong"
    assert len(ids) == 3
    assert ids == sorted(set(ids))


@pytest.mark.usefixtures("quick")
def test_busy_for_ever_is_given_up(context: sockets.Context) -> None:
    count = 0

    def answer(request: Any) -> m.Reply:
        nonlocal count
        count += 1
        return refusal(request, Busy("later"))

    with Peer(context, answering(answer)) as peer, pytest.raises(Busy):
        peer.ask(m.Ping())
    assert count == 1 + limits.RETRIES


def test_a_deadline_ends_a_request(context: sockets.Context) -> None:
    with Peer(context, answering(lambda _: None)) as peer:
        with pytest.raises(DeadlineExceeded):
            peer.ask(m.Ping(), 0.05)
        assert len(peer.router.peers) <= 1


def test_a_deadline_ends_a_request_to_nobody(context: sockets.Context, tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/nobody"
    with Peer(context, answering(pong), endpoint) as peer, pytest.raises(DeadlineExceeded):
        peer.ask(m.Ping(), 0.05)


@pytest.mark.usefixtures("quick")
def test_silence_brings_a_new_socket(
    context: sockets.Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FIRST_BYTE", 0.1)
    first: list[bytes] = []

    def handle(peer: bytes, frames: list[bytes]) -> list[list[bytes]]:
        """As a connection that died: whoever came first hears nothing."""
        first.append(peer)
        if peer == first[0]:
            return []
        return [[bytes(frame) for frame in codec.encode(pong(codec.control_requests(frames)))]]

    with Peer(context, handle) as peer:
        assert peer.ask(m.Ping()).type == "pong"
        assert len(peer.router.peers) == 2


@pytest.mark.usefixtures("quick")
def test_silence_for_ever_is_given_up(
    context: sockets.Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FIRST_BYTE", 0.05)
    with Peer(context, answering(lambda _: None)) as peer:
        with pytest.raises(DeadlineExceeded, match="several tries"):
            peer.ask(m.Ping())
        assert len(peer.router.peers) == 1 + limits.RETRIES


def test_each_reply_ends_the_silence(
    context: sockets.Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long answer in many parts is no silence, though it takes longer than the limit."""
    monkeypatch.setattr(limits, "FIRST_BYTE", 0.25)

    def handle(_: bytes, frames: list[bytes]) -> list[list[bytes]]:
        request = codec.control_requests(frames)
        return [[bytes(frame) for frame in codec.encode(pong(request))]]

    with Peer(context, handle) as peer:
        call = Watched(replies=2)
        table: CallTable[Any] = CallTable()
        table.submit(call)
        [(number, _)] = table.due(0.0)
        assert table.get(number, 0.2) is call
        assert table.expire(0.4) == ([], False)
        assert table.expire(0.5) == ([], True)
        assert peer.ask(m.Ping()).type == "pong"


def test_a_server_that_appears_later(context: sockets.Context, tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/late"
    requester: Requester[Any] = Requester(context, endpoint, codec.control_replies, "requester")
    try:
        call = Watched()
        requester.submit(call)
        wait_until(lambda: bool(call.ids))  # it was tried, and there was nobody
        router = Router(context, answering(pong), endpoint)
        try:
            wait_until(lambda: bool(call.replies))
        finally:
            router.close()
        assert not call.errors
    finally:
        requester.close()


def test_an_endpoint_in_ipv6(context: sockets.Context) -> None:
    with sockets.make(context, zmq.ROUTER) as probe:
        try:
            address = sockets.bind(probe, Address("[::1]", 0), "data")
        except StartError:
            pytest.skip("no IPv6 here")
        requester: Requester[Any] = Requester(
            context, address.endpoint, codec.control_replies, "requester"
        )
        try:
            call = Watched()
            requester.submit(call)
            assert probe.poll(2_000)
        finally:
            requester.close()


def test_close_fails_what_is_under_way_and_what_comes_later(context: sockets.Context) -> None:
    with Peer(context, answering(lambda _: None)) as peer:
        calls = [Watched() for _ in range(2 * limits.CREDIT)]
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


@pytest.mark.usefixtures("quick")
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
    table: CallTable[Any] = CallTable(credit=1)
    first, second = Watched(1000.0), Watched(1000.0)
    now = time.monotonic()
    table.submit(first)
    [(number, _)] = table.due(now)
    assert table.failed(number, Busy("later"), now) is None
    table.submit(second)
    [(_, call)] = table.due(now)
    assert call is second
    assert table.wait(now + 1.0) > 0.5
