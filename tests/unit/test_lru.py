"""The mapping that drops its least recently used entries."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from caterva2.runtime.lru import Lru


def test_the_least_recently_used_entry_goes_first() -> None:
    lru: Lru[str, int] = Lru(2)
    lru.put("a", 1)
    lru.put("b", 2)
    assert lru.get("a") == 1
    lru.put("c", 3)
    assert list(lru) == ["a", "c"]
    assert lru.get("b") is None


def test_peek_and_contains_do_not_count_as_use() -> None:
    lru: Lru[str, int] = Lru(2)
    lru.put("a", 1)
    lru.put("b", 2)
    assert lru.peek("a") == 1
    assert "a" in lru
    lru.put("c", 3)
    assert "a" not in lru
    assert lru.peek("a") is None


def test_none_is_a_value_where_a_default_is_given() -> None:
    lru: Lru[str, None] = Lru(2)
    lru.put("a", None)
    assert lru.get("a", "absent") is None
    assert lru.get("b", "absent") == "absent"


def test_sizes_are_summed_and_bound() -> None:
    lru: Lru[str, bytes] = Lru(10, len)
    lru.put("a", b"1234")
    lru.put("b", b"12345")
    assert lru.size == 9
    lru.put("c", b"12")
    assert (list(lru), lru.size) == (["b", "c"], 7)
    lru.put("b", b"1")  # a new value counts instead of the old one
    assert (list(lru), lru.size) == (["c", "b"], 3)
    assert lru.pop("c") == b"12"
    assert lru.pop("c") is None
    assert lru.size == 1
    lru.clear()
    assert (len(lru), lru.size) == (0, 0)


def test_a_value_larger_than_the_bound_is_not_held_and_evicts_nothing() -> None:
    lru: Lru[str, bytes] = Lru(4, len)
    lru.put("a", b"123")
    lru.put("b", b"12345")
    assert list(lru) == ["a"]
    lru.put("a", b"12345")  # nor does the old one stay
    assert (len(lru), lru.size) == (0, 0)


def test_the_newest_value_can_be_kept_however_large() -> None:
    lru: Lru[str, bytes] = Lru(4, len, keep_newest=True)
    lru.put("a", b"123")
    lru.put("b", b"12345")
    assert (list(lru), lru.size) == (["b"], 5)
    lru.put("c", b"1")
    assert (list(lru), lru.size) == (["c"], 1)


def test_evicted_entries_are_reported_and_removed_ones_are_not() -> None:
    evicted: list[tuple[str, int]] = []
    lru: Lru[str, int] = Lru(1, on_evict=lambda key, value: evicted.append((key, value)))
    lru.put("a", 1)
    lru.put("a", 2)
    lru.put("b", 3)
    lru.pop("b")
    lru.put("c", 4)
    lru.clear()
    assert evicted == [("a", 2)]


def test_keys_may_be_removed_while_iterating() -> None:
    lru: Lru[int, int] = Lru(9)
    for n in range(9):
        lru.put(n, n)
    for n in lru:
        if n % 2:
            lru.pop(n)
    assert list(lru) == [0, 2, 4, 6, 8]


@given(st.lists(st.tuples(st.sampled_from("gpx"), st.integers(0, 5), st.integers(0, 6))))
def test_it_is_an_ordered_dict_with_a_bound(steps: list[tuple[str, int, int]]) -> None:
    lru: Lru[int, int] = Lru(8, lambda value: value)
    model: OrderedDict[int, int] = OrderedDict()
    for what, key, value in steps:
        if what == "g":
            assert lru.get(key) == model.get(key)
            if key in model:
                model.move_to_end(key)
        elif what == "x":
            assert lru.pop(key) == model.pop(key, None)
        else:
            model.pop(key, None)
            model[key] = value
            lru.put(key, value)
            while sum(model.values()) > 8:
                model.popitem(last=False)
        assert list(lru) == list(model)
        assert lru.size == sum(model.values()) <= 8


def test_get_is_safe_beside_a_thread_that_changes_entries() -> None:
    lru: Lru[int, int] = Lru(3)
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            for n in range(8):
                assert lru.get(n) in (None, n)

    with ThreadPoolExecutor(2) as pool:
        looks = [pool.submit(look) for _ in range(2)]
        try:
            for n in range(8_000):
                lru.put(n % 8, n % 8)
        finally:
            ended.set()
    for look_ended in looks:
        look_ended.result()
