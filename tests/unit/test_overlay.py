"""Chunks in memory that the disk would not take."""

from __future__ import annotations

from caterva2.cache.memory.overlay import Overlay


def test_chunks_are_held_by_owner_and_number() -> None:
    overlay = Overlay(100)
    assert not overlay
    overlay.put(1, 5, b"a")
    overlay.put(2, 5, b"b")
    assert overlay
    assert (overlay.get(1, 5), overlay.get(2, 5), overlay.get(1, 6)) == (b"a", b"b", None)


def test_the_least_recently_used_go_first() -> None:
    overlay = Overlay(20)
    overlay.put(1, 0, bytes(10))
    overlay.put(1, 1, bytes(10))
    overlay.get(1, 0)
    overlay.put(1, 2, bytes(10))
    assert [overlay.get(1, n) is None for n in range(3)] == [False, True, False]


def test_a_chunk_put_again_counts_once() -> None:
    overlay = Overlay(20)
    overlay.put(1, 0, bytes(10))
    overlay.put(1, 1, bytes(10))
    overlay.put(1, 0, bytes(10))
    assert overlay.get(1, 1) == bytes(10)


def test_the_last_chunk_is_held_however_large_it_is() -> None:
    overlay = Overlay(20)
    overlay.put(1, 0, bytes(10))
    overlay.put(1, 1, bytes(30))
    assert (overlay.get(1, 0), overlay.get(1, 1)) == (None, bytes(30))


def test_an_owner_is_forgotten_with_the_room_of_its_chunks() -> None:
    overlay = Overlay(20)
    overlay.put(1, 0, bytes(10))
    overlay.put(2, 0, bytes(10))
    overlay.forget(1)
    assert overlay.get(1, 0) is None
    overlay.put(2, 1, bytes(10))
    assert overlay.get(2, 0) == bytes(10)
    overlay.forget(2)
    assert not overlay
