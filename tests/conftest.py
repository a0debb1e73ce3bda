"""What all tests share: real services as processes, and waiting with a limit."""

from __future__ import annotations

import http.client
import os
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings

import caterva2
from caterva2 import config
from caterva2.cli.children import Child, Spawn
from tests import forkserver
from tests.forkserver import run
from tests.inprocess import add_user, cat2cli

__all__ = ["HeldPort", "Stack", "eventually", "example_root", "run"]

T = TypeVar("T")
HASTY = "[limits.broker]\nlease_ttl = 5\n\n[limits.wire]\nfirst_byte = 1.5\n"
"""Limits for tests of what happens when leases and time-outs run out."""
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


class HeldPort:
    """A port of this machine that nothing else gets until the holder is closed.

    It is bound and never listened on, with ``SO_REUSEADDR``: so the system gives it to no one who
    takes any free port, while a service that names it can have it, as often as it likes.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number: int = self._socket.getsockname()[1]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.number}"

    def close(self) -> None:
        self._socket.close()


class Stack:
    """A broker, publishers and subscribers below one directory.

    Parameters
    ----------
    directory : Path
        For state and logs.
    spawn : callable, optional
        How processes are started: forked, if it is not said otherwise.

    Attributes
    ----------
    broker : str
        The broker's address, also when it does not run.
    """

    def __init__(self, directory: Path, spawn: Spawn = forkserver.spawn) -> None:
        self.directory = directory
        self.spawn_process = spawn
        self.children: dict[str, Child] = {}
        self.url = ""
        self.secret = ""
        self.passwords: set[str] = set()
        self.hasty = False
        """Whether services start with short leases, and give up silent peers soon."""
        self._held = [HeldPort()]
        self.broker = self._held[0].address

    def hold_port(self) -> HeldPort:
        """A port for a service whose address must be known before it runs."""
        self._held.append(HeldPort())
        return self._held[-1]

    def spawn(self, name: str, command: str, *given: str) -> Child:
        """Start a service without waiting for it."""
        arguments = ["--statedir", str(self.directory / name), "--loglevel", "info", *given]
        env = os.environ | {"CATERVA2_SECRET": self.secret}
        log = self.directory / f"{name}.log"
        if self.hasty:
            (self.directory / config.FILE).write_text(HASTY)
        child = Child(
            command, arguments, log, cwd=self.directory, env=env, spawn=self.spawn_process
        )
        self.children[name] = child
        return child

    def start_broker(self) -> Child:
        ports = "--xsub", "127.0.0.1:0", "--xpub", "127.0.0.1:0"
        child = self.spawn("bro", "cat2bro", "--endpoint", self.broker, *ports)
        child.ready()
        return child

    def spawn_publisher(
        self,
        root: str,
        source: Path,
        name: str = "pub",
        endpoint: str = "127.0.0.1:0",
        given: tuple[str, ...] = (),
    ) -> Child:
        addresses = "--broker", self.broker, "--endpoint", endpoint
        return self.spawn(name, "cat2pub", *addresses, *given, root, str(source))

    def start_publisher(
        self,
        root: str,
        source: Path,
        name: str = "pub",
        endpoint: str = "127.0.0.1:0",
        given: tuple[str, ...] = (),
    ) -> Child:
        child = self.spawn_publisher(root, source, name, endpoint, given)
        child.ready()
        return child

    def spawn_subscriber(self, name: str = "sub", given: tuple[str, ...] = ()) -> Child:
        addresses = "--broker", self.broker, "--http", "127.0.0.1:0"
        return self.spawn(name, "cat2sub", *addresses, *given)

    def subscriber_ready(self, child: Child) -> None:
        """Wait for a subscriber, which is the one that is asked from now on."""
        match = re.search(r"http://\S+:\d+", child.ready())
        assert match
        self.url = match[0]

    def start_subscriber(self, name: str = "sub", given: tuple[str, ...] = ()) -> Child:
        child = self.spawn_subscriber(name, given)
        self.subscriber_ready(child)
        return child

    def start_services(self, *given: str, **roots: Path) -> None:
        """Start a broker, then at once a publisher of each root and a subscriber."""
        self.start_broker()
        publishers = [
            self.spawn_publisher(root, source, f"pub-{root}") for root, source in roots.items()
        ]
        subscriber = self.spawn_subscriber(given=given)
        for publisher in publishers:
            publisher.ready()
        self.subscriber_ready(subscriber)

    def start(self, *given: str, **roots: Path) -> caterva2.Client:
        """Start all services and wait until the subscriber follows the roots."""
        self.start_services(*given, **roots)
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

    def open(self, target: str, **headers: str) -> http.client.HTTPResponse:
        """What the subscriber answers, to be read as it arrives."""
        request = urllib.request.Request(f"{self.url}/{target}", headers=headers)
        answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=60)
        return answer

    def get(self, target: str) -> bytes:
        """The body of what the subscriber answers."""
        with self.open(target) as answer:
            return answer.read()

    def metric(self, name: str) -> float:
        values = dict(line.split() for line in self.get("metrics").decode().splitlines())
        return float(values[f"caterva2_{name}"])

    def log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text()

    def stop(self, name: str) -> int:
        return self.children.pop(name).stop()

    def kill(self, name: str) -> None:
        self.children.pop(name).kill()

    def stop_all(self) -> None:
        """End all services; what they told by then, and were told on starting, is no secret."""
        told = [" ".join(child.arguments).encode() for child in self.children.values()]
        broker = self.children.pop("bro", None)
        for child in self.children.values():
            child.process.terminate()
        for child in self.children.values():
            child.wait()
        self.children.clear()
        if broker is not None:
            broker.stop()
        for port in self._held:
            port.close()
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
