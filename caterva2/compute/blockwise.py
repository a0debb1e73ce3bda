"""Chunks of results, computed block by block of chunks of operands that have the result's grid.

Elementwise functions do not depend on the order of items. So where all operands are cut into chunks
and blocks as the result is, the values of a chunk stay in the order in which it is stored, which
saves four copies of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import blosc2
import numpy as np

from caterva2.arrays.fields import Values
from caterva2.arrays.selection import Selection
from caterva2.compute import plans
from caterva2.compute.evaluation import computed
from caterva2.compute.plans import Applied, Plan
from caterva2.frames import packing, proof
from caterva2.model import DatasetInfo


def operands(node: Plan, info: DatasetInfo, region: Selection) -> tuple[str, ...]:
    """Return the operands of a plan whose chunks are enough for a chunk of its result.

    Parameters
    ----------
    node : Plan
    info : DatasetInfo
        Of the result.
    region : Selection
        What the chunk has of it.

    Returns
    -------
    tuple of str
        Empty if the plan has other grids or fields, stages parts, or the chunk is padded.
    """
    if not isinstance(node, Applied) or any(plans.staged(node)):
        return ()
    if not region.result_shape == info.chunks == packing.padded_shape(info.chunks, info.blocks):
        return ()
    found = {leaf.operand: leaf for leaf in plans.leaves(node)}
    for leaf in plans.leaves(node):
        grid = leaf.info.shape, leaf.info.chunks, leaf.info.blocks
        if grid != (info.shape, info.chunks, info.blocks) or leaf.field or not leaf.view.is_whole:
            return ()
    return tuple(found)


def chunk(node: Plan, info: DatasetInfo, stored: Mapping[str, bytes]) -> bytes | None:
    """Compute a raw chunk of raw chunks; None if one of these can't be decoded.

    Raises
    ------
    BadExpression
        If the values turn out to have no result.
    """
    count = math.prod(info.chunks)
    decoded: dict[str, Values] = {}
    for name, raw in stored.items():
        decoded[name] = np.empty(count, _dtype(node, name))
        try:
            blosc2.decompress2(raw, dst=decoded[name])
        except proof.DECODING:
            return None
    held = {id(leaf): decoded[leaf.operand] for leaf in plans.leaves(node)}
    values = np.ascontiguousarray(computed(node, held), node.dtype)
    size = node.dtype.itemsize
    return packing.pack_blocks(
        values.view(np.uint8), size, math.prod(info.blocks) * size, info.cparams
    )


def _dtype(node: Plan, name: str) -> np.dtype[np.generic]:
    return next(leaf.dtype for leaf in plans.leaves(node) if leaf.operand == name)
