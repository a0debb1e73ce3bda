"""What it takes to compute: the grid of a result, and what is read and held for a region of it."""

from __future__ import annotations

import math

import blosc2

from caterva2 import limits
from caterva2.arrays import selection
from caterva2.arrays.selection import Selection
from caterva2.compute.plans import Plan, Region, Shape, fit, leaves, needs, part_of, staged
from caterva2.errors import TooLarge

TOTAL = 8
"""Bytes of an item of what is staged at least: totals have more digits than what they end as."""


def grid(node: Plan) -> tuple[Shape, Shape]:
    """Chunks and blocks for the result of a node: those of an operand, if one is like it."""
    shape = node.shape
    if not shape or 0 in shape:
        some = tuple(min(max(size, 1), 1024) for size in shape)
        return some, tuple(1 for _ in some)
    infos = (leaf.source.info for leaf in leaves(node) if leaf.shape == shape)
    alike = next((info for info in infos if len(info.shape) == len(shape)), None)
    if alike is not None:
        chunks, blocks = alike.chunks, alike.blocks
    else:
        chunks, blocks = blosc2.compute_chunks_blocks(shape, dtype=node.dtype)
    smaller = tuple(int(min(chunk, size)) for chunk, size in zip(chunks, shape, strict=True))
    smaller = shrunk(smaller, limits.COMPUTED_CHUNK // node.dtype.itemsize)
    return smaller, tuple(int(min(both)) for both in zip(blocks, smaller, strict=True))


def shrunk(chunks: Shape, most: int) -> Shape:
    """A chunk, or a part of one that has no more than some number of items."""
    made = list(chunks)
    for n in range(len(made)):
        others = math.prod(made[:n]) * math.prod(made[n + 1 :])
        made[n] = max(1, min(made[n], most // others))
    return tuple(made)


def check_cost(node: Plan, region: Region, *, at_once: bool = True) -> None:
    """Refuse what would take too much, before anything is read of it.

    Parameters
    ----------
    node : Plan
    region : tuple of range
    at_once : bool
        Whether it is computed by one call, not chunk by chunk.

    Raises
    ------
    TooLarge
    """
    read, most = _cost(node, region)
    if read > limits.COMPUTE_OPERANDS:
        raise TooLarge(
            f"this needs {read} bytes of operands, COMPUTE_OPERANDS is {limits.COMPUTE_OPERANDS}"
        )
    if at_once and most > limits.COMPUTE_STAGED:
        raise TooLarge(
            f"parts of the expression that the rest waits for have {most} bytes, COMPUTE_STAGED "
            f"is {limits.COMPUTE_STAGED}: ask for less at once"
        )


def _cost(node: Plan, region: Region) -> tuple[int, int]:
    """Bytes of operands, and of all that is staged at once."""
    read = held = most = 0
    for leaf in leaves(node):
        info = leaf.source.info
        wanted = part_of(leaf.view, Selection(leaf.shape, fit(region, leaf.shape)))
        read += selection.count_chunks(wanted, info.chunks) * info.chunksize
    for part in {id(part): part for part in staged(node)}.values():
        own = fit(region, part.shape)
        inner, within = _cost(part.argument, needs(part, own))
        read += inner
        held += math.prod(map(len, own)) * max(part.dtype.itemsize, TOTAL)
        # What is within is let go of when this part is made, before the next one is begun.
        most = max(most, held + within)
    return read, most
