"""Items as plain JSON: what browsers and spreadsheets have of each dtype."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from caterva2.arrays import plain_items

BEYOND = np.array([0x110000, 0xD800, 65], "<u4").tobytes()
CASES: list[tuple[Any, list[Any]]] = [
    (np.array([True, False]), [True, False]),
    (np.array([-(2**31), 7], ">i4"), [-(2**31), 7]),
    (np.array([2**53 - 1, 2**53, -(2**53)]), [2**53 - 1, "9007199254740992", "-9007199254740992"]),
    (np.array([2**64 - 1], "u8"), ["18446744073709551615"]),
    (np.array([0.1, math.nan, -math.inf], ">f4"), [0.1, "NaN", "-Infinity"]),
    (np.array([1.1, math.inf], "f2"), [1.1, "Infinity"]),
    (np.array([0.1, 1e300]), [0.1, 1e300]),
    (np.array([0.5, math.nan], "g"), [0.5, "NaN"]),
    (np.array([1 + 2j, complex(math.nan, -math.inf)], "c8"), [[1.0, 2.0], ["NaN", "-Infinity"]]),
    (np.array(["2020-01-01T01:02", "NaT"], "M8[s]"), ["2020-01-01T01:02:00", "NaT"]),
    (np.array([5, "NaT"], "m8[s]"), [5, "NaT"]),
    (np.array([5, -(2**63)]).view("M8"), [5, "NaT"]),
    (np.array([b"a\\b", b"\xff\xc3\xa9"]), ["a\\\\b", "\\xff\u00e9"]),
    (np.array(["\u00e9\U0001f600", ""], ">U3"), ["\u00e9\U0001f600", ""]),
    (np.frombuffer(BEYOND, "<U3"), ["\ufffd\ufffdA"]),
    (np.array([b"\x01\xff"], "V2"), ["01ff"]),
]


@pytest.mark.parametrize(("values", "expected"), CASES, ids=lambda c: getattr(c, "dtype", None))
def test_items_of_each_dtype(values: Any, expected: list[Any]) -> None:
    assert plain_items.items(values) == expected
    assert [type(item) for item in plain_items.items(values)] == [type(item) for item in expected]


def test_a_long_double_that_is_no_double_keeps_its_digits() -> None:
    value = np.longdouble(1) / 3
    [text] = plain_items.items(np.array([value]))
    assert np.longdouble(text) == value


def test_records_are_dictionaries() -> None:
    dtype = np.dtype([("a", "i1"), ("b", [("x", "f4"), ("y", "S2", (2, 1))])])
    values = np.array([(1, (0.1, [[b"p"], [b"q"]]))], dtype)
    assert plain_items.items(values) == [{"a": 1, "b": {"x": 0.1, "y": [["p"], ["q"]]}}]
    assert plain_items.leaves(dtype) == 4


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 0, 3), (0,)])
def test_axes_are_lists_within_lists(shape: tuple[int, ...]) -> None:
    values = np.arange(math.prod(shape), dtype="i4").reshape(shape)
    assert plain_items.nested(values) == values.tolist()
