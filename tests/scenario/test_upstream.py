"""A subscriber that takes its roots from another one over HTTP."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Stack, eventually
from tests.scenario.upstreams import Home
from tests.web.asking import ask


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A lab and a home with a token for all roots, for tests that leave both as they are."""
    stack = Stack(tmp_path_factory.mktemp("home"))
    try:
        made = Home.made(stack)
        made.token("*")
        made.start()
        eventually(lambda: {"foo", "members"} <= made.ask("api/roots").json.keys())
        yield made
    finally:
        stack.stop_all()


def test_roots_are_those_of_the_tokens_user(home: Home) -> None:
    roots = home.ask("api/roots").json
    assert {"foo", "members"} == {name for name in roots if not name.startswith("@")}
    assert roots["foo"]["http"] == home.lab.partition("://")[2]
    assert home.ask("api/list/members").status == 200  # upstream_readers says so


def test_names_versions_and_descriptions_are_those_of_the_upstream(home: Home) -> None:
    listed = home.ask("api/entries/foo").json
    assert listed == home.of_lab("api/entries/foo").json
    for path in home.ask("api/list/foo").json:
        here, there = home.ask(f"api/info/foo/{path}"), home.of_lab(f"api/info/foo/{path}")
        assert here.json == there.json, path
        assert here.headers["etag"] == there.headers["etag"], path


def test_chunks_bytes_and_values_are_those_of_the_upstream(home: Home) -> None:
    for path in home.ask("api/list/foo").json:
        here, there = (get(f"api/download/foo/{path}").body for get in (home.ask, home.of_lab))
        assert here == there, path
    chunk = "api/chunk/foo/dir1/ds-2d.b2nd?nchunk=1"
    assert home.ask(chunk).body == home.of_lab(chunk).body


def _text(home: Home) -> bytes:
    return home.ask("api/download/foo/README.md").body


def test_a_change_is_seen_within_a_second(home: Home) -> None:
    readme = home.source / "README.md"
    before = _text(home)
    began = time.monotonic()
    readme.write_text("changed at the lab")
    eventually(lambda: _text(home) == b"changed at the lab")
    at_lab = home.of_lab("api/info/foo/README.md").headers["etag"]
    assert home.ask("api/info/foo/README.md").headers["etag"] == at_lab
    assert time.monotonic() - began < 10  # on a quiet machine a second
    readme.write_bytes(before)
    eventually(lambda: _text(home) == before)


def test_what_is_cached_is_served_without_the_upstream_and_the_rest_refused_at_once(
    home: Home,
) -> None:
    cached, missing = "api/download/foo/README.md", home.not_cached("one.b2nd")
    kept = home.ask(cached).body
    home.stack.kill("sub")
    eventually(lambda: home.ask(missing).status == 503)
    began = time.monotonic()
    assert home.ask(missing).json["name"] == "root-offline"
    assert time.monotonic() - began < 2
    answer = home.ask(cached)
    assert (answer.status, answer.body) == (200, kept)
    assert answer.headers["warning"].startswith("110")
    eventually(lambda: "upstream-away" in home.problems)
    home.start_lab()
    eventually(lambda: home.ask(missing).status == 200, 40)
    assert "warning" not in home.ask(cached).headers


def test_a_token_that_is_replaced_is_read_again(home: Home) -> None:
    missing = home.not_cached("two.b2nd")
    assert home.of_lab(f"api/tokens/{home.ident}", "DELETE").status == 200
    eventually(lambda: home.ask(missing).status == 503)
    eventually(lambda: "upstream-away" in home.problems)
    home.token("foo")
    eventually(lambda: home.ask(missing).status == 200, 40)
    assert home.states == {"foo": "up", "members": "offline"}
    home.token("*")  # for the tests that follow
    assert home.of_lab(f"api/tokens/{home.former}", "DELETE").status == 200
    eventually(lambda: home.states == {"foo": "up", "members": "up"}, 40)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_a_laptop_takes_over_https_what_another_one_took(home: Home, tmp_path: Path) -> None:
    """The certificate is the laptop's own, and what it says is verified."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    files = "--ssl-certfile", str(certificate), "--ssl-keyfile", str(key)
    middle = home.spawn("middle", "--upstream", home.url, *files)
    port = middle.rpartition(":")[2]
    trusted = "--upstream-ca-file", str(certificate)
    home.spawn("stranger", "--upstream", f"https://localhost:{port}")
    home.stack.url = home.spawn("laptop", "--upstream", f"https://localhost:{port}", *trusted)
    eventually(lambda: "foo" in ask(home.stack, "api/roots").json)
    target = "api/download/foo/dir1/ds-2d.b2nd"
    assert ask(home.stack, target).body == home.of_lab(target).body
    eventually(lambda: "CERTIFICATE_VERIFY_FAILED" in home.stack.log("stranger"))
    for name in ("stranger", "laptop", "middle"):
        home.stack.stop(name)
