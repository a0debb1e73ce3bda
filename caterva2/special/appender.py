"""Appending to an array along its first axis, as a new file.

Chunks that do not change are copied without being decoded; the chunks at the old end and behind it
are packed anew.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np

from caterva2.arrays import dtypes
from caterva2.arrays.fields import Values
from caterva2.arrays.selection import Selection
from caterva2.cache.readable import Readable
from caterva2.errors import BadUpload, Busy, TooLarge
from caterva2.frames import packing
from caterva2.frames.writer import FrameWriter
from caterva2.limits import DEFAULTS
from caterva2.model import DatasetInfo
from caterva2.reading import slices
from caterva2.special.incoming import Staged

T = TypeVar("T")


def grown(old: DatasetInfo, new: DatasetInfo) -> DatasetInfo:
    """Return the description of an array with another one appended.

    Raises
    ------
    BadUpload
        If the dtypes differ, or the shapes apart from the first axis.
    TooLarge
    """
    if not old.shape or old.shape[1:] != new.shape[1:] or not new.shape:
        raise BadUpload(
            "The shapes of the original dataset and the data to append are not compatible: "
            f"{list(old.shape)} and {list(new.shape)}"
        )
    old_dtype, new_dtype = dtypes.parse(old.dtype), dtypes.parse(new.dtype)
    if old_dtype != new_dtype:
        raise BadUpload(
            f"The dtypes of the original dataset, {dtypes.display(old_dtype)[:200]}, and of the "
            f"data to append, {dtypes.display(new_dtype)[:200]}, differ"
        )
    grid = new if 0 in old.shape else old  # the grid of an empty array is arbitrary
    shape = (old.shape[0] + new.shape[0], *old.shape[1:])
    changed = {name: getattr(grid, name) for name in ("chunks", "blocks", "chunksize", "blocksize")}
    try:
        return DatasetInfo.model_validate(dict(old) | changed | {"shape": shape})
    except ValueError:
        raise TooLarge(f"{old.path} can't have the shape {list(shape)}") from None


def append(
    old: Readable, new: Readable, staged: Staged, decode_step: int = DEFAULTS.special.decode_step
) -> DatasetInfo:
    """Write an array with another one appended.

    Parameters
    ----------
    old, new : Readable
    staged : Staged
        The file to write.
    decode_step : int
        Decompressed bytes of chunks that are copied at once.
    """
    info = grown(old.info, new.info)
    with FrameWriter(staged.path, info) as frame:
        kept = _kept(old.info, info)
        step = max(1, decode_step // max(info.chunksize, 1))
        for start in range(0, kept, step):
            for chunk in _present(old.read(np.arange(start, min(start + step, kept)))):
                staged.count(len(chunk))
                frame.add(chunk)
        for n in range(kept, info.nchunks):
            chunk = packing.pack(_values(old, new, info, n), info.blocks, info.cparams)
            staged.count(len(chunk))
            frame.add(chunk)
        frame.finish()
    return info


def _kept(old: DatasetInfo, info: DatasetInfo) -> int:
    """Return the number of leading chunks that do not change."""
    if 0 in old.shape:
        return 0
    across = zip(info.shape[1:], info.chunks[1:], strict=True)
    return old.shape[0] // info.chunks[0] * math.prod(-(-size // chunk) for size, chunk in across)


def _values(old: Readable, new: Readable, info: DatasetInfo, n: int) -> Values:
    """Return the values of a chunk of the result, padded with zeros."""
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
        return _present(slices.values(source, part))
    except (RuntimeError, ValueError) as error:
        raise BadUpload(f"chunks of {source.info.path} can't be decoded: {error}") from None


def _present(found: T | None) -> T:
    if found is None:
        raise Busy("a chunk is missing")
    return found
