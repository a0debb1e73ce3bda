"""A ring of three sites: it ends in a clear error, and its origin gets the name back"""

from __future__ import annotations

import time
from pathlib import Path

import blosc2
import numpy as np
import pytest

import caterva2
from tests.conftest import HASTY, Stack, eventually

SITES = 3
VALUES = np.arange(3000).reshape(300, 10)


def start(stack: Stack, n: int, brokers: list[str], *given: str, name: str = "sub") -> str:
    """Start a subscriber of a site; return its URL."""
    at = "--broker", brokers[n], "--http", "127.0.0.1:0", "--publish", "foo"
    stack.subscriber_ready(stack.spawn(f"{name}{n}", "cat2sub", *at, *given))
    return stack.url


def publish(stack: Stack, broker: str, source: Path) -> None:
    stack.broker = broker
    stack.start_publisher("foo", source)


def loops(client: caterva2.Client) -> float:
    """Return the seconds until a miss is refused as a loop; 0 if it is refused otherwise."""
    began = time.monotonic()
    with pytest.raises(caterva2.HttpError) as refused:
        client.fetch("foo/b.b2nd", 200)
    return time.monotonic() - began if "would come back" in str(refused.value) else 0.0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_ring_of_sites_ends_and_the_origin_comes_back(stack: Stack, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("a", "b"):
        blosc2.asarray(VALUES, chunks=(1, 10), urlpath=str(source / f"{name}.b2nd"))
    stack.configure(HASTY)
    brokers = [stack.hold_port().address for _ in range(SITES)]
    for n, broker in enumerate(brokers):
        ports = "--xsub", "127.0.0.1:0", "--xpub", "127.0.0.1:0"
        stack.spawn(f"bro{n}", "cat2bro", "--endpoint", broker, *ports).ready()
    publish(stack, brokers[0], source)
    urls = []
    for n in range(SITES):
        urls.append(start(stack, n, brokers, "--publish-to", brokers[(n + 1) % SITES]))
        eventually(lambda: "foo" in stack.client.get_roots(), 60)
    first, last = caterva2.Client(urls[0]), caterva2.Client(urls[2])
    eventually(lambda: (last.fetch("foo/a.b2nd", 0) == VALUES[0]).all(), 60)
    stack.stop("pub")
    eventually(lambda: "root foo is at" in stack.log("bro0").rpartition("published by")[2], 60)
    eventually(lambda: "would come back to mirror" in stack.log("sub0"), 60)
    seconds = eventually(lambda: loops(first), 60)
    print(f"a miss in the ring is refused after {seconds:.2f} s")
    assert seconds < 3
    assert (last.fetch("foo/a.b2nd", 0) == VALUES[0]).all()
    began = time.monotonic()
    publish(stack, brokers[0], source)
    for client in (first, last):
        eventually(lambda client=client: (client.fetch("foo/a.b2nd", 250) == VALUES[250]).all(), 60)  # type: ignore[misc]
    print(f"the origin is back after {time.monotonic() - began:.1f} s")
