"""The room of the cache: what is counted, and which replicas go first."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from caterva2.cache.quota import Quota
from caterva2.limits import CacheLimits


def replica(directory: Path, name: str, size: int, used_at: float = 0.0) -> Path:
    """Write the files of a replica, of some bytes together; their name without a suffix."""
    for suffix, part in ((".data", size - 10), (".index", 10)):
        file = directory / f"{name}{suffix}"
        file.write_bytes(bytes(part))
        os.utime(file, (used_at, used_at))
    return directory / name


def test_what_an_earlier_run_left_counts_oldest_first(tmp_path: Path) -> None:
    new, old = replica(tmp_path, "new", 30, 2e9), replica(tmp_path, "old", 40, 1e9)
    quota = Quota(tmp_path, 100)
    assert quota.used == 70
    assert quota.to_evict(40, tmp_path / "x") == [old]
    assert quota.to_evict(100, tmp_path / "x") == [old, new]


def test_without_a_limit_nothing_is_counted_or_evicted(tmp_path: Path) -> None:
    replica(tmp_path, "a", 30)
    quota = Quota(tmp_path, 0)
    assert quota.used == 0
    assert quota.has_room(2**60)
    assert quota.to_evict(2**60, tmp_path / "x") == []
    quota.touch(tmp_path / "nothing")


def test_room_is_what_the_limit_and_the_reservation_leave(tmp_path: Path) -> None:
    quota = Quota(tmp_path, 100)
    assert quota.has_room(100)
    assert not quota.has_room(101)
    quota.reserve(60)
    assert quota.has_room(40)
    assert not quota.has_room(41)
    quota.reserve(200)
    assert quota.has_room(0)
    assert not quota.has_room(1)


def test_bytes_are_taken_up_to_the_limit_and_given_back(tmp_path: Path) -> None:
    quota = Quota(tmp_path, 100)
    a, b = tmp_path / "a", tmp_path / "b"
    quota.take(a, 60)
    quota.take(a, 10)
    quota.take(b, 30)
    assert quota.used == 100
    with pytest.raises(OSError, match="the quota of 100 bytes is used up") as refused:
        quota.take(b, 1)
    assert refused.value.errno == errno.EDQUOT
    quota.drop(a)
    assert quota.used == 30
    quota.drop(a)
    assert quota.used == 30


def test_the_least_recently_used_go_until_a_tenth_is_free(tmp_path: Path) -> None:
    quota = Quota(tmp_path, 100)
    names = [replica(tmp_path, name, 10) for name in "abcde"]
    for name in names:
        quota.take(name, 20)
    quota.touch(names[0])
    assert quota.to_evict(0, tmp_path / "x") == []
    assert quota.to_evict(1, tmp_path / "x") == names[1:2]
    assert quota.to_evict(11, tmp_path / "x") == names[1:3]


def test_nothing_more_goes_than_has_to(tmp_path: Path) -> None:
    quota = Quota(tmp_path, 100)
    names = [replica(tmp_path, name, 10) for name in "abc"]
    for name in names:
        quota.take(name, 30)
    assert quota.to_evict(30, tmp_path / "x") == names[:1]  # 60 stay, and 30 are new


def test_a_replica_that_is_opened_takes_nothing_by_that(tmp_path: Path) -> None:
    quota = Quota(tmp_path, 100)
    opened = replica(tmp_path, "a", 10)
    quota.touch(opened)
    quota.take(tmp_path / "b", 100)
    assert quota.to_evict(1, tmp_path / "x") == [opened, tmp_path / "b"]
    quota.drop(opened)
    assert quota.used == 100


def test_the_replica_that_is_being_filled_stays(tmp_path: Path) -> None:
    quota = Quota(tmp_path, 100)
    filled, other = tmp_path / "filled", tmp_path / "other"
    quota.take(filled, 60)
    quota.take(other, 40)
    assert quota.to_evict(20, filled) == [other]
    assert quota.to_evict(1000, filled) == [other]


def test_evicting_begins_and_ends_where_the_settings_say(tmp_path: Path) -> None:
    quota = Quota(tmp_path, 100, CacheLimits(quota_high=80, quota_low=40))
    names = [replica(tmp_path, name, 10) for name in "abcd"]
    for name in names:
        quota.take(name, 20)
    assert quota.to_evict(0, tmp_path / "x") == []
    assert not quota.has_room(1)
    assert quota.to_evict(10, tmp_path / "x") == names[:3]  # 20 stay, and 10 are new
    quota.take(names[0], 20)  # what can't be evicted may take all of the quota
