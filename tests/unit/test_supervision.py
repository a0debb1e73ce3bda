"""Notices to a supervisor, its watchdog, and the sockets that it passes."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from caterva2.errors import ConfigError, StartError
from caterva2.runtime import service
from caterva2.runtime.supervision import passed
from caterva2.runtime.supervision.notices import DatagramNotices, NullNotices, notices_of
from tests.notifylistener import Listener

WATCHDOG = 0.1


class Noted:
    """A service that waits for notices, and ends."""

    ready = "ready at nowhere"
    status = "3 roots\nREADY=0"

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.reloads = 0

    async def __aenter__(self) -> Self:
        assert self._listener.lines() == []
        return self

    async def failed(self) -> None:
        await self.wait("READY=1")
        await self.live()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    async def live(self) -> None:
        """Do something between the start and the end."""

    async def wait(self, line: str, after: int = 0) -> int:
        while line not in self._listener.lines()[after:]:  # noqa: ASYNC110 - of another socket
            await asyncio.sleep(0.01)
        return self._listener.lines().index(line, after) + 1

    async def __aexit__(self, *_: object) -> None:
        await self.wait("STOPPING=1")


@pytest.fixture(params=["path", "abstract"])
def listener(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Listener]:
    abstract = f"@caterva2-{secrets.token_hex(8)}"
    made = Listener(tmp_path / "notify" if request.param == "path" else abstract)
    for name, value in made.environment(WATCHDOG).items():
        monkeypatch.setenv(name, value)
    yield made
    made.close()


def test_a_supervisor_hears_of_start_and_end(listener: Listener) -> None:
    assert service.run("cat2x", lambda: Noted(listener)) == 0
    said = [line for line in listener.lines() if line != "WATCHDOG=1"]
    assert said == ["READY=1", r"STATUS=3 roots\nREADY=0", "STOPPING=1", "STATUS=ending"]
    assert "NOTIFY_SOCKET" not in os.environ  # it is not for processes that a service starts


def test_a_supervisor_hears_of_a_reload_even_if_it_fails(listener: Listener) -> None:
    class Reloaded(Noted):
        async def live(self) -> None:
            before = len(self._listener.lines())
            os.kill(os.getpid(), signal.SIGHUP)
            at = await self.wait("RELOADING=1", before)
            now = int(self._listener.lines()[at].removeprefix("MONOTONIC_USEC="))
            assert 0 <= time.monotonic_ns() // 1000 - now < 60e6
            await self.wait("READY=1", at)

    def reload() -> None:
        raise ConfigError("no such setting")

    assert service.run("cat2x", lambda: Reloaded(listener), reload=reload) == 0


def test_only_a_loop_that_runs_beats(listener: Listener) -> None:
    class Hung(Noted):
        async def live(self) -> None:
            await self.wait("WATCHDOG=1")
            self._listener.lines().clear()
            time.sleep(4 * WATCHDOG)  # noqa: ASYNC251 - the fault
            assert "WATCHDOG=1" not in self._listener.lines()
            await self.wait("WATCHDOG=1")

    assert service.run("cat2x", lambda: Hung(listener)) == 0


def test_a_full_supervisor_blocks_nothing_and_loses_no_state(tmp_path: Path) -> None:
    listener = Listener(tmp_path / "notify")
    notices = DatagramNotices(listener.address)
    for number in range(1000):
        notices.status(str(number))
        notices.beat()
    notices.stopping()
    while "STOPPING=1" not in listener.lines():
        notices.beat()
    assert listener.lines().count("STOPPING=1") == 1
    notices.close()
    listener.close()


def test_a_supervisor_that_is_gone_is_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    notices = DatagramNotices(str(tmp_path / "nothing"))
    for _ in range(3):
        notices.ready("")
        notices.beat()
    assert len(caplog.records) == 1
    notices.close()


@pytest.mark.parametrize(
    ("address", "warned"), [("", False), ("relative", True), ("/" + "x" * 200, True), ("@", True)]
)
def test_without_a_usable_socket_none_is_notified(
    address: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"}
    assert isinstance(notices_of(environ), NullNotices)
    assert bool(caplog.records) == warned
    assert environ == {}


@pytest.mark.parametrize(
    ("microseconds", "pid", "seconds"),
    [("2000000", "", 2.0), ("x", "", 0.0), ("2000000", "1", 0.0), ("2000000", "own", 2.0)],
)
def test_beats_are_for_the_process_that_they_are_expected_of(
    microseconds: str, pid: str, seconds: float
) -> None:
    environ = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": microseconds}
    environ["WATCHDOG_PID"] = str(os.getpid()) if pid == "own" else pid
    notices = notices_of(environ)
    assert notices.watchdog == seconds
    notices.close()


PASSED = """
import json, os, socket, sys
from caterva2.errors import CatervaError
from caterva2.runtime.supervision import passed
for kind, count, pid in json.loads(sys.argv[1]):
    os.dup2(os.open(os.devnull, os.O_RDONLY), 3)
    made = socket.socket(type=socket.SOCK_DGRAM if kind == "datagrams" else socket.SOCK_STREAM)
    made.bind(("127.0.0.1", 0))
    if kind == "listens":
        made.listen()
    os.dup2(made.fileno(), 3, inheritable=True)
    os.environ |= {"LISTEN_FDS": count, "LISTEN_PID": pid or str(os.getpid())}
    try:
        found = passed.listener(os.environ)
        assert "LISTEN_FDS" not in os.environ
        if found is not None:
            assert passed.address_of(found) == "%s:%s" % made.getsockname()
            assert not os.get_inheritable(3)
        print(found is not None)
    except CatervaError as error:
        print(error)
"""


def test_a_listening_socket_is_taken_over() -> None:
    cases = [
        ("datagrams", "1", "", "does not listen for streams"),
        ("bound", "1", "", "does not listen for streams"),
        ("listens", "2", "", "2 sockets were passed"),
        ("listens", "0", "", "False"),
        ("listens", "1", "1", "False"),
        ("listens", "1", "", "True"),
    ]
    command = [sys.executable, "-c", PASSED, json.dumps([case[:3] for case in cases])]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    for case, found in zip(cases, done.stdout.splitlines(), strict=True):
        assert case[3] in found, case


def test_what_is_no_socket_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        monkeypatch.setattr(passed, "_FIRST", file.fileno())
        environ = {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
        with pytest.raises(StartError, match="is no socket"):
            passed.listener(environ)


def test_the_address_of_a_socket_is_as_in_settings(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as unix, socket.socket(socket.AF_INET6) as six:
        unix.bind(str(tmp_path / "s"))
        assert passed.address_of(unix) == str(tmp_path / "s")
        six.bind(("::1", 0))
        assert passed.address_of(six) == f"[::1]:{six.getsockname()[1]}"
