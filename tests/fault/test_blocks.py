"""Single blocks of large chunks over a bad link, and while their file changes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import blosc2
import numpy as np
import pytest

import caterva2
from tests.conftest import Stack, eventually
from tests.fault.proxy import Proxy

SHAPE, BLOCKS = (1024, 1024), (32, 64)
VALUES = np.random.default_rng(1).random(SHAPE)


def write(path: Path, values: np.ndarray) -> None:
    """One chunk of 8 MiB in 512 blocks, moved to its place."""
    new = path.with_name(f".{path.name}")
    new.unlink(missing_ok=True)
    blosc2.asarray(values, chunks=SHAPE, blocks=BLOCKS, urlpath=str(new))
    os.replace(new, path)


class Linked:
    """Services with a proxy between the subscriber and the publisher, and some large datasets."""

    def __init__(self, stack: Stack, source: Path, count: int) -> None:
        self.stack, self.source = stack, source
        source.mkdir()
        for n in range(count):
            write(source / f"{n}.b2nd", VALUES + n)
        port = stack.hold_port()
        self.proxy = Proxy(port.number)
        stack.start_broker()
        advertise = "--advertise", f"127.0.0.1:{self.proxy.port}"
        stack.start_publisher("data", source, endpoint=port.address, given=advertise)
        stack.start_subscriber()
        stack.subscribe("data")
        self.client = stack.client

    def read(self, n: int, row: int) -> bool:
        """Whether a slice is right; an honest refusal counts as no, anything else as a failure."""
        try:
            got = self.client.fetch(f"data/{n}.b2nd", np.s_[row : row + 40, :10])
        except caterva2.HttpError as error:
            assert error.status_code in (502, 503, 504), error
            return False
        np.testing.assert_array_equal(got, VALUES[row : row + 40, :10] + n)
        return True


@pytest.fixture
def linked(stack: Stack, tmp_path: Path) -> Iterator[Linked]:
    made = Linked(stack, tmp_path / "data", 8)
    try:
        yield made
    finally:
        made.proxy.close()


@pytest.mark.parametrize("fault", ["damage", "cut"])
def test_blocks_are_right_or_refused_over_a_bad_link(linked: Linked, fault: str) -> None:
    setattr(linked.proxy, f"{fault}_share", 0.1)
    for n in range(8):
        for row in (0, 500, 900):
            eventually(lambda n=n, row=row: linked.read(n, row), timeout=60)  # type: ignore[misc]
    assert linked.proxy.damaged + linked.proxy.cuts > 0
    assert linked.stack.metric("fetched_blocks_total") > 0


def test_one_small_slice_takes_few_bytes(linked: Linked) -> None:
    linked.client.get_info("data/3.b2nd")
    before = linked.proxy.carried
    assert linked.read(3, 0)
    assert linked.proxy.carried - before < 0.05 * VALUES.nbytes


def test_no_answer_mixes_blocks_of_two_versions(linked: Linked) -> None:
    """Each version is one number all over, so what is mixed is seen at once."""
    path, ended = linked.source / "changing.b2nd", threading.Event()
    noise = np.random.default_rng(2).random(SHAPE)  # of which the integral part is the version
    write(path, noise)
    eventually(lambda: linked.client.fetch("data/changing.b2nd", (0, 0)) == noise[0, 0])

    def change() -> None:
        version = 0
        while not ended.is_set():
            version += 1
            write(path, noise + version)

    writer = threading.Thread(target=change)
    writer.start()
    seen: set[int] = set()
    try:
        rng = np.random.default_rng(3)

        def read_some() -> bool:
            top, left = rng.integers(0, 900, 2).tolist()
            key = np.s_[top : top + 70, left : left + 100]
            found = linked.client.fetch("data/changing.b2nd", key) - noise[key]
            versions = np.unique(np.rint(found))
            assert len(versions) == 1, versions
            np.testing.assert_allclose(found, versions[0], atol=1e-9)
            seen.add(int(versions[0]))
            return len(seen) >= 3

        eventually(read_some, timeout=60)
    finally:
        ended.set()
        writer.join(30)
