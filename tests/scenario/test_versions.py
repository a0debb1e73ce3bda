"""New versions of cached datasets: only chunks that are new cross the link, or use the disk."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import blosc2
import h5py
import hdf5plugin
import numpy as np
import pytest

import caterva2
from tests.conftest import Stack, eventually
from tests.thoroughness import thorough

SIDE = 64
FRAMES = np.random.default_rng(3).integers(0, 2**60, (40, SIDE, SIDE))
FIRST, LAST = 20, 30 if thorough() else 24
GRID = {"chunks": (1, SIDE, SIDE), "blocks": (1, 16, SIDE)}
FILE = "x.b2nd"
Append = Callable[[int], None]


def in_place(directory: Path) -> Append:
    file = str(directory / "x.b2nd")
    blosc2.asarray(FRAMES[:FIRST], urlpath=file, contiguous=True, **GRID)

    def append(n: int) -> None:
        array = blosc2.open(file, mode="a")
        array.resize((n + 1, SIDE, SIDE))
        array[n] = FRAMES[n]

    return append


def renamed(directory: Path) -> Append:
    def write(count: int) -> None:
        made = directory / ".new"
        blosc2.asarray(FRAMES[:count], urlpath=str(made), contiguous=True, **GRID)
        made.rename(directory / "x.b2nd")

    write(FIRST)
    return lambda n: write(n + 1)


def swmr(directory: Path) -> Append:
    file = h5py.File(directory / "data.h5", "w", libver="latest")
    shape = {"maxshape": (None, SIDE, SIDE), "chunks": (1, SIDE, SIDE)}
    made = file.create_dataset("x", data=FRAMES[:FIRST], **shape, **hdf5plugin.Blosc2())
    file.swmr_mode = True

    def append(n: int) -> None:
        made.resize(n + 1, axis=0)
        made[n] = FRAMES[n]
        made.flush()

    return append


def fetched(lab: Stack) -> float:
    return lab.metric("fetched_chunks_total")


def cached(lab: Stack) -> set[Path]:
    """The directories of cached datasets."""
    return set((lab.directory / "sub" / "cache").glob("*/*"))


def cached_bytes(lab: Stack, others: set[Path]) -> int:
    """What the cache takes; files that are renamed meanwhile have it counted again."""

    def count() -> int:
        with contextlib.suppress(FileNotFoundError):
            found = [file for dataset in cached(lab) - others for file in dataset.glob("*.*")]
            return sum(file.stat().st_size for file in found)
        return 0

    return eventually(count)


@pytest.mark.parametrize("writer", [in_place, renamed, swmr])
def test_of_a_dataset_that_grows_each_chunk_crosses_the_link_once(
    lab: Stack, tmp_path: Path, writer: Callable[[Path], Append]
) -> None:
    source = tmp_path / "data"
    source.mkdir()
    append = writer(source)
    root, others = writer.__name__, cached(lab)
    name = f"{root}/{FILE}"
    client = lab.publish(root, source / "data.h5" if writer is swmr else source)
    before = fetched(lab)
    client.fetch(name)
    whole = cached_bytes(lab, others)
    assert fetched(lab) - before == FIRST
    for n in range(FIRST, LAST):
        append(n)
        eventually(lambda n=n: client.get_info(name)["shape"][0] == n + 1)
        np.testing.assert_array_equal(
            client.fetch(name, slice(n - 2, n + 1)), FRAMES[n - 2 : n + 1]
        )
        assert fetched(lab) - before == n + 1
    assert cached_bytes(lab, others) < whole * LAST / FIRST + 20_000
    np.testing.assert_array_equal(client.fetch(name), FRAMES[:LAST])
    assert fetched(lab) - before == LAST


def test_of_a_dataset_that_changed_in_part_only_that_part_crosses_the_link(
    lab: Stack, tmp_path: Path
) -> None:
    source = tmp_path / "data"
    source.mkdir()
    in_place(source)
    client, name = lab.publish("part", source), f"part/{FILE}"
    before, kept = fetched(lab), lab.metric("kept_chunks_total")
    client.fetch(name)
    array = blosc2.open(str(source / "x.b2nd"), mode="a")
    array[7:10] = FRAMES[30:33]
    expected = FRAMES[:FIRST].copy()
    expected[7:10] = FRAMES[30:33]

    def changed() -> bool:
        return bool((client.fetch(name, slice(7, 10)) == expected[7:10]).all())

    eventually(changed)
    np.testing.assert_array_equal(client.fetch(name), expected)
    assert fetched(lab) - before == FIRST + 3
    assert lab.metric("kept_chunks_total") - kept == FIRST - 3


def test_what_was_kept_is_there_after_a_restart_without_the_publisher(
    lab: Stack, tmp_path: Path
) -> None:
    source = tmp_path / "data"
    source.mkdir()
    append = in_place(source)
    client, name = lab.publish("kept", source), f"kept/{FILE}"
    client.fetch(name)
    append(FIRST)
    eventually(lambda: client.get_info(name)["shape"][0] == FIRST + 1)
    client.fetch(name, slice(10, FIRST + 1))
    lab.stop("pub-kept")
    lab.stop("sub")
    lab.start_subscriber()
    client = lab.client
    np.testing.assert_array_equal(client.fetch(name, slice(10, 21)), FRAMES[10:21])
    with pytest.raises(caterva2.HttpError, match="503"):
        client.fetch(name, 0)  # it was not confirmed
