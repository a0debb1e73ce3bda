"""``caterva2 serve``: one command for a whole site, which ends as a whole."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import caterva2
from caterva2.cli.children import Process
from tests import forkserver
from tests.conftest import eventually, example_root

PATIENCE_S = 60.0


def processes(state: Path) -> set[int]:
    """The services of a site, by their directory."""
    found = set()
    for place in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if place.readlink().is_relative_to(state):
                found.add(int(place.parent.name))
    return found


class Serve:
    """``caterva2 serve`` in a directory of its own: forked, or as it is executed."""

    def __init__(self, top: Path, *given: str, executed: bool = False) -> None:
        self.state, self.log = top / "state", top / "serve.log"
        words = ["serve", "--http", "127.0.0.1:0", "--state", str(self.state), *given]
        self.process: Process
        with self.log.open("wb") as log, open(os.devnull, "rb") as null:
            if executed:
                self.process = subprocess.Popen(
                    [sys.executable, "-m", "caterva2", *words], stdout=log, stderr=log, cwd=top
                )
            else:
                streams = null.fileno(), log.fileno(), log.fileno()
                self.process = forkserver.fork_server().fork("caterva2", words, streams, top)

    def ready(self) -> str:
        """Wait until it serves, and return the address."""
        text = eventually(self._said("Ctrl+C ends all"), PATIENCE_S)
        found = re.search(r"Open (http://\S+)/ in a browser", text)
        assert found, text
        return found[1]

    def _said(self, words: str) -> Callable[[], str]:
        def look() -> str:
            text = self.log.read_text()
            assert words in text or self.process.poll() is None, text
            return text if words in text else ""

        return look

    def says(self, words: str) -> None:
        eventually(self._said(words), PATIENCE_S)


@pytest.fixture(params=[False, pytest.param(True, marks=pytest.mark.slow)])
def serve(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Serve]:
    (tmp_path / "other").mkdir()
    made = Serve(tmp_path, f"climate={example_root()}", "other", executed=request.param)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.process.kill()
            made.process.wait()


def test_a_site_serves_heals_and_ends(serve: Serve) -> None:
    url = serve.ready()
    client = caterva2.Client(url)
    assert client.get_roots().keys() >= {"climate", "other"}
    assert client.fetch("climate/ds-1d.b2nd", 5) == 5
    opened = forkserver.run("caterva2", "open", "--state", str(serve.state), "--print", "climate")
    assert opened.stdout == f"{url}/roots/climate\n"
    with urllib.request.urlopen(opened.stdout.strip(), timeout=60) as page:
        assert b"ds-1d.b2nd" in page.read()
    second = forkserver.run("caterva2", "serve", "--state", str(serve.state))
    assert (second.returncode, second.stdout) == (1, "")
    assert f"it is served at {url}" in second.stderr

    services = processes(serve.state)
    assert len(services) == 4
    broker = min(services)
    os.kill(broker, signal.SIGKILL)
    serve.says("the broker had ended and was started again")
    assert len(eventually(lambda: processes(serve.state) - {broker})) == 4
    eventually(lambda: client.fetch("climate/ds-1d.b2nd", 7) == 7, PATIENCE_S)

    serve.process.terminate()
    assert serve.process.wait(PATIENCE_S) == 0, serve.log.read_text()
    assert processes(serve.state) == set()
    gone = forkserver.run("caterva2", "open", "--state", str(serve.state), "--print")
    assert gone.returncode == 1
    assert "start caterva2 serve" in gone.stderr


def test_nothing_is_left_of_a_site_that_was_killed(serve: Serve) -> None:
    serve.ready()
    assert len(processes(serve.state)) == 4
    serve.process.kill()
    eventually(lambda: not processes(serve.state), PATIENCE_S)
    assert json.loads((serve.state / "running.json").read_text())["roots"].keys() == {
        "climate", "other",
    }  # fmt: skip
    again = Serve(serve.state.parent, "other")
    again.ready()
    again.process.send_signal(signal.SIGINT)
    assert again.process.wait(PATIENCE_S) == 0


def test_a_tied_service_ends_with_its_pipe(tmp_path: Path) -> None:
    free = "127.0.0.1:0"
    given = ["--endpoint", free, "--xsub", free, "--xpub", free, "--statedir", str(tmp_path)]
    child = subprocess.Popen(
        [sys.executable, "-m", "caterva2.cli.launch", "--tied", "cat2bro", *given],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with child:
        assert child.stdin
        assert child.stdout
        assert b"ready at" in child.stdout.readline()
        assert child.poll() is None
        child.stdin.close()
        try:
            assert child.wait(PATIENCE_S) == 0
        finally:
            child.kill()


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        (["nowhere"], 2, "nowhere does not exist"),
        (["a=.", "a=.."], 2, "would both be the root 'a'"),
        (["--conf", "no.toml"], 2, "no.toml does not exist"),
        (["--http", "127.0.0.1:x"], 2, "127.0.0.1:x"),
        (["--metrics", "127.0.0.1:0"], 2, "name a port with 2 ports after it"),
        (["--metrics", ":65534"], 2, "name a port with 2 ports after it"),
    ],
)
def test_refused(tmp_path: Path, given: list[str], code: int, words: str) -> None:
    done = forkserver.run(
        "caterva2", "serve", *given, cwd=tmp_path, XDG_STATE_HOME=str(tmp_path / "state")
    )
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
