"""Small slices that are answered early, and all other requests, which are left to the routes"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import httpx
import numpy as np
import pytest
import samples
from starlette.responses import Response

from caterva2.errors import NotFound, StaleVersion
from caterva2.model import User
from caterva2.rest.session import COOKIE
from caterva2.rest.stream import MEDIA_TYPE
from caterva2.web.app import make_app
from caterva2.web.server.http import HttpServer

VALUES = np.arange(300.0 * 400).reshape(300, 400)
TARGET = "/api/fetch/foo/a.b2nd?slice_=5:7,8:10"
Request = tuple[str, str, dict[str, str]]
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
        return self._values(selection)

    def _values(self, selection: Any) -> Any:
        return np.array(VALUES[tuple(slice(a.start, a.stop) for a in selection.axes)])


class Reader:
    def __init__(self, dataset: Any) -> None:
        self.found = dataset
        self.passed = 0

    def for_user(self, _: object) -> Reader:
        return self

    def answered(self, error: Exception) -> None:
        """Do nothing."""

    def try_dataset(self, *_: Any) -> Any:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    async def dataset(self, *_: Any) -> Any:
        self.passed += 1
        return self.try_dataset()


def asked(app: Any, early: Any, requests: Sequence[Request]) -> list[httpx.Response]:
    """Send requests over one connection to a server of an application."""

    async def send() -> list[httpx.Response]:
        async with HttpServer(app, "127.0.0.1:0", early=early) as server:
            limits = httpx.Limits(max_connections=1)
            async with httpx.AsyncClient(
                base_url=server.url, limits=limits, timeout=60, verify=False
            ) as client:  # certificates take 20 ms to load
                return [
                    await client.request(method, target, headers={"Accept": MEDIA_TYPE, **headers})
                    for method, target, headers in requests
                ]

    return asyncio.run(send())


def ask(reader: Any, target: str = TARGET) -> httpx.Response:
    """Send a request twice, and return the second answer."""
    app = make_app(reader)
    first, second = asked(app, app.state.early, [("GET", target, {})] * 2)
    assert first.content == second.content
    assert (app.state.web.outputs.used, app.state.web.small_outputs.used) == (0, 0)
    return second


def _comparable(answer: httpx.Response) -> list[tuple[str, str]]:
    return sorted(header for header in answer.headers.multi_items() if header[0] != "date")


@pytest.mark.parametrize("offline", [False, True])
def test_answer_at_once_is_that_of_the_general_case(offline: bool) -> None:
    quick, slow = Reader(Dataset(True, offline)), Reader(Dataset(False, offline))
    answers = ask(quick), ask(slow)
    assert (quick.passed, slow.passed) == (0, 2)
    assert _comparable(answers[0]) == _comparable(answers[1])
    assert ("warning" in answers[0].headers) is offline
    assert answers[0].content == answers[1].content
    assert answers[0].content.endswith(VALUES[5:7, 8:10].tobytes())


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/api/fetch/foo/a.b2nd?slice_=900", 400),
        ("/api/fetch/foo/a.b2nd?slice_=x", 400),
        ("/api/fetch/foo/a.b2nd?nothing=1", 400),
        ("/api/fetch/foo/a.b2nd?slice_=1&slice_=2", 400),
        ("/api/fetch/foo/a.b2nd?slice_=5:7,8:10&field=x", 400),
        ("/api/fetch/foo/a%00.b2nd?slice_=1", 400),
        ("/api/fetch/foo/a%ff.b2nd?slice_=1", 400),
    ],
)
def test_error_is_reported_by_the_general_case(
    target: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    answer = ask(Reader(Dataset(True)), target)
    assert answer.status_code == status
    assert answer.json()["detail"]
    assert "answered early" not in caplog.text


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
    assert reader.passed == 2


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("HEAD", "/api/fetch/foo/a.b2nd?slice_=5:7,8:10", {}),
        ("POST", "/api/fetch/foo/a.b2nd", {}),
        ("GET", "/api/info/foo/a.b2nd", {}),
        ("GET", TARGET, {"Accept": ""}),
        ("GET", TARGET, {"Accept": "*/*"}),
        ("GET", TARGET, {"If-Match": '"x"'}),
        ("GET", TARGET, {"If-None-Match": '"x"'}),
        ("GET", TARGET, {"Origin": "http://page"}),
        ("GET", TARGET, {"Connection": "close"}),
        ("GET", "/api/fetch/foo/a.b2nd?indices=" + "[" * 5000, {}),
        ("GET", "/api/fetch/foo/a.b2nd?slice_=0:200,0:200", {}),
        ("GET", "/api/fetch/foo/a.b2nd?", {}),
        ("GET", TARGET + "&format=csv", {}),
        ("GET", "/api/fetch/foo/a%FF.b2nd?slice_=1", {}),
    ],
)
def test_all_else_is_left_to_the_application(
    method: str, target: str, headers: dict[str, str]
) -> None:
    async def nothing(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope["path"])
        await Response(status_code=204)(scope, receive, send)

    passed: list[str] = []
    early = make_app(Reader(Dataset(True))).state.early
    ask_all = partial(asked, nothing, early)
    assert [each.status_code for each in ask_all([("GET", TARGET, {})])] == [200]
    assert not passed
    assert [each.status_code for each in ask_all([(method, target, headers)])] == [204]
    assert len(passed) == 1


def test_fault_is_logged_and_left_to_the_application(caplog: pytest.LogCaptureFixture) -> None:
    reader = Reader(RuntimeError("a fault"))
    assert ask(reader).status_code == 500
    assert reader.passed == 2
    assert "could not be answered early" in caplog.text


def test_early_answers_are_counted() -> None:
    app = make_app(Reader(Dataset(True)))
    asked(app, app.state.early, [("GET", TARGET, {})] * 2)
    (samples,) = app.state.web.metrics.families().values()
    assert [each.value for each in samples if each.name.endswith("_count")] == [2]
    assert dict(samples[0].labels)["call"] == "/api/fetch"


def test_a_user_is_found_by_the_cookie_of_each_request() -> None:
    """A session that is not known, or not any more, is left to the application."""

    class Views(Reader):
        users: ClassVar[list[Any]] = []

        def for_user(self, user: Any) -> Reader:
            self.users.append(user)
            return self

    user = User("1", "a@b.org", False)
    known = {"t": user}

    class Accounts:
        registering = False
        on_change: ClassVar[list[Any]] = []

        async def user_of(self, token: str) -> User | None:
            return None

        def known_user(self, token: str) -> User | None:
            return known.get(token)

    reader = Views(Dataset(True))
    accounts: Any = Accounts()
    app = make_app(reader, accounts)
    cookie = {"Cookie": f"x=1; {COOKIE}=t"}
    requests: list[Request] = [("GET", TARGET, sent) for sent in ({}, cookie, cookie)]
    plain, private, again = asked(app, app.state.early, requests)
    assert reader.users == [None, user, user]
    assert "cache-control" not in plain.headers
    assert private.headers["cache-control"] == again.headers["cache-control"] == "private"
    varies = ["Accept", "Cookie, Authorization"]
    assert private.headers.get_list("vary") == plain.headers.get_list("vary") == varies
    known.clear()
    (expired,) = asked(app, app.state.early, [("GET", TARGET, cookie)])
    assert reader.passed == 1
    assert "set-cookie" in expired.headers
