"""Costs of a plan: the grid of its result, and the bytes read and held for a region."""

from __future__ import annotations

import math
from dataclasses import dataclass

import blosc2

from caterva2.arrays import selection
from caterva2.arrays.selection import Selection
from caterva2.compute.plans import Plan, Region, Shape, fit, leaves, needs, part_of, staged
from caterva2.errors import TooLarge
from caterva2.limits import DEFAULTS, ComputeLimits

ACCUMULATOR_BYTES = 8
"""Least bytes of a staged item: accumulators are wider than small dtypes."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Bytes of chunks of operands that a computation reads, and most bytes staged at a time."""

    read: int
    staged: int


def grid(node: Plan, limits: ComputeLimits = DEFAULTS.compute) -> tuple[Shape, Shape]:
    """Choose chunks and blocks for a result: those of an operand of its shape if there is one."""
    shape = node.shape
    if not shape or 0 in shape:
        some = tuple(min(max(size, 1), 1024) for size in shape)
        return some, tuple(1 for _ in some)
    infos = (leaf.info for leaf in leaves(node) if leaf.shape == shape)
    alike = next((info for info in infos if len(info.shape) == len(shape)), None)
    if alike is not None:
        chunks, blocks = alike.chunks, alike.blocks
    else:
        chunks, blocks = blosc2.compute_chunks_blocks(shape, dtype=node.dtype)
    smaller = tuple(int(min(chunk, size)) for chunk, size in zip(chunks, shape, strict=True))
    smaller = shrink(smaller, limits.computed_chunk // node.dtype.itemsize)
    return smaller, tuple(int(min(both)) for both in zip(blocks, smaller, strict=True))


def shrink(chunks: Shape, max_items: int) -> Shape:
    """Shrink a chunk shape, first axes first, to a number of items."""
    made = list(chunks)
    for n in range(len(made)):
        others = math.prod(made[:n]) * math.prod(made[n + 1 :])
        made[n] = max(1, min(made[n], max_items // others))
    return tuple(made)


def check_cost(
    node: Plan, region: Region, limits: ComputeLimits = DEFAULTS.compute, *, at_once: bool = True
) -> None:
    """Refuse a computation that takes too much, before its operands are read.

    Parameters
    ----------
    node : Plan
    region : tuple of range
    limits : ComputeLimits
    at_once : bool
        Whether one call computes all of it, not chunk by chunk.

    Raises
    ------
    TooLarge
    """
    found = cost(node, region)
    read, held = found.read, found.staged
    if read > limits.compute_operands:
        raise TooLarge(
            f"this needs {read} bytes of operands, COMPUTE_OPERANDS is {limits.compute_operands}"
        )
    if at_once and held > limits.compute_staged:
        raise TooLarge(
            f"parts of the expression that the rest waits for have {held} bytes, COMPUTE_STAGED "
            f"is {limits.compute_staged}: ask for less at once"
        )


def cost(node: Plan, region: Region) -> Cost:
    """Return the bytes of operands to read for a region, and the most bytes staged at a time."""
    read, held, peak = read_at_once(node, region), 0, 0
    for part in {id(part): part for part in staged(node)}.values():
        own = fit(region, part.shape)
        inner = cost(part.argument, needs(part, own))
        read += inner.read
        held += math.prod(map(len, own)) * max(part.dtype.itemsize, ACCUMULATOR_BYTES)
        # Inner stages are released when this part is complete, before the next one begins.
        peak = max(peak, held + inner.staged)
    return Cost(read, peak)


def read_at_once(node: Plan, region: Region) -> int:
    """Return the bytes of operands to read for a region, without those that are staged."""
    read = 0
    for leaf in leaves(node):
        selected = part_of(leaf.view, Selection(leaf.shape, fit(region, leaf.shape)))
        read += selection.count_chunks(selected, leaf.info.chunks) * leaf.info.chunksize
    return read
