"""Expressions over operands: numpy's results, computed piece by piece."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any

import blosc2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caterva2.compute.functions import FUNCTIONS, REDUCTIONS
from caterva2.errors import BadExpression
from tests.thoroughness import examples, some
from tests.unit.computing import (
    CUBE,
    LIMITS,
    SHEET,
    SMALL,
    Array,
    StoredDataset,
    computed,
    plan,
    same,
)

NAMES = {name: getattr(np, name) for name in [*FUNCTIONS, *REDUCTIONS]} | {"nan": math.nan}


def by_numpy(text: str, **operands: Array) -> Any:
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        return eval(text, {}, NAMES | operands)


NAMES |= {
    "bitwise_left_shift": np.left_shift,
    "bitwise_right_shift": np.right_shift,
    "bitwise_invert": np.invert,
    # numpy's gives a plain int, which is no array in what follows.
    "count_nonzero": lambda *given, **more: np.asarray(np.count_nonzero(*given, **more)),
}

TEXTS = [
    "a + b", "a - 1", "-a", "abs(b) ** 2", "a * 2 - b.sum()", "b // 3 + b % 3", "b / 4",
    "(a > b) & ~(b < -3)", "where(a > 3, a, -1)", "clip(b, -2, 300)", "b << 1 | b >> 1",
    "(a - mean(a, axis=1, keepdims=True)) / std(a)", "sum(a, axis=(0, 2))", "sum(a * b, axis=-1)",
    "argmax(a)", "argmin(a, axis=1)", "argmax(b, axis=0, keepdims=True)", "var(a, 1, ddof=1)",
    "a[1:] - a[:-1]", "a[0] + b[::-1, ::-1]", "(a + b)[1, ::2]", "sum((a + b)[:, 1:], axis=0)",
    "min(a)", "max(b, 0)", "any(a > 5, axis=1)", "all(b < 99)", "prod(b, axis=1)",
    "count_nonzero(b, axis=1)", "b.mean()", "mean(b == 1)", "a + sum(a - mean(a)) * 1j",
    "sin(2) * a", "a[1, 2, 3]", "a[..., -1:]", "hypot(a, b) + arctan2(b, a)", "isnan(a / b)",
    "sum(sum(a, axis=0) + b, axis=0)", "(b > 0) * a", "real(a) + imag(a * 1j)", "b + True",
    "b & ~1", "b & (1 | 2) ^ 12 >> 1", "b ^ (3 & 1)", "(b > 0) ^ (True & False)",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_expression_gives_what_numpy_gives(text: str) -> None:
    expected = by_numpy(text, a=CUBE, b=SHEET)
    node = plan(text, a=StoredDataset(CUBE, (2, 2, 3)), b=SHEET)
    same(computed(node, limits=SMALL), expected)


@pytest.mark.parametrize(
    "text", ["a + b", "a * 2 - b.sum()", "sin(a) + b", "sum(a, axis=1)", "b / 4"]
)
def test_expression_gives_what_blosc2_gives(text: str) -> None:
    operands = {"a": blosc2.asarray(CUBE), "b": blosc2.asarray(SHEET)}
    expected = blosc2.lazyexpr(text, {name: operands[name] for name in "ab" if name in text})
    same(computed(plan(text, a=CUBE, b=SHEET)), expected.compute()[()])


shapes = st.sampled_from([(), (1,), (7,), (4, 5), (1, 5), (4, 1), (3, 4, 5), (3, 1, 1), (2, 0, 5)])
dtypes = st.sampled_from(["i1", "u2", "i4", "i8", "u8", "f2", "f4", "f8", "c8", "c16", "?"])


@st.composite
def arrays(draw: st.DrawFn) -> Array:
    shape = draw(shapes)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return np.asarray(rng.integers(0, 9, shape)).astype(draw(dtypes))


def trees(leaf: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def more(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        binary = st.sampled_from(["+", "*", "-", "<", "==", "/"])
        reduction = st.sampled_from(["sum", "max", "mean", "any", "argmin", "var", "count_nonzero"])
        axis = st.sampled_from(["", ", 0", ", -1", ", axis=0, keepdims=True"])
        cut = st.sampled_from(["[0]", "[::-1]", "[..., 1:]", "[1:, ::2]", "[:0]"])
        return (
            st.tuples(inner, binary, inner).map(lambda parts: f"({' '.join(parts)})")
            | st.tuples(st.sampled_from(["sin", "abs", "isnan", "conj"]), inner).map(
                lambda parts: f"{parts[0]}({parts[1]})"
            )
            | st.tuples(reduction, inner, axis).map(lambda p: f"{p[0]}({p[1]}{p[2]})")
            | st.tuples(inner, cut).map("".join)
        )

    return st.recursive(leaf, more, max_leaves=6)


@settings(max_examples=examples(400))
@given(
    text=trees(st.sampled_from(["a", "b", "a", "b", "2", "1.5"])),
    a=arrays(), b=arrays(), memory=st.sampled_from([100, 1000, 10**6]), data=st.data(),
)  # fmt: skip
def test_random_expression_gives_what_numpy_gives(
    text: str, a: Array, b: Array, memory: int, data: st.DataObject
) -> None:
    limits = dataclasses.replace(LIMITS, compute_memory=memory)
    try:
        node = plan(text, a=a, b=b)
    except BadExpression:
        return  # numpy would refuse it too, or it has no operand: see below
    expected = np.asarray(by_numpy(text, a=a, b=b))
    _close(computed(node, limits=limits), expected)
    key = tuple(
        data.draw(st.integers(0, size - 1) if size else st.just(slice(None)))
        if data.draw(st.booleans())
        else slice(data.draw(st.integers(0, 3)), None, data.draw(st.sampled_from([1, 2, -1])))
        for size in expected.shape
    )
    _close(computed(node, key, limits=limits), expected[key])


def _close(found: Array, expected: Any) -> None:
    expected = np.asarray(expected)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    if expected.dtype.kind == "f" and expected.dtype.itemsize == 2:
        return  # numpy itself adds these in steps that lose much
    eps = 1e-4 if expected.dtype.itemsize in (4, 8) else 1e-9
    np.testing.assert_allclose(found, expected, rtol=eps, atol=eps)


@settings(max_examples=examples(150))
@given(
    name=st.sampled_from(sorted(REDUCTIONS)), dtype=dtypes,
    specials=st.lists(st.sampled_from([0, 1, 2, 2, np.nan, np.inf]), min_size=1, max_size=24),
    axis=st.sampled_from(["", ", 0", ", 1"]), memory=st.sampled_from([100, 10**6]),
)  # fmt: skip
def test_reduction_meets_what_is_undefined_as_numpy_does(
    name: str, dtype: str, specials: list[float], axis: str, memory: int
) -> None:
    with np.errstate(all="ignore"):
        values = np.array(specials * 2).astype(dtype).reshape(2, -1)
    if np.dtype(dtype).kind == "c" or dtype == "f2":
        values = np.nan_to_num(values, nan=5, posinf=3)
    limits = dataclasses.replace(LIMITS, compute_memory=memory)
    node = plan(f"{name}(a{axis})", a=StoredDataset(values, (1, 3)))
    _close(computed(node, limits=limits), by_numpy(f"{name}(a{axis})", a=values))


@pytest.mark.parametrize(("name", "first"), [(name, n) for n, name in enumerate(sorted(FUNCTIONS))])
def test_every_function_is_numpys(name: str, first: int) -> None:
    for dtype in some((np.float64, np.int16, bool), 3, first):
        given = [np.array([0, 1, 1]).astype(dtype)] * FUNCTIONS[name].count
        operands = dict(zip("abc", given, strict=False))
        text = f"{name}({', '.join(operands)})"
        try:
            expected = by_numpy(text, **operands)
        except TypeError:
            with pytest.raises(BadExpression, match="Runtime error"):
                plan(text, **operands)
            continue
        same(computed(plan(text, **operands)), expected)


def test_fields_of_records_are_operands() -> None:
    records = np.zeros(6, [("x", "f4"), ("in", [("y", "i8")])])
    records["x"], records["in"]["y"] = np.arange(6), 3
    found = computed(plan("a['x'][1:] * a['in.y'][0]", a=records))
    same(found, records["x"][1:] * np.int64(3))


def test_times_are_compared_and_subtracted() -> None:
    times = np.array(["2020-01-01", "2021-06-01", "NaT"], "M8[s]")
    same(computed(plan("a - a[0]", a=times)), times - times[0])
    same(computed(plan("(a > b).sum()", a=times, b=times[::-1].copy())), 0)
    same(computed(plan("min(a[:2])", a=times)), times[0])
