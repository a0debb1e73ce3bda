"""Three sites, 100 ms and 100 Mbit/s apart: bytes over each link, freshness, and hops that end"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import blosc2
import numpy as np
import pytest

import caterva2
from tests.conftest import Stack, eventually
from tests.fault.far_sites import FarSites, far_sites, needs_namespaces
from tests.fault.rewriting import Readers, write

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), needs_namespaces]
READERS = 8
SECONDS = float(os.environ.get("CAT2_SOAK", "30"))
"""Of rewriting; an hour shows no more than five minutes."""
ROWS, ITEMS = 400, 12_500


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarSites]:
    directory = tmp_path_factory.mktemp("far")
    source = directory / "source"
    source.mkdir()
    values = np.random.default_rng(1).random((ROWS, ITEMS))
    values[:, 0] = np.arange(ROWS)
    quick = {"codec": blosc2.Codec.LZ4, "clevel": 1}
    for name in ("whole", "single"):
        file = str(source / f"{name}.b2nd")
        blosc2.asarray(values, chunks=(1, ITEMS), cparams=quick, urlpath=file)
    write(source / "a.b2nd", 0)
    with far_sites(Stack(directory), source) as made:
        yield made


def test_each_chunk_crosses_each_link_once(far: FarSites) -> None:
    size = (far.source / "whole.b2nd").stat().st_size
    before = [link.carried for link in far.links]
    client = far.client(2)
    threads = [
        threading.Thread(target=lambda: client.fetch("foo/whole.b2nd")) for _ in range(READERS)
    ]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    shares = [(link.carried - had) / size for link, had in zip(far.links, before, strict=True)]
    print(f"{READERS} readers: {took:.1f} s, {size / far.links[0].bandwidth:.1f} s for one copy;"
          f" over the links {[f'{share:.3f}' for share in shares]} x the file")  # fmt: skip
    assert all(1 <= share < 1.05 for share in shares)


def test_readers_at_the_third_site_see_one_version_at_a_time_and_none_again(far: FarSites) -> None:
    readers, written = Readers(far.client(2), READERS), dict[int, float]()
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        value = len(written) + 1
        write(far.source / "a.b2nd", value)
        written[value] = time.monotonic()
        time.sleep(1)  # the pace of the writer
    eventually(lambda: len(written) in readers.seen, 60)
    readers.stop()
    fresh = readers.freshness(written)
    print(
        f"{readers.reads} reads in {SECONDS:.0f} s, {len(written)} versions, {len(fresh)} read,"
        f" {readers.mixed} mixed, {readers.back} going back, {len(readers.errors)} refused"
        f" {set(readers.errors)}; fresh after p50 {fresh[len(fresh) // 2]:.2f} s,"
        f" p99 {fresh[int(0.99 * len(fresh))]:.2f} s"
    )
    assert (readers.mixed, readers.back) == (0, 0)
    assert len(fresh) > SECONDS / 10


class Misses:
    """Reads of rows that no hop has: not one after the other, which would be fetched ahead."""

    def __init__(self, far: FarSites) -> None:
        self._client, self._rows = far.client(2), iter([151 * n % ROWS for n in range(ROWS)])

    def read(self) -> float:
        """Read one; return the seconds."""
        row, began = next(self._rows), time.monotonic()
        assert self._client.fetch("foo/single.b2nd", (row, 0)) == row
        return time.monotonic() - began

    def refused(self) -> float:
        """Read one that is refused, sooner or later; return the seconds of the last try."""

        def look() -> float:
            began = time.monotonic()
            with pytest.raises(caterva2.CatervaError):
                self.read()
            return time.monotonic() - began

        return eventually(look, 60)

    def until_read(self) -> float:
        """Return the seconds until one is read."""
        began = time.monotonic()
        eventually(self.read, 60)
        return time.monotonic() - began


@pytest.fixture(scope="module")
def misses(far: FarSites) -> Misses:
    return Misses(far)


def test_each_hop_may_end_and_come_back(far: FarSites, misses: Misses) -> None:
    client = far.client(2)
    kept = client.fetch("foo/a.b2nd")
    misses.read()
    restarts: dict[str, Callable[[], None]] = {
        "pub": far.start_publisher,
        "sub0": lambda: far.start_subscriber(0),
        "sub1": lambda: far.start_subscriber(1),
    }
    for victim, restart in restarts.items():
        far.stack.kill(victim)
        late = misses.refused()
        assert np.array_equal(client.fetch("foo/a.b2nd"), kept)
        eventually(lambda: of_root(client)["way"]["origin"] == "away", 60)
        restart()
        print(f"{victim}: a miss is refused after {late:.2f} s; read {misses.until_read():.1f} s"
              " after the service was ready again")  # fmt: skip
        assert late < 5


def test_a_second_mirror_goes_on_at_once(far: FarSites, misses: Misses) -> None:
    misses.until_read()
    far.start_subscriber(0, "other", 8004)
    site = far.client(1)
    eventually(lambda: len(providers(site)) == 2, 60)
    misses.read()
    far.stack.kill("sub0")
    took = misses.until_read()
    print(f"the next miss is read {took:.2f} s after a mirror was killed, by {providers(site)}")
    far.start_subscriber(0)
    assert took < 4  # 2 s, and what a busy machine adds


def of_root(client: caterva2.Client) -> dict[str, Any]:
    [root] = [one for one in client.status()["roots"] if one["name"] == "foo"]
    return dict(root)


def providers(client: caterva2.Client) -> dict[str, str]:
    return {one["name"]: one["state"] for one in of_root(client).get("providers", [])}
