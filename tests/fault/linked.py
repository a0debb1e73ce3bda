"""Services whose links all lead through proxies: data, HTTP, and those to the broker."""

from __future__ import annotations

import concurrent.futures
import json
import re
from pathlib import Path

import blosc2
import numpy as np

import caterva2
from tests.conftest import Stack, eventually
from tests.fault.proxy import Proxy

ROWS = 100
NAME = "data/a.b2nd"


def write_rows(source: Path, name: str = "a") -> np.ndarray:
    """An array of incompressible chunks of 100 KB."""
    values = np.random.default_rng().random((ROWS, 12_500))
    made = source / f"{name}.new"
    quick = {"codec": blosc2.Codec.LZ4, "clevel": 1}
    blosc2.asarray(values, chunks=(1, 12_500), cparams=quick, urlpath=str(made), mode="w")
    made.rename(source / f"{name}.b2nd")
    return values


class Linked:
    """A broker, a publisher and a subscriber that reach each other through proxies only.

    Attributes
    ----------
    data, web : Proxy
        Between subscriber and publisher, and between client and subscriber.
    control, xsub, xpub : Proxy
        To the broker: requests, announcements to it and announcements by it.
    """

    def __init__(self, stack: Stack, directory: Path) -> None:
        self.stack = stack
        self.source = directory / "data"
        self.source.mkdir()
        self.values = write_rows(self.source)
        ports = [stack.hold_port() for _ in range(4)]
        self.control, self.xsub, self.xpub, self.data = (Proxy(port.number) for port in ports)
        for port, proxy in zip(ports[1:3], (self.xsub, self.xpub), strict=True):
            self.control.translate[b":%d" % port.number] = b":%d" % proxy.port
        endpoint, xsub, xpub = (port.address for port in ports[:3])
        broker = stack.spawn("bro", "cat2bro", "--endpoint", endpoint, "--xsub", xsub,
                             "--xpub", xpub)  # fmt: skip
        broker.ready()
        stack.broker = f"127.0.0.1:{self.control.port}"
        advertise = "--advertise", f"127.0.0.1:{self.data.port}"
        stack.start_publisher("data", self.source, endpoint=ports[3].address, given=advertise)
        stack.start_subscriber()
        stack.subscribe("data")
        match = re.search(r":(\d+)$", stack.url)
        assert match
        self.web = Proxy(int(match[1]))
        self.links = {
            "data": self.data, "web": self.web,
            "control": self.control, "xsub": self.xsub, "xpub": self.xpub,
        }  # fmt: skip

    def client(self, timeout: float = 60.0) -> caterva2.Client:
        """A client behind the link to the subscriber."""
        return caterva2.Client(f"http://127.0.0.1:{self.web.port}", timeout=timeout)

    def renew(self) -> None:
        """Write new values, so that nothing of them is cached."""
        self.values = write_rows(self.source)
        eventually(self.serves_what_is_there, timeout=30)

    def broker_is_heard(self) -> bool:
        """Whether the subscriber says so."""
        return bool(json.loads(self.stack.get("healthz"))["broker"])

    def serves_what_is_there(self) -> bool:
        return bool(np.array_equal(self.stack.client.fetch(NAME, 0), self.values[0]))

    def read(self, n: int, client: caterva2.Client | None = None) -> bool:
        """Whether a row is right; a clear error counts as no, anything else as a failure."""
        try:
            got = (client or self.stack.client).fetch(NAME, n)
        except caterva2.HttpError as error:
            assert error.status_code in (502, 503, 504), error
            return False
        except caterva2.Unreachable:
            return False
        np.testing.assert_array_equal(got, self.values[n])
        return True

    def read_at_once(self, rows: range, client: caterva2.Client | None = None) -> list[bool]:
        """The same for rows that are read at the same time."""
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda n: self.read(n, client), rows))

    def heal(self) -> None:
        for proxy in self.links.values():
            proxy.heal()

    def close(self) -> None:
        for proxy in self.links.values():
            proxy.close()
