"""Small slices of large chunks: only the blocks that they need cross the link."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import blosc2
import numpy as np
import pytest

import caterva2
from tests.conftest import Stack, eventually

SHAPE, CHUNKS, BLOCKS = (1024, 512), (512, 512), (32, 32)
CHUNK_BYTES = 512 * 512 * 8
VALUES = np.random.default_rng(1).random(SHAPE)
CORNER = np.s_[507:517, 251:261]
"""Ten by ten, around a corner of four blocks in two chunks."""


def write(path: Path, values: np.ndarray) -> None:
    """An array of two chunks of 2 MiB, which compression makes hardly smaller."""
    quick = {"codec": blosc2.Codec.LZ4, "clevel": 1}
    blosc2.asarray(values, chunks=CHUNKS, blocks=BLOCKS, cparams=quick, urlpath=str(path))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    source = tmp_path / "data"
    source.mkdir()
    write(source / "a.b2nd", VALUES)
    return source


def served(lab: Stack, root: str) -> tuple[int, int, int]:
    """Chunks, blocks and bytes that the publisher says that it served, at its end."""
    lab.stop(f"pub-{root}")
    match = re.search(
        r"served \d+ requests, (\d+) chunks, (\d+) blocks, (\d+) bytes", lab.log(f"pub-{root}")
    )
    assert match
    return int(match[1]), int(match[2]), int(match[3])


def test_small_slice_takes_a_small_part_of_a_large_chunk(lab: Stack, data: Path) -> None:
    client = lab.publish("small", data)
    for _ in range(3):
        np.testing.assert_array_equal(client.fetch("small/a.b2nd", CORNER), VALUES[CORNER])
    chunks, blocks, size = served(lab, "small")
    assert (chunks, blocks) == (0, 4)
    assert size < 0.05 * CHUNK_BYTES


def test_a_profile_through_a_stack_takes_only_its_blocks(lab: Stack, data: Path) -> None:
    """Of more chunks than one request names, each smaller than one that is divided alone."""
    stack = np.random.default_rng(2).integers(0, 2**16, (72, 128, 128), "u2")
    frames, blocks = (1, 128, 128), (1, 32, 64)
    blosc2.asarray(stack, chunks=frames, blocks=blocks, urlpath=str(data / "stack.b2nd"))
    client = lab.publish("profile", data)
    for _ in range(2):
        np.testing.assert_array_equal(client.get("profile/stack.b2nd")[:, 70, 70], stack[:, 70, 70])
    assert client.get("profile/stack.b2nd")[3:3, 70, 70].shape == (0,)
    served_chunks, served_blocks, size = served(lab, "profile")
    assert (served_chunks, served_blocks) == (0, 72)
    assert size < 1.2 * stack.nbytes / 8


def test_what_is_held_is_served_without_the_publisher(lab: Stack, data: Path) -> None:
    client = lab.publish("held", data)
    client.fetch("held/a.b2nd", CORNER)
    lab.stop("pub-held")
    eventually(lambda: client.get_roots()["held"].get("offline") is True)
    np.testing.assert_array_equal(client.fetch("held/a.b2nd", CORNER), VALUES[CORNER])
    with pytest.raises(caterva2.HttpError) as caught:
        client.fetch("held/a.b2nd", (0, 0))
    assert caught.value.status_code == 503


def test_points_take_only_their_blocks(lab: Stack, data: Path) -> None:
    client = lab.publish("points", data)
    rows, columns = [0, 1023, 17, 17], [511, 3, 17, 18]
    found = client.get("points/a.b2nd")[rows, columns]
    np.testing.assert_array_equal(found, VALUES[rows, columns])
    chunks, blocks, _ = served(lab, "points")
    assert (chunks, blocks) == (0, 3)


def test_readers_that_come_back_get_the_whole_chunk(lab: Stack, data: Path) -> None:
    client = lab.publish("back", data)
    chunks, size = lab.metric("fetched_chunks_total"), lab.metric("fetched_bytes_total")
    array = client.get("back/a.b2nd")
    for row in range(0, 512, 32):  # across a chunk, a block at a time
        np.testing.assert_array_equal(array[row, :3], VALUES[row, :3])
    assert lab.metric("fetched_chunks_total") - chunks == 1
    assert lab.metric("fetched_bytes_total") - size < 1.4 * CHUNK_BYTES
    np.testing.assert_array_equal(array[:512], VALUES[:512])
    assert served(lab, "back")[0] == 1


def test_sixteen_clients_that_want_the_same_slice_cause_one_fetch(lab: Stack, data: Path) -> None:
    lab.publish("sixteen", data)
    together = threading.Barrier(16)

    def read(_: int) -> bool:
        client = caterva2.Client(lab.url)
        together.wait(30)
        return bool((client.fetch("sixteen/a.b2nd", CORNER) == VALUES[CORNER]).all())

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(read, range(16)))
    assert served(lab, "sixteen")[1] == 4


def test_whole_dataset_is_the_original_after_some_of_its_blocks_came(
    lab: Stack, data: Path, tmp_path: Path
) -> None:
    client = lab.publish("whole", data)
    client.fetch("whole/a.b2nd", CORNER)
    copy = client.download("whole/a.b2nd", tmp_path / "copy.b2nd")
    np.testing.assert_array_equal(blosc2.open(str(copy))[()], VALUES)


def test_change_of_the_dataset_leaves_no_block_of_the_old_version(lab: Stack, data: Path) -> None:
    client = lab.publish("changing", data)
    client.fetch("changing/a.b2nd", CORNER)
    new = data / ".new.b2nd"
    write(new, -VALUES)
    new.rename(data / "a.b2nd")
    wider = np.s_[507:517, 251:324]  # what is held, and what is not
    eventually(lambda: bool((client.fetch("changing/a.b2nd", wider) == -VALUES[wider]).all()))
    np.testing.assert_array_equal(client.fetch("changing/a.b2nd", CORNER), -VALUES[CORNER])
