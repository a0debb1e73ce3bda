"""Services for one topic: fresh ones on free ports, with links that can be made thin and long."""

from __future__ import annotations

import contextlib
import re
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from caterva2.cli.children import Child
from caterva2.cli.site.processes import Tie
from caterva2.client import CatervaError, Client
from tests.fault.proxy import Proxy

ROOT = "big"
WAN_DELAY, WAN_BANDWIDTH = 0.05, 100e6 / 8
"""A wide-area link: 100 ms round trip and 100 Mbit/s."""
TIE = Tie()
"""Ends the services with this process, also if it is killed."""


def eventually(look: Callable[[], bool], timeout: float = 120.0, pause: float = 0.01) -> None:
    """Wait until something is true."""
    until = time.monotonic() + timeout
    while True:
        with contextlib.suppress(CatervaError):
            if look():
                return
        if time.monotonic() > until:
            raise TimeoutError(f"not true after {timeout:g} s")
        time.sleep(pause)


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Services:
    """A broker, a publisher of the root ``big`` and a subscriber with an empty cache.

    Parameters
    ----------
    directory : Path
        Where their state and logs go.
    source : Path or str
        What is published.
    linked : bool
        Whether proxies stand between publisher and subscriber (``data``), and between subscriber
        and client (``web``; ``far_url`` leads over it).
    subscriber : tuple of str
        More of the subscriber's command line.
    """

    def __init__(
        self,
        directory: Path,
        source: Path | str,
        *,
        linked: bool = False,
        subscriber: tuple[str, ...] = (),
    ) -> None:
        directory.mkdir()
        self.source = source
        self.children: dict[str, Child] = {}
        self.proxies: dict[str, Proxy] = {}
        self._directory = directory
        self._linked, self._given = linked, subscriber
        self.port = free_port()
        try:
            self._start_all()
        except BaseException:
            self.stop()
            raise

    def _start_all(self) -> None:
        self.broker = self.start("bro", "cat2bro", "--endpoint", "127.0.0.1:0")
        self.start_subscriber()
        if self._linked:
            self.proxies["data"] = Proxy(self.port)
            self.proxies["web"] = Proxy(int(self.url.rpartition(":")[2]))

    def start(self, name: str, command: str, *given: str) -> str:
        """Start a service; the first address that it tells."""
        arguments = ["--statedir", str(self._directory / name), *given]
        log = self._directory / f"{name}.log"
        self.children[name] = child = Child(command, arguments, log, spawn=TIE.spawn)
        match = re.search(r"127\.0\.0\.1:\d+", child.ready(120))
        assert match
        return match[0]

    def start_subscriber(self) -> None:
        where = "--broker", self.broker, "--http", "127.0.0.1:0"
        http = self.start("sub", "cat2sub", *where, *self._given)
        self.url = f"http://{http}"

    def start_publisher(self) -> None:
        """Start it, and do not wait until others know."""
        given = ["--broker", self.broker, "--endpoint", f"127.0.0.1:{self.port}"]
        if self._linked:
            given += ["--advertise", f"127.0.0.1:{self.data.port}"]
        self.start("pub", "cat2pub", *given, ROOT, str(self.source))

    def published(self) -> Self:
        """Start the publisher, and wait until its root is subscribed to."""
        self.start_publisher()
        eventually(lambda: self.client.subscribe(ROOT) == "Ok")
        return self

    @property
    def data(self) -> Proxy:
        return self.proxies["data"]

    @property
    def web(self) -> Proxy:
        return self.proxies["web"]

    @property
    def far_url(self) -> str:
        """The subscriber, over the link of a client."""
        return f"http://127.0.0.1:{self.web.port}"

    @property
    def client(self) -> Client:
        return Client(self.url)

    def metric(self, name: str) -> float:
        with urllib.request.urlopen(f"{self.url}/metrics") as answer:
            lines = answer.read().decode().split("\n")
        series = re.compile(rf"caterva2_{name}(?:{{.*}})? (\S+)")
        return sum(float(found[1]) for found in map(series.fullmatch, lines) if found)

    def state(self, name: str) -> Path:
        """The state directory of a service."""
        return self._directory / name

    def peaks(self) -> dict[str, float]:
        """Peak memory of each service in bytes."""
        found = {}
        for name, child in self.children.items():
            status = Path(f"/proc/{child.process.pid}/status").read_text()
            peak = re.search(r"VmHWM:\s+(\d+)", status)
            assert peak
            found[name] = int(peak[1]) * 1024.0
        return found

    def stop_one(self, name: str) -> None:
        self.children.pop(name).stop()

    def stop(self) -> None:
        for child in reversed(self.children.values()):
            child.stop()
        for proxy in self.proxies.values():
            proxy.close()
        self.children.clear()
        self.proxies.clear()


@contextlib.contextmanager
def services(directory: Path, source: Path | str, *, linked: bool = False) -> Iterator[Services]:
    """Services with a published root, as long as they are needed."""
    made = Services(directory, source, linked=linked)
    try:
        yield made.published()
    finally:
        made.stop()


@contextlib.contextmanager
def wide_area(proxy: Proxy) -> Iterator[None]:
    """Make a link a wide-area one."""
    proxy.delay, proxy.bandwidth = WAN_DELAY, WAN_BANDWIDTH
    try:
        yield
    finally:
        proxy.delay = proxy.bandwidth = 0.0
