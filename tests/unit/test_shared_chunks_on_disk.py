"""Chunks shared by versions of a dataset: damage, failing disks, and the room that they take."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest
from cachedversions import ROOT, ROWS, Version, complete, files, reopened, size

from caterva2.cache.index import Index
from caterva2.cache.store import Store
from caterva2.errors import Damaged
from tests.thoroughness import some

# --- damage ---


def test_a_damaged_chunk_of_the_former_version_is_not_offered(store: Store) -> None:
    old = complete(store, Version(ROWS[:10]))
    content = bytearray(old.file.read_bytes())
    content[content.find(Version(ROWS[:10]).raw[3]) + 60] ^= 1
    old.file.write_bytes(content)
    new = Version(ROWS[:10], 2)
    assert new.opened(store).offers([3]) == ()
    kept, sent = new.fetched(new.opened(store))
    assert sent == [3]
    assert len(kept) == 9


def test_no_damaged_bit_of_the_index_confirms_a_chunk(store: Store, tmp_path: Path) -> None:
    complete(store, Version(ROWS[:10]))
    new = Version(np.zeros_like(ROWS[:10]), 2)
    index = new.opened(store).file.with_suffix(".index")
    store = reopened(store, tmp_path)
    content = index.read_bytes()
    start = len(content) - 16 * 10
    for bit in some(range(128)):
        damaged = bytearray(content)
        damaged[start + 16 * 2 + bit // 8] ^= 1 << bit % 8
        index.write_bytes(damaged)
        assert new.opened(store).read(np.array([2])) in (None, [new.raw[2]]), f"bit {bit}"
        store.close()  # without a collection of garbage: nothing else refers to the replica
        store = Store(tmp_path / "cache")


def test_a_chunk_that_is_gone_since_it_was_offered_is_not_confirmed(store: Store) -> None:
    complete(store, Version(ROWS))
    replica = Version(ROWS, 2).opened(store)
    replica.withdraw(3)
    with pytest.raises(Damaged, match="chunk 3 of a"):
        replica.confirm(3)


def test_a_chunk_that_can_not_be_decoded_is_not_offered_again(store: Store) -> None:
    new = Version(ROWS, 2)
    complete(store, Version(ROWS))
    replica = new.opened(store)
    new.fetched(replica)
    replica.drop(5)
    assert replica.offers([5]) == ()


def test_an_index_without_its_data_file_counts_for_nothing(store: Store, tmp_path: Path) -> None:
    """A crash between the two steps of taking a file over."""
    old = complete(store, Version(ROWS[:10]))
    new = Version(ROWS, 2)
    base = new.opened(store, newest=False).file.with_suffix("")
    store.remove(base)
    Index.create(base.with_suffix(".index"), ROOT, new.info).close()
    del old
    store = reopened(store, tmp_path)
    kept, sent = new.fetched(new.opened(store))
    assert (len(kept), sent) == (10, [10, 11])


def test_without_room_for_the_index_it_begins_anew(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete(store, Version(ROWS))
    new = Version(ROWS, 2)
    replace = os.replace

    def fail_once(*args: Any) -> None:
        monkeypatch.setattr(os, "replace", replace)
        raise OSError("no")

    monkeypatch.setattr(os, "replace", fail_once)
    kept, sent = new.fetched(new.opened(store))
    assert (kept, len(sent)) == ([], 12)


@pytest.mark.parametrize("step", ["posix_fallocate", "replace"])
def test_a_former_version_that_was_not_taken_over_is_filled_and_sealed(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, step: str
) -> None:
    """The index finds no room, or the data file can't be renamed to its place behind the index."""
    former, new = Version(ROWS), Version(ROWS + 1, 2)
    replica = former.opened(store)
    former.fetched(replica, range(6))
    done = getattr(os, step)

    def full(*args: Any) -> Any:
        if step == "posix_fallocate" or str(args[1]).endswith(".part"):
            raise OSError(28, "No space left on device")
        return done(*args)

    with monkeypatch.context() as broken:
        broken.setattr(os, step, full)
        later = new.opened(store)
    assert later.offers(range(6)) == ()
    new.fetched(later)
    assert replica.read(np.arange(6)) == former.raw[:6]
    former.fetched(replica)
    assert (replica.write_error, replica.complete, replica.succeeded) == ("", True, False)
    replica.seal()
    np.testing.assert_array_equal(blosc2.open(str(replica.file))[:], ROWS)
    replica.keep()
    del replica, later
    store = reopened(store, tmp_path)
    assert former.opened(store).read(former.ids) == former.raw


def test_a_complete_file_is_copied_after_a_chunk_of_it_was_damaged(
    store: Store, tmp_path: Path
) -> None:
    version = Version(ROWS[:3])
    replica = complete(store, version)
    content = bytearray(replica.file.read_bytes())
    content[content.find(version.raw[1]) + 60] ^= 1
    replica.file.write_bytes(content)
    del replica
    store = reopened(store, tmp_path)
    replica = version.opened(store)
    assert replica.verify(version.ids).tolist() == [1]
    assert version.fetched(replica) == ([], [1])
    replica.renew()
    del replica
    store = reopened(store, tmp_path)
    assert version.opened(store).read(version.ids) == version.raw


# --- the room that it takes ---


def test_a_sealed_version_has_no_bytes_of_the_former_one(store: Store) -> None:
    complete(store, Version(ROWS))
    new = Version(ROWS + 1, 2)
    replica = complete(store, new)
    content = replica.file.read_bytes()
    assert len(content) < 1.1 * sum(map(len, new.raw)) + 1000
    assert content.index(new.raw[0]) < content.index(new.raw[1])
    np.testing.assert_array_equal(blosc2.open(str(replica.file))[:], ROWS + 1)
    assert replica.read(new.ids) == new.raw


def test_a_chunk_that_is_rewritten_again_and_again_does_not_grow_the_file(store: Store) -> None:
    values = ROWS.copy()
    complete(store, Version(values))
    for number in range(2, 30):
        values[11] += 1
        new = Version(values, number)
        replica = new.opened(store)
        new.fetched(replica, [11])
        if replica.wasteful:
            replica.renew()
    assert not replica.wasteful
    assert size(store, new) < 1.6 * sum(map(len, new.raw))
    kept, sent = new.fetched(replica)
    assert (len(kept), sent) == (11, [])


def test_chunks_that_arrive_while_the_others_are_copied_are_there(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete(store, Version(ROWS))
    new = Version(ROWS + 1, 2)
    replica = new.opened(store)
    new.fetched(replica, range(9))
    copied, arrived = os.copy_file_range, []

    def busy(*args: Any) -> int:
        if not arrived:
            arrived.append(9)
            new.fetched(replica, [9])
        return copied(*args)

    monkeypatch.setattr(os, "copy_file_range", busy)
    before = replica.file.stat().st_size
    replica.renew()
    assert arrived
    assert replica.file.stat().st_size < before
    assert replica.read(np.arange(10)) == new.raw[:10]
    assert new.fetched(replica) == ([], [10, 11])


def test_file_systems_that_can_not_copy_leave_it_to_us(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def can_not(*_: Any) -> int:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "copy_file_range", can_not)
    complete(store, Version(ROWS))
    replica = complete(store, Version(ROWS + 1, 2))
    assert replica.file.stat().st_size < 1.1 * replica.cached_bytes + 1000
    np.testing.assert_array_equal(blosc2.open(str(replica.file))[:], ROWS + 1)


def test_without_room_for_a_copy_it_is_sealed_as_it_is(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    complete(store, Version(ROWS))
    monkeypatch.setattr(os, "copy_file_range", full)
    replica = complete(store, Version(ROWS + 1, 2))
    np.testing.assert_array_equal(blosc2.open(str(replica.file))[:], ROWS + 1)
    assert not list(replica.file.parent.glob("*.copy"))


def test_the_quota_counts_a_file_that_was_taken_over_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache", 2**30)
    complete(store, Version(ROWS))
    for number in (2, 3):
        Version(ROWS + 1, number).opened(store)
        assert store.quota.used == files(store)
    replica = complete(store, Version(ROWS + 1, 4))
    assert 0 <= files(store) - store.quota.used < 1000  # what is behind the chunks
    store.forget(ROOT, replica.info.path)
    assert store.quota.used == 0
