"""SIGHUP: settings are read again, and no service ends. A supervisor hears of all that."""

from __future__ import annotations

import re
import signal
import threading
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

import caterva2
from caterva2.cli.children import Child
from tests.conftest import Stack, eventually, example_root
from tests.notifylistener import Listener

CONF = """
[broker]
loglevel = "{level}"
[subscriber]
read = "{read}"
access_log = "access"
[publisher]
read = "{published}"
"""
SECRET = "a-secret-that-keeps-sessions"
RELOADED = re.compile("reloaded .*loglevel")


def configure(stack: Stack, level: str, read: str, published: str = "public") -> None:
    text = CONF.format(level=level, read=read, published=published)
    (stack.directory / "caterva2.toml").write_text(text)


def status(stack: Stack, target: str) -> int:
    try:
        with stack.open(target) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.fixture
def listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """The supervisor of all services that start from here on."""
    made = Listener(tmp_path / "notify")
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    yield made
    made.close()


def test_all_services_survive_and_take_over_rights(stack: Stack, listener: Listener) -> None:
    stack.secret = SECRET
    configure(stack, "info", "public")
    stack.start(foo=example_root())
    pids = {name: child.process.pid for name, child in stack.children.items()}
    ready = {pid: listener.wait("READY=1", pid) for pid in pids.values()}
    listener.wait("STATUS=1 roots, 1 links up", pids["bro"])
    listener.wait("STATUS=root foo with 10 datasets, registered", pids["pub-foo"])
    listener.wait("STATUS=1 roots up, linked to a broker", pids["sub"])
    for pid in pids.values():
        listener.wait("WATCHDOG=1", pid)
    assert status(stack, "api/info/foo/README.md") == 200

    for published, expected in (("users", 404), ("public", 200)):
        configure(stack, "info", "public", published)
        stack.children["pub-foo"].process.send_signal(signal.SIGHUP)
        eventually(lambda expected=expected: status(stack, "api/info/foo/README.md") == expected)

    access, answered = stack.directory / "access", '"path": "/api/info/foo/README.md", "status": {}'
    eventually(lambda: answered.format(200) in access.read_text())
    access.rename(stack.directory / "access.1")
    configure(stack, "info", "users")
    for child in [*stack.children.values()] * 2:
        child.process.send_signal(signal.SIGHUP)
    eventually(lambda: status(stack, "api/info/foo/README.md") == 404)
    eventually(lambda: access.exists() and answered.format(404) in access.read_text())
    for pid, at in ready.items():
        listener.wait("READY=1", pid, after=listener.wait("RELOADING=1", pid, after=at))
    eventually(lambda: all(RELOADED.search(stack.log(name)) for name in stack.children))

    # In one step: the second signal may still be under way, and an empty file has public roots.
    bad = stack.directory / "bad.toml"
    bad.write_text('[subscriber]\nread = "everybody"\n')
    bad.replace(stack.directory / "caterva2.toml")
    stack.children["sub"].process.send_signal(signal.SIGHUP)
    eventually(lambda: "the settings stay as they were: " in stack.log("sub"))
    assert status(stack, "api/info/foo/README.md") == 404
    for name, child in stack.children.items():
        assert child.process.poll() is None, name

    stack.stop_all()
    for pid in pids.values():
        listener.wait("STOPPING=1", pid)


class Readers:
    """Threads that read slices all the time, each other ones."""

    def __init__(self, client: caterva2.Client, count: int) -> None:
        self.reads, self.failures = [0] * count, list[BaseException]()
        self._client, self._stop = client, threading.Event()
        self._threads = [threading.Thread(target=self._read, args=(n,)) for n in range(count)]

    def _read(self, n: int) -> None:
        while not self._stop.is_set():
            at = (self.reads[n] * 7 + n) % 1000
            try:
                assert self._client.fetch("foo/ds-1d.b2nd", at) == at
                assert self._client.get_list("foo")
            except BaseException as error:  # noqa: BLE001 - for the test to judge
                self.failures.append(error)
                return
            self.reads[n] += 1

    def all_read(self, more: int) -> None:
        """Wait until each of them has read some more times."""
        before = list(self.reads)
        eventually(
            lambda: self.failures or all(now >= was + more for now, was in self._pairs(before))
        )

    def _pairs(self, before: list[int]) -> Iterator[tuple[int, int]]:
        return zip(self.reads, before, strict=True)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)


@pytest.mark.parametrize("rounds", [2, pytest.param(30, marks=pytest.mark.slow)])
def test_no_read_fails_while_all_services_reload(stack: Stack, rounds: int) -> None:
    configure(stack, "info", "public")
    client = stack.start(foo=example_root())
    with Readers(client, 4) as readers:
        readers.all_read(1)
        for n in range(rounds):
            configure(stack, ("debug", "info")[n % 2], "public")
            for child in stack.children.values():
                child.process.send_signal(signal.SIGHUP)
            readers.all_read(3)
    assert readers.failures == []
    for name in stack.children:
        assert RELOADED.search(stack.log(name)), name


def test_the_log_level_changes(stack: Stack) -> None:
    configure(stack, "error", "public")
    log = stack.directory / "bro.log"
    ports = "--endpoint", "127.0.0.1:0", "--xsub", "127.0.0.1:0", "--xpub", "127.0.0.1:0"
    given = ["--statedir", str(stack.directory / "bro"), *ports]
    child = Child("cat2bro", given, log, cwd=stack.directory, spawn=stack.spawn_process)
    stack.children["bro"] = child
    child.ready()
    assert log.read_text() == ""
    configure(stack, "info", "public")
    child.process.send_signal(signal.SIGHUP)
    eventually(lambda: "INFO caterva2.cli.reloading: reloaded loglevel" in log.read_text())
    assert stack.stop("bro") == 0
