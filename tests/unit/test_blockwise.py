"""Chunks of results that are computed of whole chunks of operands, in the order of their blocks"""

from __future__ import annotations

from typing import Any

import blosc2
import numpy as np
import pytest
import samples

from caterva2.arrays import selection
from caterva2.arrays.selection import Selection
from caterva2.compute import blockwise, planning, syntax
from caterva2.compute.plans import Plan
from caterva2.frames import packing
from caterva2.model import DatasetInfo

GRID: Any = {"chunks": (4, 6), "blocks": (2, 3)}
A = np.random.default_rng(0).normal(size=(8, 12)).round(3)
B = np.random.default_rng(1).integers(-9, 9, (8, 12)).astype("i2")
A[0, :3] = np.nan, np.inf, 0
FRAMES = {"a": samples.array_frame(A, **GRID), "b": samples.array_frame(B, **GRID)}
INFOS = {name: samples.describe(frame) for name, frame in FRAMES.items()}


def planned(text: str, **infos: DatasetInfo) -> Plan:
    given = {**INFOS, **infos}
    return planning.plan(
        syntax.parse(text), {name: planning.operand(info, name) for name, info in given.items()}
    )


def result(node: Plan, **grid: Any) -> DatasetInfo:
    """Describe the result of a plan."""
    frame = samples.array_frame(np.zeros(node.shape, node.dtype), **(GRID | grid))
    return samples.describe(frame)


def part(info: DatasetInfo, n: int) -> Selection:
    rows, columns = n // 2 * 4, n % 2 * 6
    return selection.normalise((slice(rows, rows + 4), slice(columns, columns + 6)), info.shape)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a * 2 + 1", lambda a, b: a * 2 + 1),
        ("sin(a) + cos(a)**2", lambda a, b: np.sin(a) + np.cos(a) ** 2),
        ("a + b", lambda a, b: a + b),
        ("where(a < b, a, 0)", lambda a, b: np.where(a < b, a, 0)),
        ("b * b // 3", lambda a, b: b * b // 3),
        ("isnan(a)", lambda a, b: np.isnan(a)),
        ("real(a)", lambda a, b: a),
    ],
)
def test_values_are_numpys(text: str, expected: Any) -> None:
    node = planned(text)
    info = result(node)
    with np.errstate(all="ignore"):
        wanted = expected(A, B)
    for n in range(4):
        names = blockwise.operands(node, info, part(info, n))
        assert names
        stored = {name: samples.raw_chunks(FRAMES[name])[n] for name in names}
        made = blockwise.chunk(node, info, stored)
        assert made is not None
        where = tuple(slice(axis.start, axis.stop) for axis in part(info, n).axes)  # type: ignore[union-attr]
        values = np.ascontiguousarray(wanted[where], node.dtype)
        assert blosc2.decompress2(made) == blosc2.decompress2(
            packing.pack(values, info.blocks, info.cparams)
        )


def test_damaged_chunk_is_left_to_the_general_case() -> None:
    frame = samples.array_frame(np.arange(4096.0).reshape(64, 64), chunks=(64, 64), blocks=(32, 32))
    info = samples.describe(frame)
    node = planned("a + 1", a=info)
    [raw] = samples.raw_chunks(frame)
    assert blockwise.chunk(node, info, {"a": raw}) is not None
    assert blockwise.chunk(node, info, {"a": raw[:32] + b"\xff" * (len(raw) - 32)}) is None


@pytest.mark.parametrize(
    "text", ["a", "a + sum(b)", "a[:4, :6] + 1", "a[::-1] + 1", "(a + b)[:4, :6]", "a + 1"]
)
def test_plans_that_are_not_elementwise_over_whole_operands_are_left(text: str) -> None:
    node = planned(text)
    info = result(node)
    assert bool(blockwise.operands(node, info, part(info, 0))) == (text == "a + 1")


def test_other_grids_are_left() -> None:
    node = planned("a + 1")
    for grid in ({"chunks": (8, 6)}, {"blocks": (4, 3)}):
        other = result(node, **grid)
        assert not blockwise.operands(node, other, part(other, 0))
    mixed = planned(
        "a + c", c=samples.describe(samples.array_frame(A, chunks=(4, 6), blocks=(4, 6)))
    )
    assert not blockwise.operands(mixed, result(mixed), part(result(mixed), 0))
    row = planned("a + c", c=samples.describe(samples.array_frame(A[0], chunks=(6,), blocks=(3,))))
    assert not blockwise.operands(row, result(row), part(result(row), 0))


@pytest.mark.parametrize("grid", [{"chunks": (5, 6), "blocks": (2, 3)}, {"chunks": (3, 12)}])
def test_padded_chunks_are_left(grid: Any) -> None:
    infos = {"a": samples.describe(samples.array_frame(A, **(GRID | grid)))}
    node = planned("a + 1", **infos)
    info = result(node, **grid)
    rows = info.chunks[0]
    last = selection.normalise((slice(8 // rows * rows, 8), slice(0, info.chunks[1])), info.shape)
    assert not blockwise.operands(node, info, last)
    padded = packing.padded_shape(info.chunks, info.blocks) != info.chunks
    first = selection.normalise((slice(0, rows), slice(0, info.chunks[1])), info.shape)
    assert bool(blockwise.operands(node, info, first)) is not padded


def test_a_square_is_the_product() -> None:
    values = np.array([-3.3, 1e200, np.nan, -np.inf, 1e-300, -0.0])
    with np.errstate(all="ignore"):
        product = values * values
    for exponent in (2, 2.0):
        np.testing.assert_array_equal(planning.apply("pow", [values, exponent]), product)
        raised = planning.apply("pow", [values[:1], np.full(1, exponent)])
        np.testing.assert_array_equal(raised, np.power(values[:1], exponent))
    assert planning.apply("pow", [values[:1], True])[0] == -3.3
    np.testing.assert_array_equal(planning.apply("pow", [B, 2]), B**2)
    assert planning.apply("pow", [B, 2]).dtype == B.dtype
