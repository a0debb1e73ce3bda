"""Requests from a thread: answers, errors, retries and silence."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zmq
from peers import QUICK, Peer, Watched, answering, pong, refusal
from wiretools import LIMIT, Router, wait_until

from caterva2.errors import (
    Busy,
    CatervaError,
    DeadlineExceeded,
    NotFound,
    RootTaken,
    StaleVersion,
    StartError,
)
from caterva2.wire import codec, sockets
from caterva2.wire import messages as m
from caterva2.wire.calls import CallTable
from caterva2.wire.requester import Requester
from caterva2.wire.sockets import Address


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
        if len(held) < QUICK.credit:
            return []
        answers = [codec.encode(pong(request)) for request in reversed(held)]
        held.clear()
        return [[bytes(frame) for frame in frames] for frames in answers]

    async def run(requester: Requester[Any]) -> None:
        asked = (requester.ask(m.Ping(), LIMIT) for _ in range(25 * QUICK.credit))
        assert {reply.type for reply in await asyncio.gather(*asked)} == {"pong"}

    with Peer(context, handle) as peer:
        asyncio.run(run(peer.requester))
    assert most == QUICK.credit


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


def test_busy_is_tried_again_under_a_new_id(context: sockets.Context) -> None:
    ids: list[int] = []

    def answer(request: Any) -> m.Reply:
        ids.append(request.id)
        return pong(request) if len(ids) == 3 else refusal(request, Busy("later", after_ms=1))

    with Peer(context, answering(answer)) as peer:
        assert peer.ask(m.Ping()).type == "pong"
    assert len(ids) == 3
    assert ids == sorted(set(ids))


def test_busy_for_ever_is_given_up(context: sockets.Context) -> None:
    count = 0

    def answer(request: Any) -> m.Reply:
        nonlocal count
        count += 1
        return refusal(request, Busy("later"))

    with Peer(context, answering(answer)) as peer, pytest.raises(Busy):
        peer.ask(m.Ping())
    assert count == 1 + QUICK.retries


def test_a_deadline_ends_a_request(context: sockets.Context) -> None:
    with Peer(context, answering(lambda _: None)) as peer:
        with pytest.raises(DeadlineExceeded):
            peer.ask(m.Ping(), 0.05)
        assert len(peer.router.peers) <= 1


def test_a_deadline_ends_a_request_to_nobody(context: sockets.Context, tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/nobody"
    with Peer(context, answering(pong), endpoint) as peer, pytest.raises(DeadlineExceeded):
        peer.ask(m.Ping(), 0.05)


def test_silence_brings_a_new_socket(context: sockets.Context) -> None:
    first: list[bytes] = []

    def handle(peer: bytes, frames: list[bytes]) -> list[list[bytes]]:
        """As a connection that died: whoever came first hears nothing."""
        first.append(peer)
        if peer == first[0]:
            return []
        return [[bytes(frame) for frame in codec.encode(pong(codec.control_requests(frames)))]]

    with Peer(context, handle, limits=replace(QUICK, first_byte=0.1)) as peer:
        assert peer.ask(m.Ping()).type == "pong"
        assert len(peer.router.peers) == 2


def test_silence_for_ever_is_given_up(context: sockets.Context) -> None:
    limits = replace(QUICK, first_byte=0.05)
    with Peer(context, answering(lambda _: None), limits=limits) as peer:
        with pytest.raises(DeadlineExceeded, match="several tries"):
            peer.ask(m.Ping())
        assert len(peer.router.peers) == 1 + QUICK.retries


def test_each_reply_ends_the_silence(context: sockets.Context) -> None:
    """A long answer in many parts is no silence, though it takes longer than the limit."""
    limits = replace(QUICK, first_byte=0.25)

    def handle(_: bytes, frames: list[bytes]) -> list[list[bytes]]:
        request = codec.control_requests(frames)
        return [[bytes(frame) for frame in codec.encode(pong(request))]]

    with Peer(context, handle, limits=limits) as peer:
        call = Watched(replies=2)
        table: CallTable[Any] = CallTable(limits)
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
