"""Versions of a dataset share chunks: what is kept, what is never served, and what it costs."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest
import samples
from cachedversions import GRID, RNG, ROOT, ROWS, Version, complete, cut, reopened, size

from caterva2.arrays.selection import normalise
from caterva2.cache.store import Store
from caterva2.errors import StaleVersion
from caterva2.frames import blocks
from caterva2.limits import DEFAULTS
from caterva2.reading import slices
from caterva2.reading.scope import ReadScope
from tests.thoroughness import some

# --- what is kept ---


def test_chunks_of_the_former_version_are_missing_until_they_are_confirmed(store: Store) -> None:
    complete(store, Version(ROWS[:10]))
    new = Version(ROWS[:11], 2)
    replica = new.opened(store)
    assert replica.missing(new.ids).tolist() == list(range(11))
    assert (replica.complete, replica.cached_chunks, replica.cached_bytes) == (False, 0, 0)
    assert replica.read(np.arange(2)) is None
    assert replica.read(np.arange(1)) is None
    assert replica.try_block(0, 0) is None
    assert cut(replica, 0, 1) is None
    assert replica.offers([0]) == (blocks.digest(new.raw[0]),)


def test_only_new_and_changed_chunks_come_over_the_link(store: Store) -> None:
    complete(store, Version(ROWS[:10]))
    values = ROWS[:12].copy()
    values[4] += 1
    new = Version(values, 2)
    replica = new.opened(store)
    kept, sent = new.fetched(replica)
    assert sent == [4, 10, 11]
    assert kept == [n for n in range(10) if n != 4]
    np.testing.assert_array_equal(cut(replica, 0, 12), values)


def test_what_is_kept_is_not_written_again(store: Store) -> None:
    complete(store, Version(ROWS[:10]))
    new = Version(ROWS[:11], 2)
    replica = new.opened(store)
    before = size(store, new)
    new.fetched(replica, np.arange(10))
    assert size(store, new) == before
    new.fetched(replica)
    assert size(store, new) == before + len(new.raw[10])


SHAPES = [(6, 8, 10), (7, 8, 10), (6, 9, 10), (6, 8, 13), (9, 11, 14), (3, 8, 10), (6, 4, 2)]


@pytest.mark.parametrize(("former", "new"), some([*itertools.permutations(SHAPES, 2)], 4, 1))
def test_chunks_are_found_by_their_coordinates(
    store: Store, former: tuple[int, ...], new: tuple[int, ...]
) -> None:
    grid = {"chunks": (2, 3, 4), "blocks": (1, 3, 2)}
    all_values = np.arange(9 * 11 * 14).reshape(9, 11, 14) + 1
    complete(store, Version(all_values[tuple(map(slice, former))], 1, **grid))
    after = Version(all_values[tuple(map(slice, new))], 2, **grid)
    replica = after.opened(store)
    kept, sent = after.fetched(replica)
    whole = [min(a, b) // c for a, b, c in zip(former, new, grid["chunks"], strict=True)]
    assert len(kept) >= np.prod(whole)
    assert len(kept) + len(sent) == after.info.nchunks
    np.testing.assert_array_equal(cut(replica, 0, new[0]), after.values)


def test_a_single_item_and_an_empty_array(store: Store) -> None:
    complete(store, Version(np.array(7), 1, chunks=(), blocks=()))
    after = Version(np.array(7), 2, chunks=(), blocks=())
    assert after.fetched(after.opened(store)) == ([0], [])
    complete(store, Version(np.empty((0, 3)), 3, chunks=(1, 3), blocks=(1, 3)))


def test_an_array_whose_chunks_are_empty_has_later_versions(store: Store) -> None:
    for number in (1, 2):
        empty = Version(np.empty((0, 3)), number, chunks=(0, 3), blocks=(0, 3))
        assert complete(store, empty).complete
    grown = Version(np.ones((2, 3)), 3, chunks=(1, 3), blocks=(1, 3))
    assert grown.fetched(grown.opened(store)) == ([], [0, 1])


@pytest.mark.parametrize(
    ("values", "grid"),
    [
        (ROWS.astype("f8"), GRID),
        (ROWS[:, :39], GRID),
        (ROWS, {"chunks": (2, 40), "blocks": (1, 20)}),
        (ROWS, {"chunks": (1, 40), "blocks": (1, 10)}),
        (ROWS.ravel(), {"chunks": (40,), "blocks": (20,)}),
    ],
)
def test_what_is_not_equal_is_fetched(store: Store, values: Any, grid: Any) -> None:
    complete(store, Version(ROWS))
    new = Version(values, 2, **grid)
    replica = new.opened(store)
    kept, sent = new.fetched(replica)
    assert (kept, len(sent)) == ([], new.info.nchunks)
    np.testing.assert_array_equal(cut(replica, 0, len(values)), values)


def test_a_byte_string_that_grows_keeps_its_whole_chunks(store: Store) -> None:
    data = RNG.bytes(1000)
    contents = [samples.byte_frame(data[:n], 300, nthreads=1) for n in (700, 1000)]
    infos = [samples.describe(frame, "a.b2frame", f"v{n}") for n, frame in enumerate(contents)]
    raw = samples.raw_chunks(contents[0])
    samples.fill(store.replica(ROOT, infos[0]), raw, range(3))
    replica = store.replica(ROOT, infos[1], newest=True)
    offers = replica.offers(range(4))
    assert offers[:2] == (blocks.digest(raw[0]), blocks.digest(raw[1]))
    assert offers[2:] == (b"", b"")  # the last chunk was shorter


def test_chunks_whose_blocks_were_written_in_another_order_are_kept(store: Store) -> None:
    former = Version(ROWS % 1000)
    complete(store, former)
    new = Version(ROWS % 1000, 2)
    new.raw = [_turned(chunk) for chunk in new.raw]
    assert new.raw[0] != former.raw[0]
    kept, sent = new.fetched(new.opened(store))
    assert (len(kept), sent) == (12, [])


def test_frames_whose_chunks_have_other_bytes_have_another_layout(store: Store) -> None:
    """Else a download could go on with the bytes of another one."""
    former = Version(ROWS % 1000)
    former.fetched(former.opened(store))
    new = Version(ROWS % 1000, 2)
    new.raw = [_turned(chunk) for chunk in new.raw]
    kept = complete(store, new).sealed
    store.forget(ROOT, new.info.path)
    fetched = complete(store, new).sealed
    assert kept.size == fetched.size
    assert kept.pread(kept.size, 0) != fetched.pread(kept.size, 0)
    assert kept.layout != fetched.layout


def _turned(chunk: bytes) -> bytes:
    """A chunk of two blocks with the second one in front."""
    first, second = np.frombuffer(chunk, "<i4", 2, 32).tolist()
    first, second = sorted((first, second))
    size = len(chunk) - second
    turned = chunk[:32] + np.array([first + size, first], "<i4").tobytes()
    turned += chunk[second:] + chunk[first:second]
    np.testing.assert_array_equal(
        np.frombuffer(blosc2.decompress2(turned), "i8"),
        np.frombuffer(blosc2.decompress2(chunk), "i8"),
    )
    return turned


def test_chunks_that_no_version_was_read_of_stay_for_later_ones(store: Store) -> None:
    complete(store, Version(ROWS[:3]))
    for number in range(4, 13):
        version = Version(ROWS[:number], number)
        version.fetched(version.opened(store), [number - 2, number - 1])
    last = Version(ROWS, 13)
    kept, sent = last.fetched(last.opened(store))
    assert (len(kept), sent) == (12, [])
    assert len(list(last.opened(store).file.parent.iterdir())) == 2


def test_after_a_restart_they_are_still_there(store: Store, tmp_path: Path) -> None:
    complete(store, Version(ROWS[:10]))
    Version(ROWS[:11], 2).opened(store)
    store = reopened(store, tmp_path)
    new = Version(ROWS[:11], 2)
    kept, _ = new.fetched(new.opened(store), [0, 1])
    assert kept == [0, 1]
    store = reopened(store, tmp_path)
    replica = new.opened(store)
    assert replica.read(np.arange(2)) == new.raw[:2]
    newer = Version(ROWS[:12], 3)
    kept, sent = newer.fetched(newer.opened(store))
    assert (kept, sent) == (list(range(10)), [10, 11])


def test_a_version_that_is_not_the_newest_takes_nothing_over(store: Store) -> None:
    new = complete(store, Version(ROWS, 2))
    old = Version(ROWS[:10]).opened(store, newest=False)
    assert old.offers(range(10)) == ()
    assert new.read(np.arange(12)) is not None
    assert len(store.known_versions(ROOT, new.info.path)) == 2


def test_the_last_version_stays_until_the_new_one_is_read(store: Store) -> None:
    former = complete(store, Version(ROWS[:10]))
    store.forget(ROOT, former.info.path, "v2")
    assert [info.etag for info in store.known_versions(ROOT, former.info.path)] == ["v1"]
    Version(ROWS, 2).opened(store)
    assert [info.etag for info in store.known_versions(ROOT, former.info.path)] == ["v2"]
    store.forget(ROOT, former.info.path)
    assert store.known_versions(ROOT, former.info.path) == []


# --- readers of the former version ---


def test_readers_of_the_former_version_are_not_disturbed(store: Store) -> None:
    former = complete(store, Version(ROWS[:10]))
    sealed, scope = former.sealed, ReadScope(DEFAULTS.cache)
    part = normalise(slice(2, 3), former.info.shape)
    np.testing.assert_array_equal(slices.values(former, part, (), scope), ROWS[2:3])
    values = ROWS[:12].copy()
    values[2] = 0
    new = complete(store, Version(values, 2))
    np.testing.assert_array_equal(blosc2.open(str(new.file))[:], values)
    assert former.read(np.arange(10)) == Version(ROWS[:10]).raw
    np.testing.assert_array_equal(slices.values(former, part, (), scope), ROWS[2:3])
    np.testing.assert_array_equal(cut(former, 0, 10), ROWS[:10])
    frame = sealed.pread(sealed.size, 0)
    np.testing.assert_array_equal(samples.opened(frame), ROWS[:10])


def test_a_cut_during_which_the_next_version_was_sealed_is_made_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = complete(store, Version(ROWS[:10]))
    cutting = slices.cut

    def late(array: Any, part: Any) -> Any:
        monkeypatch.setattr(slices, "cut", cutting)
        complete(store, Version(ROWS + 1, 2))
        return cutting(array, part) * 0  # whatever Blosc2 makes of the other header

    monkeypatch.setattr(slices, "cut", late)
    monkeypatch.setattr(slices, "_takes_most", lambda *_: False)
    part = normalise(slice(2, 3), former.info.shape)
    np.testing.assert_array_equal(slices.values(former, part), ROWS[2:3])
    assert former.file is None


def test_the_former_version_writes_nothing_into_the_file_any_more(store: Store) -> None:
    former = Version(ROWS[:10])
    old = former.opened(store)
    samples.fill(old, former.raw, range(5))
    new = Version(ROWS, 2).opened(store)
    before = new.file.stat().st_size
    samples.fill(old, former.raw, range(5, 10))
    assert old.read(np.arange(10)) == former.raw  # from memory
    assert new.file.stat().st_size == before
    assert old.file is None


def test_a_former_version_that_is_not_sealed_can_be_sealed_no_more(store: Store) -> None:
    former = Version(ROWS[:10])
    old = former.opened(store)
    samples.fill(old, former.raw, range(10))
    Version(ROWS, 2).opened(store)
    with pytest.raises(StaleVersion):
        old.seal()
    old.keep()
