"""An array that grows along its first axis, as a new file.

Chunks that stay as they are are copied without being unpacked; only those that hold the old end
are packed anew, with what follows it.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np

from caterva2 import limits
from caterva2.arrays import dtypes
from caterva2.arrays.fields import Values
from caterva2.arrays.selection import Selection
from caterva2.cache.readable import Readable
from caterva2.errors import BadUpload, Busy, TooLarge
from caterva2.frames import packing
from caterva2.frames.writer import FrameWriter
from caterva2.model import DatasetInfo
from caterva2.reading import slices
from caterva2.special.incoming import Staged

T = TypeVar("T")


def grown(old: DatasetInfo, new: DatasetInfo) -> DatasetInfo:
    """The description of an array with another one behind it.

    Raises
    ------
    BadUpload
        If their dtypes differ, or their shapes but for the first axis.
    TooLarge
    """
    if not old.shape or old.shape[1:] != new.shape[1:] or not new.shape:
        raise BadUpload(
            "The shapes of the original dataset and the data to append are not compatible: "
            f"{list(old.shape)} and {list(new.shape)}"
        )
    had, came = dtypes.parse(old.dtype), dtypes.parse(new.dtype)
    if had != came:
        raise BadUpload(
            f"The dtypes of the original dataset, {dtypes.display(had)[:200]}, and of the data "
            f"to append, {dtypes.display(came)[:200]}, differ"
        )
    grid = new if 0 in old.shape else old  # an empty array has no chunks that mean anything
    shape = (old.shape[0] + new.shape[0], *old.shape[1:])
    changed = {name: getattr(grid, name) for name in ("chunks", "blocks", "chunksize", "blocksize")}
    try:
        return DatasetInfo.model_validate(dict(old) | changed | {"shape": shape})
    except ValueError:
        raise TooLarge(f"{old.path} can't have the shape {list(shape)}") from None


def append(old: Readable, new: Readable, staged: Staged) -> DatasetInfo:
    """Write an array with another one behind it.

    Parameters
    ----------
    old, new : Readable
    staged : Staged
        What it is written to.
    """
    info = grown(old.info, new.info)
    with FrameWriter(staged.path, info) as frame:
        kept = _kept(old.info, info)
        step = max(1, limits.DECODE_STEP // max(info.chunksize, 1))
        for start in range(0, kept, step):
            for chunk in _there(old.read(np.arange(start, min(start + step, kept)))):
                staged.count(len(chunk))
                frame.add(chunk)
        for n in range(kept, info.nchunks):
            chunk = packing.pack(_values(old, new, info, n), info.blocks, info.cparams)
            staged.count(len(chunk))
            frame.add(chunk)
        frame.finish()
    return info


def _kept(old: DatasetInfo, info: DatasetInfo) -> int:
    """How many chunks, the first ones, stay as they are."""
    if 0 in old.shape:
        return 0
    across = zip(info.shape[1:], info.chunks[1:], strict=True)
    return old.shape[0] // info.chunks[0] * math.prod(-(-size // chunk) for size, chunk in across)


def _values(old: Readable, new: Readable, info: DatasetInfo, n: int) -> Values:
    """The values of a chunk of the whole, filled up with zeros."""
    counts = [-(-size // chunk) for size, chunk in zip(info.shape, info.chunks, strict=True)]
    where = [int(at) for at in np.unravel_index(n, counts)]
    ranges = [
        range(at * chunk, min((at + 1) * chunk, size))
        for at, chunk, size in zip(where, info.chunks, info.shape, strict=True)
    ]
    values = np.zeros(packing.padded_shape(info.chunks, info.blocks), dtypes.parse(info.dtype))
    had, begin = old.info.shape[0], ranges[0].start
    for source, offset in ((old, 0), (new, had)):
        size = source.info.shape[0]
        low, high = max(begin - offset, 0), min(ranges[0].stop - offset, size)
        if low < high:
            part = Selection(source.info.shape, (range(low, high), *ranges[1:]))
            place = slice(low + offset - begin, high + offset - begin)
            found = _decoded(source, part)
            values[(place, *(slice(0, len(axis)) for axis in ranges[1:]))] = found
    return values


def _decoded(source: Readable, part: Selection) -> Values:
    try:
        return _there(slices.values(source, part))
    except (RuntimeError, ValueError) as error:
        raise BadUpload(f"chunks of {source.info.path} can't be decoded: {error}") from None


def _there(found: T | None) -> T:
    if found is None:
        raise Busy("a chunk is not there")
    return found
