"""Prefetched data is available without its publisher."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from caterva2.limits import DEFAULTS, constants
from tests.conftest import Stack, eventually, example_root
from tests.web.asking import ask


def _status(stack: Stack, path: str, method: str = "GET") -> Any:
    answer = ask(stack, f"api/prefetch/{path}", method)
    assert answer.status == (202 if method == "POST" else 200), answer.body
    return answer.json


def _ended(stack: Stack, path: str) -> Any:
    eventually(lambda: _status(stack, path)["state"] not in ("waiting", "running"))
    return _status(stack, path)


@pytest.fixture
def lonely(stack: Stack) -> Stack:
    """A subscriber whose publisher is offline, with only names in its cache."""
    stack.start(foo=example_root())
    stack.stop("pub-foo")
    eventually(lambda: ask(stack, "api/roots").json["foo"].get("offline"))
    return stack


def test_a_directory_a_dataset_and_a_root_are_here_when_they_are_prefetched(
    stack: Stack, tmp_path: Path
) -> None:
    stack.start(foo=example_root())
    assert _status(stack, "foo/dir1/", "POST")["datasets"] == 2
    assert _ended(stack, "foo/dir1")["state"] == "done"
    assert ask(stack, "api/info/foo/dir1/ds-2d.b2nd").json["cached"]["nchunks"] == 8
    assert ask(stack, "api/info/foo/ds-1d.b2nd").json["cached"]["nchunks"] == 0

    before = stack.metric("fetched_chunks_total")
    begun = _status(stack, "foo/ds-1d.b2nd", "POST")
    assert (begun["datasets"], begun["nchunks"]) == (1, 10)  # its chunks are counted at once
    assert _ended(stack, "foo/ds-1d.b2nd")["cached"] == 10
    assert stack.metric("fetched_chunks_total") == before + 10

    begun = _status(stack, "foo", "POST")
    assert (begun["path"], begun["datasets"]) == ("foo", 10)
    status = _ended(stack, "foo")
    assert (status["state"], status["done"], status["error"]) == ("done", 10, "")
    assert status["cached"] == status["nchunks"] > 40
    _prefetch_damaged(stack, tmp_path / "root")
    stack.stop("pub-foo")
    eventually(lambda: ask(stack, "api/roots").json["foo"].get("offline"))
    for path in ask(stack, "api/list/foo").json:
        assert ask(stack, f"api/fetch/foo/{path}").status == 200


def _prefetch_damaged(stack: Stack, root: Path) -> None:
    """A damaged dataset is named, and the others are fetched."""
    root.mkdir()
    whole = (example_root() / "ds-1d.b2nd").read_bytes()
    (root / "bad.b2nd").write_bytes(whole[:-40])
    (root / "good.b2nd").write_bytes(whole)
    stack.publish("bar", root)
    _status(stack, "bar", "POST")
    status = _ended(stack, "bar")
    assert (status["state"], status["done"], status["failed"]) == ("done", 1, 1)
    assert status["failures"] == ["bad.b2nd"]
    assert status["error"].startswith("bar/bad.b2nd: ")
    assert status["error"].count("bad.b2nd") == 1
    assert ask(stack, "api/info/bar/good.b2nd").json["cached"]["nchunks"] == 10


def test_prefetch_waits_for_a_publisher_that_is_away(lonely: Stack) -> None:
    _status(lonely, "foo", "POST")
    eventually(lambda: "offline" in _status(lonely, "foo")["error"])
    assert _status(lonely, "foo")["state"] == "running"
    assert _status(lonely, "foo", "POST")["state"] == "running"  # the same job
    lonely.start_publisher("foo", example_root())
    status = _ended(lonely, "foo")
    assert (status["state"], status["done"]) == ("done", 10)


def test_cancelled_prefetch_ends_and_the_next_runs_until_the_service_stops(lonely: Stack) -> None:
    _status(lonely, "foo", "POST")
    _status(lonely, "foo/dir1", "POST")
    assert _status(lonely, "foo/dir1")["state"] == "waiting"
    assert _status(lonely, "foo", "DELETE")["state"] == "cancelled"
    eventually(lambda: _status(lonely, "foo/dir1")["state"] == "running")
    assert _status(lonely, "foo")["state"] == "cancelled"
    assert _status(lonely, "foo", "DELETE")["state"] == "cancelled"
    began = time.monotonic()
    assert lonely.stop("sub") == 0
    assert time.monotonic() - began < constants.SHUTDOWN - 1
    assert "Traceback" not in lonely.log("sub")


def test_number_of_prefetches_has_a_limit(stack: Stack, tmp_path: Path) -> None:
    for n in range(DEFAULTS.subscriber.prefetch_jobs + 1):
        (tmp_path / "root" / f"d{n}").mkdir(parents=True)
        (tmp_path / "root" / f"d{n}" / "a").write_text("a")
    stack.start(foo=tmp_path / "root")
    stack.stop("pub-foo")
    eventually(lambda: ask(stack, "api/roots").json["foo"].get("offline"))
    for n in range(DEFAULTS.subscriber.prefetch_jobs):
        _status(stack, f"foo/d{n}", "POST")
    answer = ask(stack, f"api/prefetch/foo/d{DEFAULTS.subscriber.prefetch_jobs}", "POST")
    assert (answer.status, "PREFETCH_JOBS=32" in answer.json["detail"]) == (429, True)
    _status(stack, "foo/d7", "DELETE")
    _status(stack, f"foo/d{DEFAULTS.subscriber.prefetch_jobs}", "POST")


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize(
    ("path", "status"), [("nope", 404), ("foo/nope", 404), ("foo/../x", 400), ("foo//x", 400)]
)
def test_unknown_prefetch_is_refused(
    shared_stack: Stack, method: str, path: str, status: int
) -> None:
    assert ask(shared_stack, f"api/prefetch/{path}", method).status == status
