"""Server-sent events of roots and datasets."""

from __future__ import annotations

import http.client
import json
import shutil
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from caterva2.limits import DEFAULTS, constants
from tests.conftest import Stack, eventually, example_root
from tests.web.asking import ask


class Events:
    """An open stream of events."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.response = response

    def lines(self) -> Iterator[str]:
        while line := self.response.readline():
            yield line.decode().rstrip("\n")

    def next(self) -> tuple[str, Any]:
        """Return name and data of the next event."""
        name = ""
        for line in self.lines():
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                return name, json.loads(line[6:])
        return "end", None


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Services for tests that change nothing; requests of this machine may be of any client."""
    made = Stack(tmp_path_factory.mktemp("stack"))
    made.configure('[subscriber]\nproxy = ["127.0.0.1"]\n')
    try:
        made.start(foo=example_root())
        yield made
    finally:
        made.stop_all()


@contextmanager
def listening(stack: Stack, query: str = "", address: str = "") -> Iterator[Events]:
    """Open a stream of events, of another address too; return when it is open at the server."""
    parts = urllib.parse.urlsplit(stack.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    try:
        connection.request("GET", f"/api/events{query}", headers={"X-Forwarded-For": address})
        response = connection.getresponse()
        assert response.status == 200
        assert (response.getheader("content-type") or "").startswith("text/event-stream")
        yield Events(response)
    finally:
        connection.close()


def _copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(example_root(), tmp_path / "source"))


def _rewrite(path: Path, text: str) -> None:
    """Give a file of a root another text at once: an empty one would be a change of its own."""
    made = path.parent.with_name("made")
    made.write_text(text)
    made.replace(path)


def test_changes_of_datasets_are_events(stack: Stack, tmp_path: Path) -> None:
    foo, bar = _copy(tmp_path / "foo"), _copy(tmp_path / "bar")
    stack.start(foo=foo)
    with listening(stack) as events:
        etag = ask(stack, "api/info/foo/ds-1d.b2nd").headers["etag"].strip('"')
        _rewrite(foo / "README.md", "changed")
        name, put = events.next()
        assert (name, put["root"], put["path"], put["op"]) == ("change", "foo", "README.md", "put")
        assert put["etag"] == ask(stack, "api/info/foo/README.md").headers["etag"].strip('"')
        assert put["etag"] != etag
        (foo / "ds-1d.b2nd").unlink()
        assert events.next() == (
            "change", {"root": "foo", "path": "ds-1d.b2nd", "op": "delete", "etag": ""}
        )  # fmt: skip
        # The first catalog of a root is no change.
        stack.start_publisher("bar", bar, name="pub-bar")
        assert events.next()[0] == "roots"
        stack.subscribe("bar")
        _rewrite(bar / "README.md", "changed")
        assert events.next()[1]["path"] == "README.md"
    with listening(stack, "?root=bar") as events:  # of one root
        _rewrite(foo / "README.md", "changed again")
        eventually(lambda: ask(stack, "api/download/foo/README.md").body == b"changed again")
        _rewrite(bar / "README.md", "changed again")
        assert events.next()[1]["root"] == "bar"
    assert ask(stack, "api/events?root=..").json["name"] == "bad-name"
    assert ask(stack, "api/events?rot=bar").json["name"] == "bad-request"


def test_root_that_goes_offline_and_comes_back_is_an_event_and_the_servers_end_is_the_streams(
    stack: Stack,
) -> None:
    stack.start(foo=example_root())
    with listening(stack) as events:
        stack.stop("pub-foo")
        name, down = events.next()
        assert name == "roots"
        shown = {"root": "foo", "state": "offline", "http": "", "origin": "away", "hops": 0}
        assert down == shown
        stack.start_publisher("foo", example_root())
        name, up = events.next()
        assert (name, up["root"], up["state"]) == ("roots", "foo", "up")
        assert up["http"] == ask(stack, "api/roots").json["foo"]["http"]
        began = time.monotonic()
        assert stack.stop("sub") == 0
        assert time.monotonic() - began < constants.SHUTDOWN - 1
        assert events.next() == ("end", None)
    assert "Traceback" not in stack.log("sub")


def test_listener_that_left_makes_room(shared_stack: Stack) -> None:
    eventually(lambda: shared_stack.metric("event_listeners") == 0)  # those of other tests
    with listening(shared_stack), listening(shared_stack):
        assert shared_stack.metric("event_listeners") == 2
    eventually(lambda: shared_stack.metric("event_listeners") == 0)


def test_head_listens_to_nothing(shared_stack: Stack) -> None:
    answer = ask(shared_stack, "api/events", "HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "content-length" not in answer.headers
    eventually(lambda: shared_stack.metric("event_listeners") == 0)


def test_too_many_listeners_are_refused_for_now(shared_stack: Stack) -> None:
    share, bound = DEFAULTS.web.address_listeners, DEFAULTS.subscriber.event_listeners
    addresses = [f"192.0.2.{n // share + 1}" for n in range(bound)]
    eventually(lambda: shared_stack.metric("event_listeners") == 0)  # those of other tests
    open_ = [listening(shared_stack, address=address) for address in addresses]
    for one in open_:
        one.__enter__()
    try:
        answer = ask(shared_stack, "api/events")
        assert (answer.status, answer.json["name"]) == (429, "slow-down")
        assert int(answer.headers["retry-after"]) > 0
    finally:
        for one in open_:
            one.__exit__(None, None, None)


def test_listeners_of_one_address_leave_others_their_share(shared_stack: Stack) -> None:
    share = DEFAULTS.web.address_listeners
    eventually(lambda: shared_stack.metric("event_listeners") == 0)  # those of other tests
    with ExitStack() as open_:
        for n in range(share):
            open_.enter_context(listening(shared_stack, address=f"2001:db8::{n:x}"))
        refused = ask(shared_stack, "api/events", X_Forwarded_For="2001:db8::ffff:1")
        assert (refused.status, refused.json["name"]) == (429, "slow-down")
        assert f"ADDRESS_LISTENERS={share}" in refused.json["detail"]
        open_.enter_context(listening(shared_stack, address="2001:db8:1::1"))
    eventually(lambda: shared_stack.metric("event_listeners") == 0)
    with listening(shared_stack, address="2001:db8::1"):
        pass
