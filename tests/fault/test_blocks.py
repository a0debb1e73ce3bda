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
from caterva2.limits import constants
from tests.conftest import Stack, eventually
from tests.fault.proxy import Proxy

SHAPE, BLOCKS = (512, 512), (32, 64)
VALUES = np.random.default_rng(1).random(SHAPE)


def write(path: Path, values: np.ndarray) -> None:
    """One chunk of 2 MiB in 128 blocks, moved to its place."""
    new = path.with_name(f".{path.name}")
    new.unlink(missing_ok=True)
    quick = {"codec": blosc2.Codec.LZ4, "clevel": 1}
    blosc2.asarray(values, chunks=SHAPE, blocks=BLOCKS, cparams=quick, urlpath=str(new))
    os.replace(new, path)


class Linked:
    """Services with a proxy between the subscriber and the publisher."""

    def __init__(self, stack: Stack, source: Path) -> None:
        self.stack, self.source = stack, source
        source.mkdir()
        # So that the third request for a chunk of this size does not ask for all of it.
        stack.configure(f"[limits.subscriber]\nround_trip_bytes = {16 * constants.KIB}\n")
        port = stack.hold_port()
        self.proxy = Proxy(port.number)
        stack.start_broker()
        advertise = "--advertise", f"127.0.0.1:{self.proxy.port}"
        stack.start_publisher("data", source, endpoint=port.address, given=advertise)
        stack.start_subscriber()
        stack.subscribe("data")
        self.client = stack.client

    def publish(self, name: str, values: np.ndarray) -> None:
        """Have a dataset that the subscriber knows and holds nothing of."""
        write(self.source / f"{name}.b2nd", values)
        eventually(lambda: f"{name}.b2nd" in self.client.get_list("data"))

    def read(self, name: str, row: int, values: np.ndarray) -> bool:
        """Whether a slice is right; an honest refusal counts as no, anything else as a failure."""
        try:
            got = self.client.fetch(f"data/{name}.b2nd", np.s_[row : row + 40, :10])
        except caterva2.HttpError as error:
            assert error.status_code in (502, 503, 504), error
            return False
        np.testing.assert_array_equal(got, values[row : row + 40, :10])
        return True


@pytest.fixture(scope="module")
def shared_link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Linked]:
    directory = tmp_path_factory.mktemp("blocks")
    stack = Stack(directory)
    try:
        made = Linked(stack, directory / "data")
        yield made
        made.proxy.close()
    finally:
        stack.stop_all()


@pytest.fixture
def linked(shared_link: Linked) -> Iterator[Linked]:
    yield shared_link
    shared_link.proxy.heal()


@pytest.mark.parametrize("fault", ["damage", "cut"])
def test_blocks_are_right_or_refused_over_a_bad_link(linked: Linked, fault: str) -> None:
    before = linked.stack.metric("fetched_blocks_total")
    names = [f"{fault}{n}" for n in range(8)]
    for n, name in enumerate(names):
        linked.publish(name, VALUES + n)
    setattr(linked.proxy, f"{fault}_share", 0.1)
    for n, name in enumerate(names):
        for row in (0, 200, 450):
            eventually(
                lambda name=name, row=row, n=n: linked.read(name, row, VALUES + n),  # type: ignore[misc]
                timeout=60,
            )
    assert linked.proxy.damaged + linked.proxy.cuts > 0
    assert linked.stack.metric("fetched_blocks_total") > before


def test_one_small_slice_takes_few_bytes(linked: Linked) -> None:
    linked.publish("small", VALUES)
    linked.client.get_info("data/small.b2nd")
    before = linked.proxy.carried
    assert linked.read("small", 0, VALUES)
    assert linked.proxy.carried - before < 0.05 * VALUES.nbytes


def test_no_answer_mixes_blocks_of_two_versions(linked: Linked) -> None:
    """Each version is one number all over, so what is mixed is seen at once."""
    path, ended = linked.source / "changing.b2nd", threading.Event()
    noise = np.random.default_rng(2).random(SHAPE)  # of which the integral part is the version
    linked.publish("changing", noise)

    def change() -> None:
        version = 0
        while not ended.wait(0.02):
            version += 1
            write(path, noise + version)

    writer = threading.Thread(target=change)
    writer.start()
    seen: set[int] = set()
    try:
        rng = np.random.default_rng(3)

        def read_some() -> bool:
            top, left = rng.integers(0, 400, 2).tolist()
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
