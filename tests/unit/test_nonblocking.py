"""Small slices that are read without waiting for a disk, or not at all."""

from __future__ import annotations

import errno
import itertools
import os
import tempfile
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest
import samples
from hypothesis import given, settings
from hypothesis import strategies as st

from caterva2.arrays.selection import normalise
from caterva2.cache.memory.maps import Maps
from caterva2.cache.replica import Replica
from caterva2.cache.store import Store
from caterva2.frames.blocks import Map
from caterva2.frames.chunk import HEADER
from caterva2.limits import DEFAULTS
from caterva2.names import RootName
from caterva2.reading import nonblocking
from tests.conftest import eventually
from tests.thoroughness import examples, some

ROOT = RootName("foo")
VALUES = np.random.default_rng(0).integers(0, 99, (90, 70)).cumsum(axis=0).astype("<f8")
GRID: Any = {"chunks": (40, 30), "blocks": (9, 8)}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory of a file system that tells what it holds in memory."""
    with open(tmp_path / "probe", "wb+") as probe:
        probe.write(b"x")
        probe.flush()
        try:
            os.preadv(probe.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT)
        except OSError as error:
            pytest.skip(f"this file system does not tell what is in memory: {error}")
    return tmp_path


def filled(place: Path, values: Any, **grid: Any) -> Replica:
    frame = samples.array_frame(values, **grid)
    replica = Store(place).replica(ROOT, samples.describe(frame))
    samples.fill(replica, samples.raw_chunks(frame), range(replica.info.nchunks))
    return replica


def tried(replica: Replica, *key: Any, field: tuple[str, ...] = ()) -> Any:
    return nonblocking.values(replica, normalise(key, replica.info.shape), field)


@settings(max_examples=examples(150))
@given(st.data())
def test_values_are_numpys(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 9), max_size=3)))
    chunks = tuple(data.draw(st.integers(1, n)) for n in shape)
    blocks = tuple(data.draw(st.integers(1, n)) for n in chunks)
    values = np.arange(np.prod(shape, dtype=int), dtype="i4").reshape(shape) + 1
    key = tuple(
        data.draw(
            st.integers(-n, n - 1)
            | st.builds(slice, st.integers(-n, n), st.integers(-n, n), st.sampled_from([1, 2, -1]))
        )
        for n in shape
    )
    with tempfile.TemporaryDirectory() as directory:
        grid = {"chunks": chunks, "blocks": blocks} if shape else {}
        found = tried(filled(Path(directory), values, **grid), *key)
    if found is not None:
        np.testing.assert_array_equal(found, values[key])
        assert found.shape == values[key].shape


SPLITS = (blosc2.SplitMode.ALWAYS_SPLIT, blosc2.SplitMode.NEVER_SPLIT)
FILTERINGS = "NOFILTER", "SHUFFLE", "BITSHUFFLE", "BYTEDELTA"


@pytest.mark.parametrize("codec", samples.ALLOWED_CODECS)
@pytest.mark.parametrize("filtering", FILTERINGS)
def test_every_compression_is_decoded(place: Path, codec: Any, filtering: str) -> None:
    first = samples.ALLOWED_CODECS.index(codec) + FILTERINGS.index(filtering)
    for clevel, split in some([*itertools.product((0, 1, 9), SPLITS)], 4, first):
        cparams = {
            "codec": codec, "clevel": clevel, "splitmode": split,
            "filters": [blosc2.Filter[filtering]], "filters_meta": [8 * (filtering == "BYTEDELTA")],
        }  # fmt: skip
        own = place / f"{clevel}-{split.name}"
        own.mkdir()
        replica = filled(own, VALUES, **GRID, cparams=cparams)
        for y, x in ((0, 0), (38, 28), (80, 60)):
            found = tried(replica, slice(y, y + 5), slice(x, x + 4))
            np.testing.assert_array_equal(found, VALUES[y : y + 5, x : x + 4], str(cparams))


def test_field_is_read_alone(place: Path) -> None:
    values = np.array([(n, n / 2) for n in range(50)], "i4,f8")
    found = tried(filled(place, values, chunks=(20,)), slice(15, 25), field=("f1",))
    np.testing.assert_array_equal(found, values["f1"][15:25])
    assert found.flags.c_contiguous


def test_chunk_that_was_not_checked_since_the_start_is_not_read(place: Path) -> None:
    replica = filled(place, VALUES, **GRID)
    replica.seal()
    replica.keep()
    info = replica.info
    replica.close()
    again = Store(place).replica(ROOT, info)
    assert tried(again, 5, 5) is None
    again.verify(np.array([0]))
    assert tried(again, 5, 5) == VALUES[5, 5]
    assert tried(again, 85, 5) is None


def test_what_the_disk_has_alone_is_not_read(place: Path) -> None:
    replica = filled(place, VALUES, **GRID)
    assert tried(replica, 5, 5) == VALUES[5, 5]
    assert replica.file is not None

    def left_to_the_disk() -> bool:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return tried(replica, 5, 5) is None

    with open(replica.file, "rb") as file:
        eventually(left_to_the_disk)  # the system keeps pages that it is busy with


def test_file_system_that_does_not_tell_is_asked_once(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = filled(place, VALUES, **GRID)
    asked = []

    def refuse(*given: Any) -> int:
        asked.append(given)
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(os, "preadv", refuse)
    assert [tried(replica, n, n) for n in range(3)] == [None] * 3
    assert len(asked) == 1


@pytest.mark.parametrize(
    "key",
    [
        (slice(0, 5, 2), 0),
        (slice(None), slice(None)),
        (slice(5, 5), 0),
    ],
    ids=["steps", "many blocks", "nothing"],
)
def test_other_than_small_plain_slices_are_left_to_a_thread(place: Path, key: Any) -> None:
    assert tried(filled(place, VALUES, **GRID), *key) is None


def test_large_blocks_are_left_to_a_thread(place: Path) -> None:
    items = DEFAULTS.cache.nonblocking_bytes // 8
    shape = (2 * items,)
    replica = filled(place, np.arange(2.0 * items), chunks=shape, blocks=(items,))
    assert tried(replica, 7) == 7
    assert tried(replica, slice(items - 1, items + 1)) is None
    replica = filled(place / "larger", np.arange(2.0 * items), chunks=shape, blocks=(items + 1,))
    assert tried(replica, 7) is None


@pytest.mark.parametrize("kind", ["missing", "zeros", "delta"])
def test_chunk_that_has_no_blocks_of_its_own_is_left_to_a_thread(place: Path, kind: str) -> None:
    values = np.zeros_like(VALUES) if kind == "zeros" else VALUES
    filters = {"filters": [blosc2.Filter.DELTA], "filters_meta": [0]}
    given = GRID | ({"cparams": filters} if kind == "delta" else {})
    frame = samples.array_frame(values, **given)
    replica = Store(place).replica(ROOT, samples.describe(frame))
    if kind != "missing":
        samples.fill(replica, samples.raw_chunks(frame), range(replica.info.nchunks))
    assert tried(replica, 5, 5) is None


def test_damaged_table_of_blocks_is_left_to_a_thread(place: Path) -> None:
    frame = samples.array_frame(VALUES, **GRID)
    first, *_ = chunks = samples.raw_chunks(frame)
    replica = Store(place).replica(ROOT, samples.describe(frame))
    samples.fill(replica, chunks, range(len(chunks)))
    assert replica.file is not None
    with open(replica.file, "rb+") as file:
        file.seek(file.read().index(first) + HEADER)
        file.write(b"\xff" * 16)
    assert tried(replica, 5, 5) is None


def test_block_that_does_not_decode_is_left_to_a_thread(place: Path) -> None:
    frame = samples.array_frame(VALUES, **GRID)
    first, *others = samples.raw_chunks(frame)
    start = int.from_bytes(first[HEADER : HEADER + 4], "little") + 4
    bad = first[:start] + b"\xff" * 20 + first[start + 20 :]
    replica = Store(place).replica(ROOT, samples.describe(frame))
    samples.fill(replica, [bad, *others], range(replica.info.nchunks))
    assert tried(replica, 85, 5) == VALUES[85, 5]
    assert tried(replica, 0, 0) is None


def test_places_of_blocks_are_remembered_for_some_chunks() -> None:
    maps, looked = Maps(2), []

    def get(offset: int) -> None:
        def look() -> Map | None:
            looked.append(offset)
            return None

        maps.get(1, offset, look)

    for offset in (0, 1, 0, 2, 0, 1):
        get(offset)
    assert looked == [0, 1, 2, 1]
