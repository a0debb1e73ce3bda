"""Fixtures for all tests: services as processes, and waiting with a limit."""

from __future__ import annotations

import http.client
import os
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TypeVar

import blosc2
import hdf5plugin  # noqa: F401 - before netCDF4, whose HDF5 library breaks its Blosc filter
import pytest

import caterva2
from caterva2.cli.children import READY_S, Child, Spawn
from caterva2.isolation import execution
from tests import forking, forkserver, rehearsal, thoroughness, tracing
from tests.forkserver import run
from tests.inprocess import add_user, cat2cli

__all__ = ["HASTY", "HeldPort", "Stack", "eventually", "example_root", "run"]

pytest_plugins = ["tests.parallel"]
execution.start = forkserver.start_reader
rehearsal.hash_cheaply()
blosc2.set_nthreads(1)  # the threads of what is made while tests are imported survive no fork
blosc2.dparams_dflts["nthreads"] = 1
T = TypeVar("T")
WORKERS = "CAT2_TEST_WORKERS"
"""Variable with the number of workers that subscribers of tests have."""
SPAWN: Spawn = tracing.spawn if tracing.TRACES in os.environ else forkserver.spawn
"""How services are started: forked, unless they are to be traced."""
PATIENCE = tracing.PATIENCE if SPAWN is tracing.spawn else 1
"""Times as long as else that services are waited for."""
LOG_SHOWN = 10_000
"""Characters of each service's log that are shown when a test fails."""
HASTY = "[limits.broker]\nlease_ttl = 1.5\nbeat = 0.3\n[limits.wire]\nfirst_byte = 1\n"
"""Settings for a publisher that is killed: short leases and little patience."""


def eventually(look: Callable[[], T], timeout: float = 20.0) -> T:
    """Wait until a function returns something true, and return that.

    Its last failure is raised when the time is over. It is asked the more seldom the longer the
    wait lasts, since most of these functions send requests.
    """
    began = time.monotonic()
    until = began + timeout * PATIENCE
    while True:
        try:
            found = look()
            if found or time.monotonic() > until:
                assert found, f"not true after {timeout} s"
                return found
        except (AssertionError, caterva2.HttpError, caterva2.Unreachable):
            if time.monotonic() > until:
                raise
        time.sleep(min(max((time.monotonic() - began) / 10, 0.02), 0.1))


class HeldPort:
    """A port of this machine that nothing else gets until the holder is closed.

    It is bound with ``SO_REUSEADDR`` and never listened on. So the system never chooses it as free,
    while a service that names it can bind it, also repeatedly.
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

    def __init__(self, directory: Path, spawn: Spawn = SPAWN) -> None:
        self.directory = directory
        self.spawn_process = spawn
        self.children: dict[str, Child] = {}
        self.url = ""
        self.secret = ""
        self.passwords: set[str] = set()
        self._held = [HeldPort()]
        self.broker = self._held[0].address

    def configure(self, settings: str) -> None:
        """Add to the settings of all services that start from now on."""
        with (self.directory / "caterva2.toml").open("a") as file:
            file.write(settings)

    def hold_port(self) -> HeldPort:
        """Hold a port for a service whose address must be known before it runs."""
        self._held.append(HeldPort())
        return self._held[-1]

    def spawn(self, name: str, command: str, *given: str) -> Child:
        """Start a service without waiting for it."""
        arguments = ["--statedir", str(self.directory / name), "--loglevel", "info", *given]
        env = os.environ | {"CATERVA2_SECRET": self.secret}
        log = self.directory / f"{name}.log"
        child = Child(
            command, arguments, log, cwd=self.directory, env=env, spawn=self.spawn_process
        )
        self.children[name] = child
        return child

    def start_broker(self) -> Child:
        ports = "--xsub", "127.0.0.1:0", "--xpub", "127.0.0.1:0"
        child = self.spawn("bro", "cat2bro", "--endpoint", self.broker, *ports)
        child.ready(READY_S * PATIENCE)
        return child

    def spawn_publisher(self, root: str, source: Path | str, name: str, *given: str) -> Child:
        where = "--broker", self.broker, "--endpoint", "127.0.0.1:0"
        return self.spawn(name, "cat2pub", *where, *given, root, str(source))

    def start_publisher(
        self,
        root: str,
        source: Path | str,
        name: str = "pub",
        endpoint: str = "127.0.0.1:0",
        given: tuple[str, ...] = (),
    ) -> Child:
        child = self.spawn_publisher(root, source, name, "--endpoint", endpoint, *given)
        child.ready(READY_S * PATIENCE)
        return child

    def spawn_subscriber(self, name: str = "sub", given: tuple[str, ...] = ()) -> Child:
        addresses = "--broker", self.broker, "--http", "127.0.0.1:0"
        workers = os.environ.get(WORKERS, "1")
        return self.spawn(name, "cat2sub", *addresses, "--workers", workers, *given)

    def subscriber_ready(self, child: Child) -> None:
        """Wait until a subscriber is ready; requests go to it from now on."""
        match = re.search(r"http://\S+:\d+", child.ready(READY_S * PATIENCE))
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
            publisher.ready(READY_S * PATIENCE)
        self.subscriber_ready(subscriber)

    def start(self, *given: str, **roots: Path) -> caterva2.Client:
        """Start all services and wait until the subscriber follows the roots."""
        self.start_services(*given, **roots)
        for root in roots:
            self.subscribe(root)
        return self.client

    def publish(self, root: str, source: Path | str) -> caterva2.Client:
        """Publish another root, and wait until the subscriber that runs follows it."""
        self.start_publisher(root, source, f"pub-{root}")
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
        """Send a request to the subscriber; the body is read by the caller."""
        request = urllib.request.Request(f"{self.url}/{target}", headers=headers)
        answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=60)
        return answer

    def get(self, target: str) -> bytes:
        """Return the body of an answer of the subscriber."""
        with self.open(target) as answer:
            return answer.read()

    def metric(self, name: str) -> float:
        """Return the value of a metric, of all its series together."""
        lines = self.get("metrics").decode().splitlines()
        series = [line for line in lines if re.match(rf"caterva2_{name}[ {{]", line)]
        assert series, f"there is no metric {name}"
        return sum(float(line.rsplit(" ", 1)[1]) for line in series)

    def log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text()

    def write_stacks(self) -> None:
        """Have all services that run write the stacks of their threads to their logs."""
        running = [
            child.process for child in self.children.values() if child.process.poll() is None
        ]
        for process in running:
            if isinstance(process, forkserver.Forked):
                process.send_signal(forking.STACKS)
        time.sleep(0.5 if running else 0)

    def stop(self, name: str) -> int:
        return self.children.pop(name).stop()

    def kill(self, name: str) -> None:
        self.children.pop(name).kill()

    def stop_all(self) -> None:
        """End all services, and check that their arguments and logs hold no secret."""
        shown = [" ".join(child.arguments).encode() for child in self.children.values()]
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
        self.check_told(*shown, *(log.read_bytes() for log in self.directory.glob("*.log")))

    def check_told(self, *texts: bytes) -> None:
        """Fail if a text contains a password or the secret."""
        for word in self.passwords | ({self.secret} if self.secret else set()):
            for text in texts:
                assert word.encode() not in text, f"{word!r} is shown: {text[-2000:]!r}"

    def cli(
        self, *arguments: str, cwd: Path | None = None, stdin: str = "", **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run ``cat2cli`` for the subscriber, in this process."""
        where = "--subscriber", self.url
        return cat2cli(*where, *arguments, cwd=cwd or self.directory, stdin=stdin, **env)


def pytest_configure(config: pytest.Config) -> None:
    thoroughness.choose(config.option.markexpr)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    thoroughness.mark(items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the services of a failed test logged; of one that hung, their stacks too."""
    report = yield
    if report.failed and call.when == "call" and isinstance(item, pytest.Function):
        given = item.funcargs.values()
        stacks = [
            stack for value in given if isinstance(stack := getattr(value, "stack", value), Stack)
        ]
        if "Timeout" in str(call.excinfo and call.excinfo.value):
            for stack in stacks:
                stack.write_stacks()
        for stack in stacks:
            for log in sorted(stack.directory.glob("*.log")):
                report.sections.append((f"Log of {log.stem}", log.read_text()[-LOG_SHOWN:]))
    return report


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Services for one test; none is started yet."""
    made = Stack(tmp_path)
    try:
        yield made
    finally:
        made.stop_all()


@pytest.fixture(scope="session")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Services of a process for all tests that change nothing; root ``foo`` is the example."""
    yield from example_stack(tmp_path_factory)


def example_stack(factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Services of a fixture; root ``foo`` is the example."""
    made = Stack(factory.mktemp("stack"))
    try:
        made.start(foo=example_root())
        yield made
    finally:
        made.stop_all()


def example_root() -> Path:
    """The example root of the checkout."""
    return Path(__file__).parent.parent / "root-example"
