"""Answers that count against memory, and connections whose clients read nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
import samples

from caterva2.errors import StaleVersion
from caterva2.limits import DEFAULTS
from caterva2.limits.constants import READ_PIECE
from caterva2.model import Expression
from caterva2.rest.stream import MEDIA_TYPE
from caterva2.web import streams
from caterva2.web.app import make_app
from caterva2.web.server.bodies import pieces
from caterva2.web.server.protocol import StallGuardProtocol

INFO = samples.describe(samples.array_frame(np.zeros((1000, 300)), chunks=(100, 100)))


class Dataset:
    """A dataset whose version is gone whenever it is read."""

    info = INFO
    offline = False
    expression = None
    stored = None

    async def values(self, *_: Any) -> Any:
        raise StaleVersion("it changed")

    frame = chunk = chunks = values

    def try_values(self, *_: Any) -> Any:
        raise StaleVersion("it changed")


class Reader:
    def for_user(self, _: object) -> Reader:
        return self

    def answered(self, error: Exception) -> None:
        """Do nothing."""

    async def dataset(self, *_: Any) -> Any:
        return Dataset()

    def try_dataset(self, *_: Any) -> Any:
        return Dataset()


@pytest.mark.parametrize("accept", ["*/*", MEDIA_TYPE])
@pytest.mark.parametrize("target", ["fetch/foo/a.b2nd?slice_=1:", "chunk/foo/a.b2nd?nchunk=0"])
def test_read_that_fails_holds_no_memory(accept: str, target: str) -> None:
    reader: Any = Reader()
    app = make_app(reader)

    async def ask() -> int:
        asked = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")
        async with asked as client:
            answer = await client.get(f"/api/{target}", headers={"Accept": accept})
        return answer.status_code

    assert asyncio.run(ask()) == 409
    assert (app.state.web.outputs.used, app.state.web.small_outputs.used) == (0, 0)


@pytest.mark.parametrize("accept", ["*/*", MEDIA_TYPE])
def test_computed_answer_keeps_no_other_answer_waiting(accept: str) -> None:
    limits = replace(
        DEFAULTS,
        web=replace(DEFAULTS.web, small_outputs_bytes=1),
        wire=replace(DEFAULTS.wire, request_deadline=0.01),
    )
    begun = asyncio.Event()

    class Computed(Dataset):
        expression: Any = Expression("a + 1", {"a": "foo/a.b2nd"})

        async def frame(self, *_: Any) -> Any:
            begun.set()
            await asyncio.sleep(30)

        values = frame

    class Stored(Dataset):
        async def frame(self, *_: Any) -> Any:
            return b"a frame"

        async def values(self, *_: Any) -> Any:
            return np.zeros(300)

    class Both(Reader):
        async def dataset(self, root: str, path: str) -> Any:
            return Computed() if path == "slow.b2nd" else Stored()

    reader: Any = Both()
    app = make_app(reader, limits=limits)

    async def ask() -> int:
        asked = httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://test", headers={"Accept": accept}
        )
        async with asked as client:
            slow = asyncio.create_task(client.get("/api/fetch/foo/slow.b2nd?slice_=1"))
            await begun.wait()
            answer = await client.get("/api/fetch/foo/a.b2nd?slice_=1")
            slow.cancel()
            await asyncio.gather(slow, return_exceptions=True)
        return answer.status_code

    assert asyncio.run(ask()) == 200
    assert app.state.web.computed_outputs.used == 0


@pytest.mark.parametrize(
    ("accept", "taken"),
    [
        (MEDIA_TYPE, True),
        (f"text/html, {MEDIA_TYPE};q=0.5", True),
        (f"{MEDIA_TYPE};q=0", False),
        (f"{MEDIA_TYPE}x", False),
        ("*/*", False),
    ],
)
def test_stream_is_sent_to_clients_that_accept_it(accept: str, taken: bool) -> None:
    request: Any = type("Request", (), {"method": "GET", "headers": {"accept": accept}})
    assert streams.accepted(request) is taken


def test_connection_is_given_little_at_once() -> None:
    body = bytes(3 * READ_PIECE + 5)
    given = list(pieces(b"head", body))
    assert max(map(len, given)) == READ_PIECE
    assert b"".join(given) == b"head" + body


class Transport:
    """A connection that holds what its client did not read."""

    def __init__(self) -> None:
        self.left = 100
        self.cut = False

    def get_write_buffer_size(self) -> int:
        return self.left

    def abort(self) -> None:
        self.cut = True


@pytest.mark.parametrize(("taken", "cut"), [(0, True), (1, False), (100, False)])
def test_connection_is_cut_when_its_client_read_nothing(taken: int, cut: bool) -> None:
    async def look_twice() -> bool:
        transport: Any = Transport()
        protocol = StallGuardProtocol.__new__(StallGuardProtocol)
        protocol.loop, protocol.transport = asyncio.get_running_loop(), transport
        protocol._cut_unless_less(transport.left + 1)  # some was taken: it looks again later
        assert not transport.cut
        assert protocol._check is not None
        before = transport.left
        transport.left -= taken
        protocol._cut_unless_less(before)
        protocol._stop_checking()
        return bool(transport.cut)

    assert asyncio.run(look_twice()) is cut


def test_limits_of_a_protocol_are_its_class_and_leave_others_alone() -> None:
    made = StallGuardProtocol.limited(replace(DEFAULTS.web, stalled=7))
    assert (made.limits.stalled, StallGuardProtocol.limits.stalled) == (7, DEFAULTS.web.stalled)
