"""Values of whole chunks, in the order in which chunks are stored.

Neither elementwise functions nor reductions along all axes depend on the order of items. So where
all operands have one grid, their chunks are decoded, and nothing is put into another order; that
takes longer than most functions. Blosc2 lets go of Python's interpreter lock for it, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np

from caterva2.arrays.fields import Values
from caterva2.arrays.selection import IntArray
from caterva2.compute import planning, plans
from caterva2.compute.plans import Plan, Region, Shape, Sources
from caterva2.frames import packing
from caterva2.limits.constants import MIB
from caterva2.model import DatasetInfo

T = TypeVar("T")
BATCH = 4 * MIB
"""Bytes of the chunks of all operands that are read and decoded at a time, in one thread."""
STEP = MIB
"""Bytes of chunks that are computed at a time: intermediate values stay in a processor's cache."""


@runtime_checkable
class Decodable(Protocol):
    """An operand with chunks that can be decoded."""

    async def decoded(self, ids: IntArray, work: Callable[[Values], T]) -> T:
        """Run work in a thread over the bytes of chunks, decoded as they are stored, in rows."""
        ...


def grid(node: Plan, sources: Sources) -> DatasetInfo | None:
    """Return an operand with the grid that all operands of a plan have, and its result.

    None if there is no such grid, parts of the plan are staged, or its chunks are padded.
    """
    first = next(plans.leaves(node), None)
    if first is None or not node.shape or any(plans.staged(node)):
        return None
    info = first.info
    if info.shape != node.shape or packing.padded_shape(info.chunks, info.blocks) != info.chunks:
        return None
    for leaf in plans.leaves(node):
        if (leaf.info.shape, leaf.info.chunks, leaf.info.blocks) != (
            info.shape, info.chunks, info.blocks
        ):  # fmt: skip
            return None
        if leaf.field or not leaf.view.is_whole:
            return None
        if not isinstance(sources[leaf.operand], Decodable):
            return None
    return info


def batches(info: DatasetInfo, ids: IntArray, operands: int = 1) -> Iterator[tuple[bool, IntArray]]:
    """Divide chunks of so many operands into those that are decoded at a time.

    Yields
    ------
    whole : bool
        Whether the border cuts off none of them; one that is cut off is alone.
    batch : ndarray of int64
    """
    places = zip(np.unravel_index(ids, counts(info)), info.shape, info.chunks, strict=True)
    whole = np.all([at < size // chunk for at, size, chunk in places], axis=0)
    most, at = max(1, BATCH // (operands * info.chunksize)), 0
    while at < len(ids):
        run = whole[at : at + most]
        count = len(run) if run.all() else max(1, int(np.argmin(run)))
        yield bool(run[0]), ids[at : at + count]
        at += count


def counts(info: DatasetInfo) -> Shape:
    """Return the number of chunks along each axis."""
    return tuple(-(-size // chunk) for size, chunk in zip(info.shape, info.chunks, strict=True))


def region_of(info: DatasetInfo, n: int) -> Region:
    """Return the region of a chunk."""
    return tuple(
        range(int(at) * chunk, min((int(at) + 1) * chunk, size))
        for at, chunk, size in zip(
            np.unravel_index(n, counts(info)), info.chunks, info.shape, strict=True
        )
    )


async def over(node: Plan, sources: Sources, ids: IntArray, work: Callable[[Values], T]) -> list[T]:
    """Compute whole chunks of a plan that has a grid, some at a time, and run work over them.

    Parameters
    ----------
    node : Plan
    sources : mapping
    ids : ndarray of int64
    work : callable
        Gets the values of some chunks, a row for each; it runs in a thread.

    Raises
    ------
    BadExpression
        If the values turn out to have no result.
    """
    leaves = list(plans.leaves(node))
    *others, last = operands(node)
    decoded: dict[str, Values] = {}
    for name in others:
        decoded[name] = await _decodable(sources, name).decoded(ids, lambda values: values)

    def apply(values: Values) -> list[T]:
        decoded[last] = values
        count, results = max(1, STEP // values.shape[1]), []
        for at in range(0, len(ids), count):
            part = slice(at, at + count)
            held = {id(leaf): decoded[leaf.operand][part].view(leaf.dtype) for leaf in leaves}
            results.append(work(planning.computed(node, held)))
        return results

    return await _decodable(sources, last).decoded(ids, apply)


def operands(node: Plan) -> list[str]:
    """Return the operands of a plan that has a grid, each once."""
    return list(dict.fromkeys(leaf.operand for leaf in plans.leaves(node)))


def _decodable(sources: Sources, name: str) -> Decodable:
    found = sources[name]
    assert isinstance(found, Decodable)
    return found
