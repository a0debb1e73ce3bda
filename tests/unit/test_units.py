"""The units of systemd: valid, sandboxed, and with commands that run in that sandbox."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from caterva2.cli.children import Child
from tests import sandbox
from tests.conftest import HeldPort, eventually, example_root
from tests.notifylistener import Listener

SERVICES = {
    "bro": "caterva2-broker.service",
    "pub": "caterva2-publisher@.service",
    "sub": "caterva2-subscriber.service",
}
SCORE = 20
"""Ten times the exposure that `systemd-analyze security` may find."""
PROGRAMS = Path(sys.executable).parent
analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here"
)


def has_seccomp() -> bool:
    try:
        return bool(ctypes.CDLL(sandbox.LIBRARY))
    except OSError:
        return False


def checked(*command: str) -> None:
    done = subprocess.run(
        ["systemd-analyze", *command], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr


@analyze
def test_systemd_takes_the_units_as_they_are(tmp_path: Path) -> None:
    for unit in sandbox.UNITS.glob("*.s*t"):
        shutil.copy(unit, tmp_path)
    for unit in sandbox.UNITS.glob("*.service"):
        text = unit.read_text().replace("ExecStart=", f"ExecStart={PROGRAMS}/")
        (tmp_path / unit.name).write_text(text)
    checked("verify", "--man=no", *map(str, tmp_path.iterdir()))


@analyze
@pytest.mark.parametrize("unit", SERVICES.values())
def test_services_are_exposed_little(unit: str) -> None:
    where = str(sandbox.UNITS / unit)
    checked("security", "--offline=true", f"--threshold={SCORE}", "--no-pager", where)


@pytest.mark.parametrize("unit", SERVICES.values())
def test_a_service_starts_again_after_failures_but_not_for_ever(unit: str) -> None:
    for name, value in {
        "Type": "notify", "Restart": "on-failure", "RestartPreventExitStatus": "2",
        "StartLimitBurst": "10", "StartLimitIntervalSec": "10min", "WatchdogSec": "60s",
    }.items():  # fmt: skip
        assert sandbox.values(unit, name) == [value], name


CONF = """
[broker]
endpoint = "127.0.0.1:{port}"
xsub = "127.0.0.1:0"
xpub = "127.0.0.1:0"
[publisher.example]
broker = "127.0.0.1:{port}"
endpoint = "127.0.0.1:0"
name = "example"
root = "{root}"
[subscriber]
broker = "127.0.0.1:{port}"
"""


class Units:
    """The services of the units under one directory, with free ports."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.listener = directory, Listener(directory / "notify")
        self.running: list[Child] = []

    def start(self, name: str, passed: socket.socket | None = None) -> Child:
        """Start the command of a unit in its sandbox; wait until it says that it is ready."""
        unit, conf = SERVICES[name], str(self.directory / "caterva2.toml")
        command = sandbox.command_of(unit, S=str(self.directory), i="example")
        command[command.index("--conf") + 1] = conf
        env = os.environ | self.listener.environment()
        env["PATH"] = f"{PROGRAMS}:{env['PATH']}"
        given = (passed.fileno(),) if passed else ()
        if given:
            env["PASSED"] = str(given[0])

        def spawn(*_: object) -> subprocess.Popen[bytes]:
            with log.open("ab") as errors:
                return subprocess.Popen(
                    [sys.executable, "-m", "tests.sandbox", unit, *command],
                    stdout=subprocess.PIPE, stderr=errors, env=env, pass_fds=given,
                    cwd=sandbox.UNITS.parents[1],
                )  # fmt: skip

        log = self.directory / f"{name}.log"
        child = Child(command[0], command[1:], log, spawn=spawn)
        self.running.append(child)
        child.ready(60)
        self.listener.wait("READY=1", child.process.pid)
        return child

    def stop(self) -> None:
        for child in reversed(self.running):
            assert child.stop() == 0, child.last_words()
        self.listener.close()


@pytest.fixture
def units(tmp_path: Path) -> Iterator[Units]:
    held = HeldPort()
    (tmp_path / "caterva2.toml").write_text(CONF.format(port=held.number, root=example_root()))
    made = Units(tmp_path)
    yield made
    made.stop()
    held.close()


sandboxed = pytest.mark.skipif(
    not has_seccomp() or shutil.which("systemd-analyze") is None,
    reason="there is no libseccomp, or no systemd-analyze that lists system calls",
)


@sandboxed
@pytest.mark.slow
def test_the_command_of_the_broker_runs_in_its_sandbox(units: Units) -> None:
    broker = units.start("bro")
    status = Path(f"/proc/{broker.process.pid}/status").read_text()
    assert re.search(r"NoNewPrivs:\t1\nSeccomp:\t2", status)
    assert (units.directory / "caterva2" / "broker").is_dir()


@sandboxed
@pytest.mark.slow
def test_all_commands_run_in_their_sandboxes_and_http_on_a_socket_of_systemd(units: Units) -> None:
    units.start("bro")
    units.start("pub")
    with socket.create_server(("127.0.0.1", 0)) as passed:
        port = passed.getsockname()[1]
        units.start("sub", passed)

        def answers() -> dict[str, int]:
            found = {}
            for path in ("example/dir1/ds-3d.b2nd", "example/README.md", "example/ds-1d.b2nd"):
                asked = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                with contextlib.closing(asked):
                    asked.request("GET", f"/api/fetch/{path}")
                    found[path] = asked.getresponse().status
            return found

        eventually(lambda: set(answers().values()) == {200})
