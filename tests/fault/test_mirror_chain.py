"""Three sites in a row: each chunk crosses each link once, and readers at the end never go back"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import blosc2
import numpy as np
import pytest

import caterva2
from tests.conftest import Stack, eventually

CHUNKS, ITEMS = 40, 5_000
READERS = 4
SECONDS = 8.0


def write(file: Path, value: int) -> None:
    """Replace an array by one whose items all have a value."""
    new = file.with_name("new")
    values = np.full(CHUNKS * ITEMS, value, "<i8")
    values[1::2] ^= 2**40  # no chunk is of one value, which would have no bytes
    blosc2.asarray(values, chunks=(ITEMS,), urlpath=str(new), mode="w")
    os.replace(new, file)


def chain(stack: Stack, source: Path) -> list[str]:
    """Start three sites, the first with the publisher; return the URLs of their subscribers."""
    brokers, urls = [], []
    for n in range(3):
        brokers.append(stack.hold_port().address)
        ports = "--xsub", "127.0.0.1:0", "--xpub", "127.0.0.1:0"
        stack.spawn(f"bro{n}", "cat2bro", "--endpoint", brokers[-1], *ports).ready()
    given = "--broker", brokers[0], "--endpoint", "127.0.0.1:0"
    stack.spawn("pub", "cat2pub", *given, "foo", str(source)).ready()
    for n in range(3):
        onward = ("--publish", "foo", "--publish-to", brokers[n + 1]) if n < 2 else ()
        at = "--broker", brokers[n], "--http", "127.0.0.1:0"
        stack.subscriber_ready(stack.spawn(f"sub{n}", "cat2sub", *at, *onward))
        urls.append(stack.url)
        eventually(lambda: "foo" in stack.client.get_roots(), 30)
    return urls


class Readers:
    """Threads that read the array until they are stopped."""

    def __init__(self, client: caterva2.Client) -> None:
        self.reads = self.mixed = self.back = 0
        self.errors: list[str] = []
        self.seen: dict[int, float] = {}
        self._client = client
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(READERS)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        last = -1
        while not self._stop.wait(0.02):
            try:
                found = self._client.fetch("foo/a.b2nd")
            except caterva2.CatervaError as error:
                self.errors.append(str(error))
                continue
            self.reads += 1
            value = int(found[0])
            self.seen.setdefault(value, time.monotonic())
            found[1::2] ^= 2**40
            self.mixed += not np.all(found == value)
            self.back += value < last
            last = value

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.slow
def test_a_chain_of_three_sites_serves_one_version_at_a_time_and_each_chunk_once(
    stack: Stack,
) -> None:
    source = stack.directory / "source"
    source.mkdir()
    write(source / "a.b2nd", 0)
    urls = chain(stack, source)
    threads = [
        threading.Thread(target=lambda: caterva2.Client(urls[2]).fetch("foo/a.b2nd"))
        for _ in range(READERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for url in urls:
        stack.url = url
        assert stack.metric("fetched_chunks_total") == CHUNKS
    readers = Readers(caterva2.Client(urls[2]))
    written: dict[int, float] = {}
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        value = len(written) + 1
        write(source / "a.b2nd", value)
        written[value] = time.monotonic()
        time.sleep(0.5)
    eventually(lambda: len(written) in readers.seen, 30)
    readers.stop()
    fresh = sorted(readers.seen[v] - written[v] for v in readers.seen if v in written)
    print(
        f"{readers.reads} reads of {len(readers.seen)} versions, {readers.mixed} mixed,"
        f" {readers.back} going back, {len(readers.errors)} refused {set(readers.errors)};"
        f" fresh after p50 {fresh[len(fresh) // 2]:.2f} s, p99 {fresh[-1]:.2f} s"
    )
    assert not readers.mixed
    assert not readers.back
    assert len(readers.seen) > 2
