"""What all tests share: real services as processes, and waiting with a limit."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings

import caterva2
from caterva2.cli.children import Child
from tests.inprocess import add_user, cat2cli

T = TypeVar("T")
HASTY = Path(__file__).parent / "hasty.py"
settings.register_profile("caterva2", deadline=None)  # no test is a matter of how busy a machine is
settings.load_profile("caterva2")


def eventually(look: Callable[[], T], timeout: float = 20.0) -> T:
    """Wait until something is true, and return it; the last failure is the test's."""
    until = time.monotonic() + timeout
    while True:
        try:
            found = look()
            if found or time.monotonic() > until:
                assert found, f"not true after {timeout} s"
                return found
        except (AssertionError, caterva2.HttpError, caterva2.Unreachable):
            if time.monotonic() > until:
                raise
        time.sleep(0.02)


def free_port() -> int:
    """A port of this machine that nobody uses now."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Stack:
    """A broker, publishers and subscribers on free ports, below one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.broker_port = free_port()
        self.children: dict[str, Child] = {}
        self.url = ""
        self.secret = ""
        self.passwords: set[str] = set()
        self.hasty = False
        """Whether services start with short leases and little patience."""

    @property
    def broker(self) -> str:
        return f"127.0.0.1:{self.broker_port}"

    def spawn(self, name: str, command: str, *given: str) -> Child:
        """Start a service without waiting for it."""
        arguments = ["--statedir", str(self.directory / name), "--loglevel", "info", *given]
        env = os.environ | {"CATERVA2_SECRET": self.secret}
        log = self.directory / f"{name}.log"
        hasty = ("-P", str(HASTY), command) if self.hasty else ()
        child = Child(command, arguments, log, hasty, cwd=self.directory, env=env)
        self.children[name] = child
        return child

    def start_broker(self) -> Child:
        ports = "--xsub", "127.0.0.1:0", "--xpub", "127.0.0.1:0"
        child = self.spawn("bro", "cat2bro", "--endpoint", self.broker, *ports)
        child.ready()
        return child

    def start_publisher(
        self,
        root: str,
        source: Path,
        name: str = "pub",
        port: int = 0,
        given: tuple[str, ...] = (),
    ) -> Child:
        addresses = "--broker", self.broker, "--endpoint", f"127.0.0.1:{port}"
        child = self.spawn(name, "cat2pub", *addresses, *given, root, str(source))
        child.ready()
        return child

    def start_subscriber(self, name: str = "sub", given: tuple[str, ...] = ()) -> Child:
        addresses = "--broker", self.broker, "--http", "127.0.0.1:0"
        child = self.spawn(name, "cat2sub", *addresses, *given)
        match = re.search(r"http://\S+:\d+", child.ready())
        assert match
        self.url = match[0]
        return child

    def start(self, **roots: Path) -> caterva2.Client:
        """Start all services and wait until the subscriber knows the roots."""
        self.start_broker()
        for root, source in roots.items():
            self.start_publisher(root, source, name=f"pub-{root}")
        self.start_subscriber()
        for root in roots:
            self.subscribe(root)
        return self.client

    @property
    def client(self) -> caterva2.Client:
        return caterva2.Client(self.url)

    def add_user(self, name: str, password: str, *given: str) -> None:
        """Add an account before or while the subscriber runs."""
        self.passwords.add(password)
        add_user(self.directory / "sub", name, password, superuser="--superuser" in given)

    def subscribe(self, root: str) -> None:
        eventually(lambda: self.client.subscribe(root) == "Ok")

    def metric(self, name: str) -> float:
        body = self.client._transport.request("GET", "metrics").body.decode()
        values = dict(line.split() for line in body.splitlines())
        return float(values[f"caterva2_{name}"])

    def log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text()

    def stop(self, name: str) -> int:
        return self.children.pop(name).stop()

    def kill(self, name: str) -> None:
        self.children.pop(name).kill()

    def stop_all(self) -> None:
        """End all services; what they told by then, and were told on starting, is no secret."""
        told = [_command_line(child) for child in self.children.values()]
        for child in reversed(self.children.values()):
            child.stop()
        self.children.clear()
        self.check_told(*told, *(log.read_bytes() for log in self.directory.glob("*.log")))

    def check_told(self, *texts: bytes) -> None:
        """Fail if a password or the secret is in what was told."""
        for word in self.passwords | ({self.secret} if self.secret else set()):
            for text in texts:
                assert word.encode() not in text, f"{word!r} was told: {text[-2000:]!r}"

    def cli(
        self, *arguments: str, cwd: Path | None = None, stdin: str = "", **env: str
    ) -> subprocess.CompletedProcess[str]:
        """What ``cat2cli`` does and prints, told of the subscriber."""
        where = "--subscriber", self.url
        return cat2cli(*where, *arguments, cwd=cwd or self.directory, stdin=stdin, **env)


def _command_line(child: Child) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{child.process.pid}/cmdline").read_bytes()
    return b""


def run(
    command: str, *arguments: str, cwd: Path | None = None, stdin: str = "", **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in a process."""
    return subprocess.run(
        [sys.executable, "-m", f"caterva2.cli.{command}", *arguments],
        capture_output=True, text=True, timeout=60, cwd=cwd, check=False, input=stdin,
        env=os.environ | env,
    )  # fmt: skip


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Services for one test; none is started yet."""
    made = Stack(tmp_path)
    try:
        yield made
    finally:
        made.stop_all()


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Services for the tests of one module that disturb nobody: root ``foo`` is the example."""
    made = Stack(tmp_path_factory.mktemp("stack"))
    try:
        made.start(foo=example_root())
        yield made
    finally:
        made.stop_all()


def example_root() -> Path:
    """The example root of the checkout."""
    return Path(__file__).parent.parent / "root-example"
