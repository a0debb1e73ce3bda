"""A publisher with two mirrors, each killed in turn under readers, who see no error and no mix"""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import blosc2
import numpy as np
import pytest

import caterva2
from tests.conftest import Stack, eventually

ARRAYS, CHUNKS, ITEMS = 30, 80, 2_000
READERS = 3
SLOWEST = 8.0
"""Seconds that a read may take on a machine that is busy with other tests."""


def make_root(root: Path) -> None:
    """Write arrays, each of whose chunks has values of its own."""
    root.mkdir()
    rng = np.random.default_rng(1)
    for n in range(ARRAYS):
        values = rng.integers(0, 2**60, CHUNKS * ITEMS, dtype="<i8")
        values[::ITEMS] = n * CHUNKS + np.arange(CHUNKS)
        blosc2.asarray(values, chunks=(ITEMS,), urlpath=str(root / f"a{n}.b2nd"))


class Readers:
    """Threads that read chunks that were not read before."""

    def __init__(self, client: caterva2.Client) -> None:
        self.errors: list[str] = []
        self.wrong = self.reads = 0
        self.slowest = 0.0
        self._client = client
        self._next = iter(range(ARRAYS * CHUNKS))
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(READERS)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.03):
            with self._lock:
                n = next(self._next, None)
            if n is None:
                return
            began = time.monotonic()
            start = n % CHUNKS * ITEMS
            try:
                found = self._client.fetch(f"foo/a{n // CHUNKS}.b2nd", slice(start, start + 1))
            except caterva2.CatervaError as error:
                self.errors.append(str(error))
                continue
            self.reads += 1
            self.wrong += int(found[0]) != n
            self.slowest = max(self.slowest, time.monotonic() - began)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_no_read_fails_while_publisher_and_mirrors_end_one_after_the_other(
    stack: Stack, how: signal.Signals
) -> None:
    source = stack.directory / "source"
    make_root(source)
    stack.start_broker()
    stack.start_publisher("foo", source)
    for name in ("m1", "m2"):
        stack.start_subscriber(name, ("--publish", "foo"))
        eventually(lambda: "foo" in stack.client.get_roots())
        for n in range(ARRAYS):
            stack.client.fetch(f"foo/a{n}.b2nd")
    stack.start_subscriber()
    client = stack.client
    eventually(lambda: client.subscribe("foo") == "Ok")
    eventually(lambda: len(_standings(client)) == 3)
    readers, stopped = Readers(client), []
    try:
        for victim in ("pub", "m1"):
            begun = readers.reads
            eventually(lambda begun=begun: readers.reads > begun + 10)  # type: ignore[misc]
            stopped.append(stack.children[victim].process)
            stopped[-1].send_signal(how)
            time.sleep(4)  # readers go on meanwhile
        begun = readers.reads
        eventually(lambda: readers.reads > begun + 10)
    finally:
        readers.stop()
        for process in stopped if how is signal.SIGSTOP else ():
            process.send_signal(signal.SIGCONT)
    print(f"{readers.reads} reads, the slowest took {readers.slowest:.2f} s", _standings(client))
    assert not readers.errors
    assert not readers.wrong
    assert readers.slowest < SLOWEST
    assert client.status()["roots"][0]["way"]["hops"] in (1, 2)  # m2 may have taken it from m1


def _standings(client: caterva2.Client) -> dict[str, str]:
    [root] = [one for one in client.status()["roots"] if one["name"] == "foo"]
    return {one["name"]: one["state"] for one in root["providers"]}
