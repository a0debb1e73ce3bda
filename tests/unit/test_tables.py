"""Rows of tables against numpy: filters, their grammar and types, and orders."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from caterva2.arrays import tables
from caterva2.errors import BadRequest

OPERATORS = {
    "==": np.equal, "!=": np.not_equal, "<": np.less, "<=": np.less_equal, ">": np.greater,
    ">=": np.greater_equal,
}  # fmt: skip
RNG = np.random.default_rng(4)
COLUMNS: dict[str, tuple[Any, list[str]]] = {
    "small": (np.arange(-5, 6, dtype=np.int8), ["3", "-3", "300", "2.5", "-1e9", "inf"]),
    "large": (np.array([2**53, 2**53 + 1, 2**63 - 1, -(2**63)]), [str(2**53 + 1), str(2**63)]),
    "unsigned": (np.array([0, 2**63, 2**64 - 1], np.uint64), [str(2**63), "-1", str(2**64)]),
    "floats": (np.array([0.1, np.nan, -np.inf, np.inf, 7]), ["0.1", "7", "inf", "-inf", "1e308"]),
    "single": (np.array([0.1, 0.25, 1e30], ">f4"), ["0.1", "0.25", "1e300"]),
    "flags": (np.array([True, False]), ["true", "0"]),
    "texts": (np.array(["a", "b b", "", "ä"]), ["a", "b b", "ä"]),
    "bytes": (np.array([b"a", b"xyz"]), ["xyz", "b"]),
    "dates": (np.array(["2020-01-01", "NaT", "2021-06-01"], "M8[s]"), ["2020-01-01", "2021"]),
    "times": (np.array([5, 7, -3], "m8[s]"), ["5", "-3"]),
}


def value_of(text: str, dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "U":
        return text
    if dtype.kind == "S":
        return text.encode()
    if dtype.kind == "b":
        return text in ("true", "1")
    if dtype.kind == "M":
        return np.datetime64(text)
    if dtype.kind == "m":
        return np.timedelta64(int(text), "s")
    number = float(text)
    if dtype.kind in "iu":
        return int(text) if text.lstrip("-").isdigit() else number
    with np.errstate(over="ignore"):
        return dtype.type(number)


@pytest.mark.parametrize("name", COLUMNS)
def test_each_comparison_is_that_of_numpy(name: str) -> None:
    column, texts = COLUMNS[name]
    for text, op in itertools.product(texts, OPERATORS):
        (condition,) = tables.conditions(f"{name} {op} '{text}'")
        assert condition == tables.Condition(name, op, text)
        expected = OPERATORS[op](column, value_of(text, column.dtype))
        assert condition.test(column.dtype)(column).tolist() == expected.tolist(), (text, op)


@pytest.mark.parametrize("dtype, text", [("f8", "NaN"), ("M8[s]", "NaT"), ("m8[s]", "nat")])
def test_missing_values_equal_each_other_and_have_no_order(dtype: str, text: str) -> None:
    column = np.array(["NaT" if dtype[0] in "mM" else np.nan, 5], dtype)
    (equal,) = tables.conditions(f"a = {text}")
    (other,) = tables.conditions(f"a != {text}")
    assert equal.test(column.dtype)(column).tolist() == [True, False]
    assert other.test(column.dtype)(column).tolist() == [False, True]
    with pytest.raises(BadRequest, match="neither more nor less"):
        tables.conditions(f"a < {text}")[0].test(column.dtype)


@pytest.mark.parametrize(
    "text, names",
    [
        ("n>5", ["n"]),
        ("a.b >= 1e3&c=x and d != 'and & or'", ["a.b", "c", "d"]),
        (r"'odd \' name' == \"a \\ b\"", ["odd ' name"]),
        ("and = 1 and and = 2", ["and", "and"]),
        (" t < 2020-01-01T10:00 && u=1 ", ["t", "u"]),
        ("ä=1", ["ä"]),
    ],
)
def test_conditions_are_joined_by_and(text: str, names: list[str]) -> None:
    assert [one.name for one in tables.conditions(text.replace('\\"', '"'))] == names


@pytest.mark.parametrize(
    "text",
    ["", "n", "n >", "> 5", "n > 5 &", "n > 5 or m > 6", "n > 5 m > 6", "n >> 5", "n > (5)",
     "__import__('os')", "n > 'x", "n > 5; m", "n" * 3000, "&".join(["n>1"] * 21), "n > 5 &&& m>1"],
)  # fmt: skip
def test_what_is_no_filter_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="filter"):
        tables.conditions(text)


@pytest.mark.parametrize(
    "dtype, text",
    [("i4", "x"), ("i4", "0x10"), ("f8", "1_0"), ("?", "yes"), ("M8[s]", "now"), ("m8[s]", "1.5"),
     ("c16", "1"), ("V4", "a"), ("(2,)i4", "1"), ("i4", "nan")],
)  # fmt: skip
def test_a_value_of_another_type_is_refused(dtype: str, text: str) -> None:
    with pytest.raises(BadRequest, match=r"filter: .*(is no|not compared|neither)"):
        tables.conditions(f"a < '{text}'")[0].test(np.dtype([("a", dtype)])["a"])


@pytest.mark.parametrize("dtype", ["i1", ">i4", "u8", "f4", ">f8", "?", "U3", "S3", "M8[s]"])
def test_an_order_is_stable_both_ways_with_missing_values_last(dtype: str) -> None:
    numbers = RNG.integers(0, 20, 200)
    values = (numbers > 9 if dtype == "?" else numbers).astype(dtype)
    missing = np.zeros(200, bool)
    if values.dtype.kind in "fM":
        missing[::7] = True
        values[missing] = np.nan if values.dtype.kind == "f" else np.datetime64("NaT", "s")
    rows = values.tolist()
    up = sorted(np.flatnonzero(~missing).tolist(), key=lambda n: rows[n])
    down = sorted(np.flatnonzero(~missing).tolist(), key=lambda n: rows[n], reverse=True)
    last = np.flatnonzero(missing).tolist()
    assert tables.order(values, backwards=False).tolist() == up + last
    assert tables.order(values, backwards=True).tolist() == down + last


@pytest.mark.parametrize(
    "values", [np.zeros(3, "c8"), np.zeros((3, 2)), np.zeros(2, [("a", "i4")])]
)
def test_what_has_no_order_is_refused(values: Any) -> None:
    with pytest.raises(BadRequest, match="no order"):
        tables.order(values, backwards=False)


@pytest.mark.parametrize("dtype", ["i4", "u8", "f4", "f8"])
def test_an_integer_beyond_all_doubles_is_more_than_any_value(dtype: str) -> None:
    below, above = tables.conditions(f"a < {'9' * 400} & a > {'9' * 400}")
    values = np.array([0, 100], dtype)
    assert below.test(values.dtype)(values).all() and not above.test(values.dtype)(values).any()
