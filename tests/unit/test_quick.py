"""Small slices that are answered at once, and all other requests, which are passed on."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
import samples
from starlette.requests import Request

from caterva2.errors import NotFound, StaleVersion
from caterva2.limits import DEFAULTS
from caterva2.rest.stream import MEDIA_TYPE
from caterva2.runtime.metrics import MemoryMetrics
from caterva2.web.app import make_app
from caterva2.web.middleware.quick import QuickSlices
from caterva2.web.params import fetch as fetch_params
from caterva2.web.state import WebState

VALUES = np.arange(300.0 * 400).reshape(300, 400)
SCOPE: dict[str, Any] = {
    "type": "http", "method": "GET", "path": "/api/fetch/foo/a.b2nd",
    "query_string": b"slice_=5:7,8:10", "headers": [(b"accept", MEDIA_TYPE.encode())],
}  # fmt: skip
INFO = samples.describe(samples.array_frame(VALUES, chunks=(100, 100)))


class Dataset:
    """A dataset whose values are in memory, or not."""

    info = INFO
    stored = None
    expression = None

    def __init__(self, there: bool, offline: bool = False) -> None:
        self.offline = offline
        self._there = there

    def try_values(self, selection: Any, field: Any) -> Any:
        return self._values(selection) if self._there else None

    async def values(self, selection: Any, field: Any) -> Any:
        assert not self._there
        return self._values(selection)

    def _values(self, selection: Any) -> Any:
        return np.array(VALUES[tuple(slice(a.start, a.stop) for a in selection.axes)])


class Reader:
    def __init__(self, dataset: Any) -> None:
        self.found = dataset
        self.passed = 0

    def for_user(self, _: object) -> Reader:
        return self

    def try_dataset(self, *_: Any) -> Any:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    async def dataset(self, *_: Any) -> Any:
        self.passed += 1
        return self.try_dataset()


def ask(
    reader: Any,
    target: str = "a.b2nd?slice_=5:7,8:10",
    method: str = "GET",
    accept: str = MEDIA_TYPE,
) -> httpx.Response:
    app = make_app(reader)

    async def send() -> httpx.Response:
        asked = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")
        async with asked as client:
            headers = {"Accept": accept}
            return await client.request(method, f"/api/fetch/foo/{target}", headers=headers)

    answer = asyncio.run(send())
    assert (app.state.web.outputs.used, app.state.web.small_outputs.used) == (0, 0)
    return answer


@pytest.mark.parametrize("offline", [False, True])
def test_answer_at_once_is_that_of_the_general_case(offline: bool) -> None:
    quick, slow = Reader(Dataset(True, offline)), Reader(Dataset(False, offline))
    answers = ask(quick), ask(slow)
    assert (quick.passed, slow.passed) == (0, 1)
    assert answers[0].headers == answers[1].headers
    assert ("warning" in answers[0].headers) is offline
    assert answers[0].content == answers[1].content
    assert answers[0].content.endswith(VALUES[5:7, 8:10].tobytes())


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("a.b2nd?slice_=900", 400),
        ("a.b2nd?slice_=x", 400),
        ("a.b2nd?nothing=1", 400),
        ("a.b2nd?slice_=1&slice_=2", 400),
        ("a.b2nd?slice_=5:7,8:10&field=x", 400),
        ("a%00.b2nd?slice_=1", 400),
    ],
)
def test_error_is_reported_by_the_general_case(target: str, status: int) -> None:
    answer = ask(Reader(Dataset(True)), target)
    assert answer.status_code == status
    assert answer.json()["detail"]


@pytest.mark.parametrize("error", [NotFound("foo does not exist"), StaleVersion("it changed")])
def test_refusal_is_reported_by_the_general_case(error: Any) -> None:
    reader = Reader(error)
    assert ask(reader).status_code == error.status
    assert reader.passed


def test_unknown_dataset_is_passed_on() -> None:
    class Unknown(Reader):
        def try_dataset(self, *_: Any) -> Any:
            return None

        async def dataset(self, *_: Any) -> Any:
            self.passed += 1
            return self.found

    reader = Unknown(Dataset(False))
    assert ask(reader).status_code == 200
    assert reader.passed == 1


class Passed(Exception):
    """A request was passed on."""


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "HEAD"},
        {"method": "POST"},
        {"path": "/api/info/foo/a.b2nd"},
        {"headers": []},
        {"headers": [(b"accept", b"*/*")]},
        {"query_string": b"indices=" + b"[" * 5000},
        {"query_string": b"slice_=0:200,0:200"},
        {"query_string": b""},
        {"type": "lifespan"},
    ],
)
def test_all_else_is_passed_on(changed: dict[str, Any]) -> None:
    scope = copy.deepcopy(SCOPE)

    async def passed(*_: Any) -> None:
        raise Passed

    async def send(_: Any) -> None:
        """Take it."""

    reader: Any = Reader(Dataset(True))
    quick = QuickSlices(passed, WebState(reader, None, DEFAULTS, (), MemoryMetrics()))
    receive: Any = None
    asyncio.run(quick(scope, receive, send))
    with pytest.raises(Passed):
        asyncio.run(quick(scope | changed, receive, send))


def test_answer_that_waits_for_memory_is_passed_on() -> None:
    async def passed(*_: Any) -> None:
        raise Passed

    reader: Any = Reader(Dataset(True))
    web = replace(DEFAULTS.web, small_outputs_bytes=100)
    state = WebState(reader, None, replace(DEFAULTS, web=web), (), MemoryMetrics())
    hold = state.small_outputs.take_now(90)
    assert hold is not None
    scope = copy.deepcopy(SCOPE)
    nothing: Any = None
    with pytest.raises(Passed):
        asyncio.run(QuickSlices(passed, state)(scope, nothing, nothing))


def test_parameters_are_parsed_once() -> None:
    reader: Any = Reader(None)
    scope = copy.deepcopy(SCOPE)

    async def passed(scope: Any, *_: Any) -> None:
        kept.append(await fetch_params.params_of(Request(scope)))

    kept: list[fetch_params.FetchParams] = []
    nothing: Any = None
    quick = QuickSlices(passed, WebState(reader, None, DEFAULTS, (), MemoryMetrics()))
    asyncio.run(quick(scope, nothing, nothing))
    assert kept == [scope["state"]["fetch_params"]]
    assert kept[0] is scope["state"]["fetch_params"]
