"""Operands in memory, and expressions over them that are computed here."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from caterva2.arrays import selection
from caterva2.arrays.fields import FieldPath
from caterva2.arrays.selection import Selection
from caterva2.compute import planning, syntax
from caterva2.compute.evaluation import Evaluator
from caterva2.compute.plans import Plan
from caterva2.compute.results import ResultCache
from caterva2.limits import DEFAULTS, ComputeLimits
from caterva2.model import DatasetInfo
from tests.unit.samples import array_frame, describe

T = TypeVar("T")
Array = npt.NDArray[Any]


class StoredDataset:
    """An operand in memory, that counts what is read of it."""

    def __init__(self, values: Array, chunks: tuple[int, ...] | None = None) -> None:
        self.array = values
        grid = {"chunks": chunks, "blocks": chunks} if chunks else {}
        self.info: DatasetInfo = describe(array_frame(values, **grid))
        self.read = self.most = 0

    async def values(self, selection: Selection, field: FieldPath = ()) -> Array:
        self.read += selection.size
        self.most = max(self.most, selection.size)
        found: Any = self.array
        for name in field:
            found = found[name]
        for n in reversed(range(len(selection.axes))):
            axis = selection.axes[n]
            at = axis if isinstance(axis, int) else np.array(axis, np.intp)
            found = found[(slice(None),) * n + (at,)]
        return np.asarray(found)


class Here:
    """Threads that are none."""

    async def run(self, work: Callable[[], T]) -> T:
        await asyncio.sleep(0)
        return work()


LIMITS = DEFAULTS.compute
SMALL = dataclasses.replace(LIMITS, compute_memory=1500)
"""So little memory that everything is computed in many pieces."""
SOURCES: dict[str, StoredDataset] = {}
"""The operands of the plans made last, by their names."""


def plan(
    text: str, limits: ComputeLimits = LIMITS, **operands: StoredDataset | Array | Plan
) -> Plan:
    made = {}
    for name, operand in operands.items():
        source = StoredDataset(operand) if isinstance(operand, np.ndarray) else operand
        if isinstance(source, StoredDataset):
            SOURCES[name] = source
            made[name] = planning.operand(source.info, name)
        else:
            made[name] = source
    return planning.plan(syntax.parse(text), made, limits)


def computed(
    node: Plan, key: Any = (), results: ResultCache | None = None, limits: ComputeLimits = LIMITS
) -> Array:
    part = selection.normalise(key, node.shape)
    evaluator = Evaluator(Here(), results or ResultCache(), limits)
    return asyncio.run(evaluator.values(node, SOURCES, part))


def same(found: Array, expected: Any) -> None:
    expected = np.asarray(expected)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    if expected.dtype.kind in "fc":
        eps = 1e-4 if expected.dtype.itemsize < 8 else 1e-9
        np.testing.assert_allclose(found, expected, rtol=eps, atol=eps)
    else:
        np.testing.assert_array_equal(found, expected)


CUBE = np.arange(60, dtype=np.float64).reshape(3, 4, 5) % 7
SHEET = np.arange(20, dtype=np.int32).reshape(4, 5) - 9
