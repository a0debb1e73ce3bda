"""Conditional requests, OPTIONS, and pages of other origins."""

from __future__ import annotations

import email.utils
import shutil
from collections.abc import Iterator
from pathlib import Path

import blosc2
import numpy as np
import pytest

from caterva2.rest import stream
from tests.conftest import Stack, eventually, example_root
from tests.web.asking import ask

TARGETS = [
    "api/fetch/foo/ds-1d.b2nd",
    "api/fetch/foo/ds-1d.b2nd?slice_=1:3",
    "api/fetch/foo/ds-1d.b2nd?indices=[[1,5]]",
    "api/chunk/foo/ds-1d.b2nd?nchunk=0",
    "api/download/foo/ds-1d.b2nd",
    "api/download/foo/README.md",
    "api/info/foo/ds-1d.b2nd",
]
LONG_AGO = "Sat, 01 Jan 2000 00:00:00 GMT"
ORIGIN = "https://lab.example"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("target", TARGETS)
def test_request_for_another_version_is_refused(
    shared_stack: Stack, target: str, method: str
) -> None:
    path = target.partition("foo/")[2].partition("?")[0]
    version = ask(shared_stack, f"api/info/foo/{path}").json["etag"]
    whole = ask(shared_stack, target)
    own = {"W/" + whole.headers["etag"].removeprefix("W/")} if "etag" in whole.headers else set()
    for given in {f'"{version}"', f'"x", W/"{version}"', "*", *own}:
        plain = "?" not in target and "info" not in target
        known = given == "*" or not plain
        if known:
            assert ask(shared_stack, target, method, If_Match=given).status == 200, given
    if whole.headers.get("etag", "W/").startswith('"'):
        tag = whole.headers["etag"]
        assert ask(shared_stack, target, method, If_Match=f'"a", {tag}').status == 200
    refused = ask(shared_stack, target, method, If_Match='"other"')
    assert refused.status == 412
    assert version in refused.headers["etag"]
    if method == "GET":
        assert refused.json["name"] == "precondition-failed"
        assert "If-Match" in refused.json["detail"]


@pytest.mark.parametrize("target", TARGETS)
def test_times_are_compared_where_no_tag_is_given(shared_stack: Stack, target: str) -> None:
    assert ask(shared_stack, target, If_Unmodified_Since=LONG_AGO).status == 412
    future = email.utils.formatdate(4e9, usegmt=True)
    assert ask(shared_stack, target, If_Unmodified_Since=future).status == 200
    assert ask(shared_stack, target, If_Unmodified_Since="yesterday").status == 200
    both = ask(shared_stack, target, If_Unmodified_Since=LONG_AGO, If_Match="*")
    assert both.status == 200


def test_streams_keep_to_conditions_too(shared_stack: Stack) -> None:
    target = "api/fetch/foo/ds-1d.b2nd?slice_=1:3"
    for _ in range(2):  # the second one could be answered from memory
        answer = ask(shared_stack, target, Accept=stream.MEDIA_TYPE)
        assert answer.status == 200
        refused = ask(shared_stack, target, Accept=stream.MEDIA_TYPE, If_Match='"other"')
        assert refused.status == 412


def test_whole_files_have_the_time_of_their_last_change(shared_stack: Stack) -> None:
    for target in ("api/fetch/foo/ds-1d.b2nd", "api/download/foo/README.md"):
        file = example_root() / target.partition("foo/")[2]
        date = email.utils.formatdate(int(file.stat().st_mtime), usegmt=True)
        for method in ("GET", "HEAD"):
            assert ask(shared_stack, target, method).headers["last-modified"] == date
        known = ask(shared_stack, target)
        again = ask(shared_stack, target, If_None_Match=known.headers["etag"])
        assert (again.status, again.headers["last-modified"]) == (304, date)
        assert ask(shared_stack, target, If_Unmodified_Since=date).status == 200


def test_ranges_of_two_versions_are_never_mixed(stack: Stack, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(example_root(), source)
    stack.start(foo=source)
    target = "api/download/foo/ds-1d.b2nd"
    first = ask(stack, target, Range="bytes=0-99")
    tag = first.headers["etag"]
    assert ask(stack, target, Range="bytes=100-199", If_Match=tag).status == 206
    blosc2.asarray(np.arange(1000, dtype="i8"), urlpath=str(tmp_path / "new.b2nd"))
    (tmp_path / "new.b2nd").rename(source / "ds-1d.b2nd")
    eventually(lambda: ask(stack, target).headers["etag"] != tag)
    assert ask(stack, target, Range="bytes=200-299", If_Match=tag).status == 412


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("api/roots", {"GET", "HEAD", "OPTIONS"}),
        ("api/fetch/foo/ds-1d.b2nd", {"GET", "HEAD", "POST", "OPTIONS"}),
        ("api/prefetch/foo", {"GET", "HEAD", "POST", "DELETE", "OPTIONS"}),
    ],
)
def test_options_are_the_methods(shared_stack: Stack, path: str, methods: set[str]) -> None:
    answer = ask(shared_stack, path, "OPTIONS")
    assert (answer.status, answer.body) == (204, b"")
    assert set(answer.headers["allow"].split(", ")) == methods
    assert ask(shared_stack, "api/nothing", "OPTIONS").status == 404


def test_no_other_origin_may_read_by_default(shared_stack: Stack) -> None:
    answer = ask(shared_stack, "api/roots", Origin=ORIGIN)
    assert not any(name.startswith("access-control") for name in answer.headers)


@pytest.fixture(scope="module")
def shared_with(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    made = Stack(tmp_path_factory.mktemp("origins"))
    (made.directory / "caterva2.toml").write_text(f'[subscriber]\ncors = ["{ORIGIN}"]\n')
    try:
        made.start(foo=example_root())
        yield made
    finally:
        made.stop_all()


@pytest.mark.parametrize("target", [*TARGETS, "api/info/foo/nothing"])
def test_pages_of_an_origin_that_is_named_may_read(shared_with: Stack, target: str) -> None:
    answer = ask(shared_with, target, Origin=ORIGIN)
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "ETag" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    assert "Origin" in answer.headers["vary"]
    other = ask(shared_with, target, Origin="https://evil.example")
    assert "access-control-allow-origin" not in other.headers


def test_preflight_is_answered_for_origins_that_are_named(shared_with: Stack) -> None:
    def preflight(origin: str, method: str) -> int:
        return ask(
            shared_with, "api/fetch/foo/ds-1d.b2nd", "OPTIONS", Origin=origin,
            Access_Control_Request_Method=method, Access_Control_Request_Headers="range",
        ).status  # fmt: skip

    assert preflight(ORIGIN, "GET") == 200
    assert preflight("https://evil.example", "GET") == 400
    assert preflight(ORIGIN, "DELETE") == 400


# --- hosts, and changes that pages of others want ---


@pytest.mark.parametrize("headers", [{}, {"Accept": stream.MEDIA_TYPE}])
def test_a_name_that_leads_here_from_elsewhere_is_not_served(
    shared_stack: Stack, headers: dict[str, str]
) -> None:
    """So a page of that name, which a browser takes for its own site, learns nothing."""
    target = "api/fetch/foo/ds-1d.b2nd?slice_=1:3"
    own = shared_stack.url.removeprefix("http://")
    for host in (own, "localhost", "LOCALHOST:80", "[::1]:8002", "192.0.2.1", "a.localhost"):
        assert ask(shared_stack, target, Host=host, **headers).status == 200, host
    for host, status in (("evil.example", 421), ("localhost.evil.example", 421), ("a b", 400)):
        answer = ask(shared_stack, target, Host=host, **headers)
        assert answer.status == status, host
        if status == 421:
            assert answer.json["name"] == "misdirected"
            assert "hosts of [subscriber]" in answer.json["detail"]


@pytest.mark.parametrize(
    ("method", "target"),
    [("POST", "api/subscribe/foo"), ("POST", "api/prefetch/foo"), ("POST", "api/compute"),
     ("POST", "api/fetch/foo/ds-1d.b2nd"), ("DELETE", "api/prefetch/foo")],
)  # fmt: skip
def test_pages_of_other_sites_change_nothing_without_a_session_either(
    shared_stack: Stack, method: str, target: str
) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = ask(shared_stack, target, method, **headers)
        assert (answer.status, answer.json["name"]) == (403, "not-allowed")
    own = ask(shared_stack, target, method, Origin=shared_stack.url)
    assert own.status != 403


def test_pages_of_an_origin_that_is_named_read_with_post_and_change_nothing(
    shared_with: Stack,
) -> None:
    assert ask(shared_with, "api/fetch/foo/ds-1d.b2nd", "POST", Origin=ORIGIN).status == 200
    assert ask(shared_with, "api/prefetch/foo", "POST", Origin=ORIGIN).status == 403
    other = ask(shared_with, "api/fetch/foo/ds-1d.b2nd", "POST", Origin="https://evil.example")
    assert other.status == 403
