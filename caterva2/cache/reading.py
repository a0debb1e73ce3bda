"""Values and frames out of a replica's chunks.

Everything here blocks and belongs into a thread. Decoding holds Python's interpreter lock, so
it is done in steps that are short enough for an event loop beside it.
"""

from __future__ import annotations

import threading

import blosc2
import numpy as np

from caterva2 import dtypes, limits
from caterva2.cache.fields import Field, Values, dtype_of, pick
from caterva2.cache.handles import Handles
from caterva2.cache.readable import Readable
from caterva2.frames import compose
from caterva2.model import DatasetInfo
from caterva2.selection import Box, Selection, box, split

ONE_BLOCK = 64 * limits.KIB
"""Bytes up to which an answer is packed as one block."""
_handles = Handles()


def values(
    replica: Readable,
    selection: Selection,
    ended: threading.Event | None = None,
    field: Field = (),
) -> Values | None:
    """What a selection selects; None if one of its chunks is not there, or all is to end."""
    info = replica.info
    most = max(1, limits.DECODE_STEP // max(info.chunksize, 1))
    result = np.empty(selection.result_shape, dtype_of(info, field))
    for part, where in split(selection, info.chunks, most):
        piece = _part(replica, part)
        if piece is None or (ended is not None and ended.is_set()):
            return None
        result[where] = pick(piece, field)
    return result


def _part(replica: Readable, part: Selection) -> Values | None:
    info = replica.info
    if part.size == 0:
        return np.empty(part.result_shape, dtype_of(info))
    small = box(part, info.chunks)
    if info.kind == "array" and replica.sealed is not None:
        if len(replica.verify(small.chunk_ids)):
            return None
        array = _handles.array(replica)
        if array is not None:
            return _cut(array, part)
    chunks = replica.read(small.chunk_ids)
    if chunks is None:
        return None
    return decode_box(info, small, chunks)


def _cut(array: blosc2.NDArray, part: Selection) -> Values:
    """Read a selection from an open array, which decodes only the blocks that it needs."""
    bounds = tuple(
        slice(axis, axis + 1)
        if isinstance(axis, int)
        else slice(min(axis[0], axis[-1]), max(axis[0], axis[-1]) + 1)
        for axis in part.axes
    )
    steps = tuple(
        0 if isinstance(axis, int) else slice(None, None, axis.step) for axis in part.axes
    )
    piece: Values = np.asarray(array[bounds])
    return piece.reshape([bound.stop - bound.start for bound in bounds])[steps]


def decode_box(info: DatasetInfo, small: Box, chunks: list[bytes]) -> Values:
    """The values of a box, from its raw chunks.

    Parameters
    ----------
    info : DatasetInfo
        The dataset that the chunks belong to.
    small : Box
    chunks : list of bytes
        Raw chunks in the order of ``small.chunk_ids``, each let through by the gate.
    """
    if info.kind != "array":
        pieces = [np.frombuffer(blosc2.decompress2(chunk), np.uint8) for chunk in chunks]
        return small.take(np.concatenate(pieces))
    frame = compose.frame(compose.box_template(info, small.shape), chunks)
    array = blosc2.ndarray_from_cframe(frame)
    return small.take(np.asarray(array[()]).reshape(small.shape))


def frame_of_chunks(replica: Readable, selection: Selection) -> bytearray | None:
    """A frame of the whole chunks of an aligned selection, none of them recompressed."""
    small = box(selection, replica.info.chunks)
    chunks = replica.read(small.chunk_ids)
    if chunks is None:
        return None
    return compose.frame(compose.box_template(replica.info, small.shape), chunks)


def pack(info: DatasetInfo, piece: Values) -> bytes | bytearray:
    """A new frame of some values, compressed as their dataset is."""
    if info.kind == "array":
        return pack_array(info, piece)
    data = piece.tobytes()
    typesize = info.typesize if len(data) % info.typesize == 0 else 1  # Blosc2 drops a rest
    cparams = compose.blosc_cparams(info.cparams, typesize)
    schunk = blosc2.SChunk(chunksize=max(len(data), 1), data=data or None, cparams=cparams)
    frame: bytes = schunk.to_cframe()
    return frame


def pack_array(info: DatasetInfo, piece: Values) -> bytes | bytearray:
    """A new array of some values, compressed as their dataset is."""
    if 0 < piece.nbytes <= ONE_BLOCK:
        # One chunk of one block has the layout of the values themselves, so a template serves
        # and only the compression is left to do: a fifth of the time of a new array.
        dtype = dtypes.describe(piece.dtype)
        parts = compose.array_template(piece.shape, piece.shape, piece.shape, dtype, info.cparams)
        chunk = _compress(info, piece.tobytes(), piece.dtype.itemsize, piece.nbytes)
        return compose.frame(parts, [chunk])
    cparams = compose.blosc_cparams(info.cparams, piece.dtype.itemsize)
    # Contiguous, since else its frame is a copy, and a broken one for items over 255 bytes.
    piece = np.asarray(piece, order="C")
    packed: bytes = blosc2.asarray(piece, cparams=cparams, contiguous=True).to_cframe()
    return packed


def pack_file_chunk(info: DatasetInfo, data: bytes | memoryview) -> bytes:
    """A piece of a plain file as a raw chunk, as `frames.compose` expects it in its frame."""
    return _compress(info, data, 1, info.blocksize)


def _compress(info: DatasetInfo, data: bytes | memoryview, typesize: int, blocksize: int) -> bytes:
    cparams = info.cparams
    packed: bytes = blosc2.compress2(
        data,
        typesize=typesize,
        codec=blosc2.Codec(cparams.codec),
        clevel=cparams.clevel,
        filters=[blosc2.Filter(code) for code in cparams.filters],
        filters_meta=list(cparams.filters_meta),
        splitmode=blosc2.SplitMode(cparams.splitmode),
        blocksize=blocksize,
        nthreads=1,
    )
    return packed
