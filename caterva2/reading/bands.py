"""Values of a part of a dataset in bands: few blocks at a time, however large its chunks are.

Everything here blocks and belongs in a thread. Blosc2 holds Python's interpreter lock while it
decodes a part of a chunk, so a band is what an event loop beside it can wait for. Besides, the next
step finds a small band in the processor's cache, and its memory is that of the band before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import blosc2

from caterva2.arrays.fields import Values
from caterva2.arrays.selection import Selection, box, split
from caterva2.cache.readable import Readable
from caterva2.cache.touched_blocks import touched
from caterva2.frames import compose, proof
from caterva2.frames.blocks import needs_whole_chunks
from caterva2.limits.constants import MIB
from caterva2.model import DatasetInfo
from caterva2.reading import slices
from caterva2.reading.scope import ReadScope

BAND = MIB
"""Decompressed bytes of the blocks of a band."""
AT_ONCE = 16 * MIB
"""Decompressed bytes of a chunk up to which all of it is decoded at once, without the lock."""
Place = tuple[int, ...]


def bands(
    replica: Readable, part: Selection, scope: ReadScope
) -> Iterator[tuple[Values | None, Place]]:
    """Yield the values of a part in bands, each with its place in the part.

    None stands for values of a chunk that is missing, or if the scope ended.

    Parameters
    ----------
    replica : Readable
    part : Selection
        It touches one chunk, or a few small ones.
    scope : ReadScope
    """
    info = replica.info
    large = info.kind == "array" and part.size and info.chunksize > 2 * BAND
    divided = large and not _is_decoded_at_once(info, part)
    if large and not divided and (whole := _whole(replica, part)) is not None:
        yield whole, (0,) * len(part.result_shape)
        return
    chunk = _open(replica, part, scope) if divided else None
    if chunk is None:
        yield slices.values(replica, part, (), scope), (0,) * len(part.result_shape)
        return
    array, offsets = chunk
    for band, place in _split(part, info):
        found: Values | None = None
        if not scope.ended.is_set():
            with contextlib.suppress(*proof.DECODING):
                found = slices.cut(array, _moved(band, offsets, array.shape))
            if found is None or (array.urlpath and replica.file is None):  # a later version's now
                found = slices.values(replica, band, (), scope)
        yield found, place


def _is_decoded_at_once(info: DatasetInfo, part: Selection) -> bool:
    """Decide whether a part of one chunk is all of it: Blosc2 then holds no lock meanwhile."""
    return info.chunksize <= AT_ONCE and slices.takes_all(box(part, info.chunks))


def _whole(replica: Readable, part: Selection) -> Values | None:
    """Read a part of one chunk that is all of it; other threads decode others meanwhile."""
    small = box(part, replica.info.chunks)
    chunks = replica.read(small.chunk_ids)
    return None if chunks is None else slices.decode_box(replica.info, small, chunks, nthreads=1)


def _split(part: Selection, info: DatasetInfo) -> Iterator[tuple[Selection, Place]]:
    """Divide a part of one chunk at the blocks of the chunk."""
    starts = _starts(part, info)
    inner = _moved(part, [-start for start in starts], info.chunks)
    for band, where in split(inner, info.blocks, max(1, BAND // info.blocksize)):
        yield _moved(band, starts, part.shape), tuple(place.start for place in where)


def _starts(part: Selection, info: DatasetInfo) -> list[int]:
    """Return the first item of the chunk in which a part lies."""
    lowest = [axis if isinstance(axis, int) else min(axis[0], axis[-1]) for axis in part.axes]
    return [at // chunk * chunk for at, chunk in zip(lowest, info.chunks, strict=True)]


def _moved(part: Selection, by: Sequence[int], shape: Place) -> Selection:
    """Move a selection into an array of another shape."""
    axes = tuple(
        axis + n if isinstance(axis, int) else range(axis.start + n, axis.stop + n, axis.step)
        for axis, n in zip(part.axes, by, strict=True)
    )
    return Selection(tuple(shape), axes)


def _open(
    replica: Readable, part: Selection, scope: ReadScope
) -> tuple[blosc2.NDArray, list[int]] | None:
    """Open the chunk of a part, and return what is to be added to places in the dataset.

    None if its blocks can't be decoded one by one, or some of them are missing.
    """
    info = replica.info
    small = box(part, info.chunks)
    if slices.is_open(replica) and (replica.trusted or not len(replica.verify(small.chunk_ids))):
        array = scope.handles.array(replica)
        if array is not None:
            return array, [0] * len(info.shape)
    needed = touched(part, info)
    chunks = replica.read(small.chunk_ids) or (replica.read_touched(needed) if needed else None)
    if chunks is None or needs_whole_chunks(chunks[0][16:22]):
        return None
    frame = compose.frame(compose.box_template(info, small.shape), chunks)
    with contextlib.suppress(*proof.DECODING):
        return blosc2.ndarray_from_cframe(frame), [-start for start in _starts(part, info)]
    return None
