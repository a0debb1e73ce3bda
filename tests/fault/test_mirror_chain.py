"""Three sites in a row: each chunk crosses each link once, and readers at the end never go back"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

import caterva2
from tests.conftest import Stack, eventually
from tests.fault.rewriting import CHUNKS, Readers, write

READERS = 4
SECONDS, PAUSE = 8.0, 0.5
"""Of rewriting, and between two versions."""


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
    until, pause = time.monotonic() + SECONDS, PAUSE
    while time.monotonic() < until:
        before, value = len(readers.seen), len(written) + 1
        write(source / "a.b2nd", value)
        written[value] = time.monotonic()
        time.sleep(pause)  # the pace of the writer
        if len(readers.seen) == before:
            # Of a version that is gone before a busy machine has read it, nothing can be seen.
            pause, until = 2 * pause, until + 2 * pause
    eventually(lambda: len(written) in readers.seen, 30)
    readers.stop()
    fresh = readers.freshness(written)
    print(
        f"{readers.reads} reads of {len(readers.seen)} versions, {readers.mixed} mixed,"
        f" {readers.back} going back, {len(readers.errors)} refused {set(readers.errors)};"
        f" fresh after p50 {fresh[len(fresh) // 2]:.2f} s, p99 {fresh[-1]:.2f} s"
    )
    assert not readers.mixed
    assert not readers.back
    assert len(readers.seen) > 2
