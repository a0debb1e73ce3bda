"""Three sites in network namespaces, each of which reaches the next one over a wide-area link only.

Each namespace has one cable, to this process, whose proxies are the links: so all bytes between two
sites are counted.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

import caterva2
from tests.conftest import Stack, eventually
from tests.fault.proxy import Proxy

SITES = 3
CONTROL, XSUB, XPUB, HTTP, DATA, SECOND = 8000, 8001, 8002, 8003, 8100, 8200
"""Ports of each site, which are free there: nothing else is in its namespace."""
DELAY, BANDWIDTH = 0.05, 100e6 / 8
needs_namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="it needs root and iproute2"
)
SETTINGS = """
[broker]
insecure = true
[publisher]
insecure = true
"""


def ip(*given: str) -> None:
    subprocess.run(["ip", *given], check=True, capture_output=True)


class FarSites:
    """Sites with a broker and a subscriber each; the first has the publisher of ``foo``.

    Parameters
    ----------
    stack : Stack
    source : Path

    Attributes
    ----------
    links : list of Proxy
        The data of each link.
    """

    def __init__(self, stack: Stack, source: Path) -> None:
        self.stack, self.source = stack, source
        self.net = f"10.{64 + os.getpid() % 128}"
        self.links: list[Proxy] = []
        self._proxies: list[Proxy] = []
        self._made: list[str] = []

    def near(self, n: int) -> str:
        """Return the address of a site."""
        return f"{self.net}.{n}.2"

    def gate(self, n: int) -> str:
        """Return the address at which a site finds all others."""
        return f"{self.net}.{n}.1"

    def name(self, n: int) -> str:
        return f"cat2-{os.getpid()}-{n}"

    # --- namespaces and links ---

    def lay(self) -> None:
        """Make the namespaces, and the links from each site to the next one."""
        for n in range(SITES):
            name, cable = self.name(n), f"c2{os.getpid() % 10**8}-{n}"
            ip("netns", "add", name)
            self._made.append(name)
            ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("addr", "add", f"{self.gate(n)}/24", "dev", cable)
            ip("link", "set", cable, "up")
            for device in ("lo", "eth0"):
                ip("-n", name, "link", "set", device, "up")
            ip("-n", name, "addr", "add", f"{self.near(n)}/24", "dev", "eth0")
        for n in range(SITES - 1):
            for port in (CONTROL, XSUB):
                there = self._link(n, n + 1, port)
                there.translate[self.near(n + 1).encode()] = self.gate(n).encode()
            self.links.append(self._link(n + 1, n, DATA))
        self.second = self._link(1, 0, SECOND)

    def _link(self, at: int, to: int, port: int) -> Proxy:
        made = Proxy(port, host=self.near(to), listen=(self.gate(at), port))
        self._proxies.append(made)
        return made

    def widen(self) -> None:
        """Make all links wide-area ones."""
        for one in self._proxies:
            one.delay, one.bandwidth = DELAY, BANDWIDTH

    def remove(self) -> None:
        """Remove links and namespaces, and end what is left in these."""
        for proxy in self._proxies:
            proxy.close()
        for name in self._made:
            left = subprocess.run(
                ["ip", "netns", "pids", name], capture_output=True, text=True, check=False
            )
            for pid in left.stdout.split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            ip("netns", "delete", name)

    # --- services ---

    def start(self) -> None:
        """Start all services, one site after the other."""
        self.stack.configure(SETTINGS)
        for n in range(SITES):
            ports = ("--endpoint", CONTROL), ("--xsub", XSUB), ("--xpub", XPUB)
            given = [part for name, port in ports for part in (name, f"{self.near(n)}:{port}")]
            self.spawn(n, f"bro{n}", "cat2bro", *given)
        self.start_publisher()
        for n in range(SITES):
            self.start_subscriber(n)
            eventually(lambda n=n: "foo" in self.client(n).get_roots(), 60)  # type: ignore[misc]

    def start_publisher(self) -> None:
        given = "--broker", f"{self.near(0)}:{CONTROL}", "--endpoint", f"{self.near(0)}:0"
        self.spawn(0, "pub", "cat2pub", *given, "foo", str(self.source))

    def start_subscriber(self, n: int, name: str = "sub", http: int = HTTP) -> None:
        """Start the subscriber of a site, which is a mirror for the next one."""
        given = ["--broker", f"{self.near(n)}:{CONTROL}", "--http", f"{self.near(n)}:{http}"]
        if n < SITES - 1:
            conf = self.stack.directory / f"{name}{n}.toml"
            port = DATA if name == "sub" else SECOND
            conf.write_text(
                f'[subscriber]\ninsecure = true\npublish = ["foo"]\n'
                f'publish_to = "{self.gate(n)}:{CONTROL}"\n'
                f'publish_endpoint = "0.0.0.0:{port}"\n'
                f'publish_advertise = "{self.gate(n + 1)}"\n'
            )
            given += ["--conf", str(conf)]
        self.spawn(n, f"{name}{n}", "cat2sub", *given)

    def spawn(self, n: int, name: str, command: str, *given: str) -> None:
        """Start a service in a site, and wait until it is ready."""

        def within(
            command: str, arguments: list[str], errors: IO[bytes], cwd: Path | None,
            env: dict[str, str] | None,
        ) -> subprocess.Popen[bytes]:  # fmt: skip
            run = [sys.executable, "-m", "caterva2.cli.launch", command, *arguments]
            return subprocess.Popen(
                ["ip", "netns", "exec", self.name(n), *run], stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=errors, cwd=cwd, env=env,
            )  # fmt: skip

        self.stack.spawn_process = within
        self.stack.spawn(name, command, *given).ready(120)

    def client(self, n: int) -> caterva2.Client:
        return caterva2.Client(f"http://{self.near(n)}:{HTTP}", timeout=60)


@contextlib.contextmanager
def far_sites(stack: Stack, source: Path) -> Iterator[FarSites]:
    """Sites, as long as they are needed."""
    made = FarSites(stack, source)
    try:
        made.lay()
        made.start()
        made.widen()
        yield made
    finally:
        stack.stop_all()
        made.remove()
