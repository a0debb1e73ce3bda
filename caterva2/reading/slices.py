"""Read values and frames from a replica's chunks.

Everything here blocks and belongs in a thread. Decoding holds Python's interpreter lock, so it is
done in steps that are short enough for an event loop beside it.
"""

from __future__ import annotations

import contextlib
import math

import blosc2
import numpy as np

from caterva2.arrays import dtypes
from caterva2.arrays.fields import FieldPath, Values, dtype_of, pick
from caterva2.arrays.selection import Box, IntArray, Selection, box, count_chunks, split
from caterva2.cache.readable import Readable
from caterva2.cache.touched_blocks import touched
from caterva2.frames import compose, packing, proof
from caterva2.frames.blocks import needs_whole_chunks
from caterva2.limits.constants import KIB, MIB
from caterva2.model import CParams, DatasetInfo
from caterva2.reading.scope import DEFAULT_SCOPE, ReadScope

ONE_BLOCK = 64 * KIB
"""Bytes up to which an answer is packed as one block."""
SMALL_STORED = 16 * KIB
"""Stored bytes of a chunk that are read as fast as any part of them."""
_SKIPPED = 64 * KIB
"""Bytes between two positions that are decoded as fast as another read begins."""
_HELD = MIB
"""Decompressed bytes of blocks that are decoded while the interpreter's lock is held."""
_SPARSE = 8
"""Part of a chunk's blocks below which the chunk is not decoded for them."""
_WHOLE = 64 * MIB
"""Decompressed bytes of a chunk up to which it is decoded for a part of its blocks.

A thread takes this memory twice, which no budget counts.
"""
_ALL = slice(None, None, 1)


def values(
    replica: Readable,
    selection: Selection,
    field: FieldPath = (),
    scope: ReadScope = DEFAULT_SCOPE,
) -> Values | None:
    """Read selected values, or a field of them; None if a chunk is missing, or the scope ended."""
    info = replica.info
    max_chunks = scope.chunks_a_step(info)
    if count_chunks(selection, info.chunks) <= max_chunks:
        piece = _part(replica, selection, scope)
        return None if piece is None else _own(pick(piece, field))
    result = np.empty(selection.result_shape, dtype_of(info, field))
    for part, where in split(selection, info.chunks, max_chunks):
        piece = _part(replica, part, scope)
        if piece is None or scope.ended.is_set():
            return None
        result[where] = pick(piece, field)
    return result


def _own(piece: Values) -> Values:
    """Return values in memory of their own: a copy if they may be a small part of many chunks."""
    whole = piece if piece.base is None else piece.base
    if piece.flags.c_contiguous and isinstance(whole, np.ndarray) and whole.nbytes == piece.nbytes:
        return piece
    return np.array(piece, order="C")


def _part(replica: Readable, part: Selection, scope: ReadScope) -> Values | None:
    info = replica.info
    if part.size == 0:
        return np.empty(part.result_shape, dtype_of(info))
    if is_open(replica) and not _takes_most(info, part) and not _takes_many(info, part):
        if not replica.trusted and len(replica.verify(box(part, info.chunks).chunk_ids)):
            return None
        array = scope.handles.array(replica)
        if array is not None:
            with contextlib.suppress(*proof.DECODING):  # found out below, chunk by chunk
                piece = cut(array, part)
                if replica.file is not None:  # else its header may be a later version's now
                    return piece
    small = box(part, info.chunks)
    chunks = replica.read(small.chunk_ids)
    if chunks is None:
        blocks = touched(part, info)
        chunks = replica.read_touched(blocks) if blocks is not None else None
    return None if chunks is None else decode_box(info, small, chunks)


def _takes_most(info: DatasetInfo, part: Selection) -> bool:
    """Decide whether a part is most of the chunks that it touches, or these are small.

    If so, reading them whole costs less than what Blosc2 does for each chunk of a file: it opens
    the file anew.
    """
    if info.cbytes <= SMALL_STORED * info.nchunks:
        return True
    twice = 2 * part.size * info.typesize
    return twice >= info.chunksize and (twice >= count_chunks(part, info.chunks) * info.chunksize)


def _takes_many(info: DatasetInfo, part: Selection) -> bool:
    return _is_many(info, count_chunks(part, info.blocks), count_chunks(part, info.chunks))


def _is_many(info: DatasetInfo, blocks: int, chunks: int) -> bool:
    """Decide whether whole chunks are decoded for some of their blocks, since these are many.

    Blosc2 holds the interpreter's lock while it cuts a part out of an array, and not while it
    decodes whole chunks.
    """
    held = blocks * info.blocksize
    sparse = held < chunks * info.chunksize // _SPARSE
    return held > _HELD and not sparse and info.chunksize <= _WHOLE


def is_open(replica: Readable) -> bool:
    """Return whether slices are read from a sealed array, which decodes single blocks."""
    whole = needs_whole_chunks(replica.info.cparams.filters)
    return replica.info.kind == "array" and replica.sealed is not None and not whole


def cut(array: blosc2.NDArray, part: Selection) -> Values:
    """Read a selection from an open array, which decodes only the blocks that it needs."""
    at = _sparse_axis(array, part)
    if at is not None:
        return _positions(array, part, at)
    start, stop, steps = [], [], []
    for axis in part.axes:
        first, last, step = (axis, axis, 0) if isinstance(axis, int) else _ends(axis)
        start.append(first)
        stop.append(last + 1)
        steps.append(slice(None, None, step) if step else 0)
    piece = _between(array, start, stop)
    return piece if steps == [_ALL] * len(steps) else piece[(*steps, ...)]  # always an array


def _sparse_axis(array: blosc2.NDArray, part: Selection) -> int | None:
    """Return an axis with steps over much that lies in blocks of which nothing is selected."""
    spans = [1 if isinstance(axis, int) else abs(axis[-1] - axis[0]) + 1 for axis in part.axes]
    nbytes = math.prod(spans) * array.dtype.itemsize
    for at, (axis, block) in enumerate(zip(part.axes, array.blocks, strict=True)):
        if isinstance(axis, int) or len(axis) < 2 or abs(axis.step) <= block:
            continue
        if nbytes > len(axis) * _SKIPPED:
            return at
    return None


def _positions(array: blosc2.NDArray, part: Selection, at: int) -> Values:
    """Read a selection position by position of an axis."""
    found = np.empty(part.result_shape, array.dtype)
    before, axis = sum(isinstance(axis, range) for axis in part.axes[:at]), part.axes[at]
    assert isinstance(axis, range)
    places = np.moveaxis(found, before, 0)
    for place, n in enumerate(axis):
        one = Selection(part.shape, (*part.axes[:at], n, *part.axes[at + 1 :]))
        places[place] = cut(array, one)
    return found


def _between(array: blosc2.NDArray, start: list[int], stop: list[int]) -> Values:
    # What array[...] calls once it has classified its key, which takes twice as long as reading
    # a small slice.
    shape = [last - first for first, last in zip(start, stop, strict=True)]
    piece: Values = np.empty(shape, array.dtype)
    array.get_slice_numpy(piece, (tuple(start), tuple(stop)))
    return piece


def _ends(axis: range) -> tuple[int, int, int]:
    """Return the lowest and highest position of a non-empty axis, and its positive step."""
    first, last = axis[0], axis[-1]
    return (first, last, axis.step) if axis.step > 0 else (last, first, axis.step)


def decode_box(
    info: DatasetInfo, small: Box, chunks: list[bytes], nthreads: int | None = None
) -> Values:
    """Decode the values of a box from its raw chunks.

    Parameters
    ----------
    info : DatasetInfo
        The dataset that the chunks belong to.
    small : Box
    chunks : list of bytes
        Raw chunks in the order of ``small.chunk_ids`` that passed the gate; only the blocks that
        the cut touches need to be present.
    nthreads : int, optional
        Threads of Blosc2 for each chunk of a box that is taken as a whole.

    Raises
    ------
    SourceCorrupt
        If Blosc2 can't decode a chunk; ``info`` has its number.
    """
    try:
        return _decode_box(info, small, chunks, nthreads)
    except proof.DECODING:
        proof.check(small.chunk_ids.tolist(), chunks, info.chunksize)
        raise


def _decode_box(info: DatasetInfo, small: Box, chunks: list[bytes], nthreads: int | None) -> Values:
    if info.kind != "array":
        pieces = [np.frombuffer(blosc2.decompress2(chunk), np.uint8) for chunk in chunks]
        return small.take(np.concatenate(pieces))
    if info.chunksize > packing.SMALL and (takes_all(small) or _cuts_many(info, small)):
        values: Values = np.empty(small.shape, dtypes.parse(info.dtype))
        packing.unpack(info, chunks, values, nthreads)
        return small.take(values)
    frame = compose.frame(compose.box_template(info, small.shape), chunks)
    array = blosc2.ndarray_from_cframe(frame)
    if any(needs_whole_chunks(chunk[16:22]) for chunk in chunks):
        return small.take(np.asarray(array[()]).reshape(small.shape))
    return _cut_box(array, small)


def _cuts_many(info: DatasetInfo, small: Box) -> bool:
    blocks = 1
    for cut, size, block in zip(small.cut, small.shape, info.blocks, strict=False):
        if isinstance(cut, slice):
            axis = range(*cut.indices(size))
            blocks *= min(len(axis), abs(axis[-1] - axis[0]) // block + 1)
        elif not isinstance(cut, int):
            blocks *= min(len(cut), -(-size // block))
    return _is_many(info, blocks, len(small.chunk_ids))


def takes_all(small: Box) -> bool:
    """Return whether a box is taken as a whole, in order; an axis of one item may be dropped."""
    return all(
        size == 1
        if isinstance(cut, int)
        else isinstance(cut, slice) and range(*cut.indices(size)) == range(size)
        for cut, size in zip(small.cut, small.shape, strict=False)
    )


def _cut_box(array: blosc2.NDArray, small: Box) -> Values:
    """Cut a box out of the array of its chunks, which decodes only the blocks that it needs."""
    start, stop = [0] * len(small.shape), list(small.shape)
    rest: list[int | slice | IntArray] = []
    for n, cut in enumerate(small.cut):
        then: int | slice | IntArray
        if isinstance(cut, int):
            first, last, then = cut, cut, 0
        elif isinstance(cut, slice):
            first, last, step = _ends(range(*cut.indices(small.shape[n])))
            then = slice(None, None, step)
        else:
            first, last = int(cut.min()), int(cut.max())
            then = cut - first
        start[n], stop[n] = first, last + 1
        rest.append(then)
    return Box(small.chunk_ids, (), tuple(rest)).take(_between(array, start, stop))


def frame_of_chunks(info: DatasetInfo, small: Box, chunks: list[bytes]) -> bytearray:
    """Compose a frame of the raw chunks of a box, without recompressing."""
    return compose.frame(compose.box_template(info, small.shape), chunks)


def pack(info: DatasetInfo, piece: Values) -> bytes | bytearray:
    """Compress values into a new frame, with the parameters of their dataset if these are good."""
    try:
        return _pack(info, piece)
    except RuntimeError:  # such as more bits to cut off than an item of a field has
        return _pack(_plainly(info), piece)


def _plainly(info: DatasetInfo) -> DatasetInfo:
    return info.model_copy(update={"cparams": CParams()})


def _pack(info: DatasetInfo, piece: Values) -> bytes | bytearray:
    if info.kind == "array":
        return _pack_array(info, piece)
    data = piece.tobytes()
    typesize = info.typesize if len(data) % info.typesize == 0 else 1  # Blosc2 drops a rest
    cparams = compose.blosc_cparams(info.cparams, typesize)
    schunk = blosc2.SChunk(chunksize=max(len(data), 1), data=data or None, cparams=cparams)
    frame: bytes = schunk.to_cframe()
    return frame


def pack_array(info: DatasetInfo, piece: Values) -> bytes | bytearray:
    """Compress values into the frame of a new array, as `pack` does."""
    try:
        return _pack_array(info, piece)
    except RuntimeError:
        return _pack_array(_plainly(info), piece)


def _pack_array(info: DatasetInfo, piece: Values) -> bytes | bytearray:
    if 0 < piece.nbytes <= ONE_BLOCK:
        # One chunk of one block has the layout of the values themselves, so a template will do
        # and only the compression is left: a fifth of the time of a new array.
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
    """Compress a piece of a plain file into a raw chunk, as `frames.compose` expects it."""
    return _compress(info, data, 1, info.blocksize)


def _compress(info: DatasetInfo, data: bytes | memoryview, typesize: int, blocksize: int) -> bytes:
    cparams = info.cparams
    packed: bytes = blosc2.compress2(
        data,
        typesize=typesize,
        codec=blosc2.Codec(cparams.codec),
        clevel=cparams.clevel,
        filters=[blosc2.Filter(code) for code in cparams.filters],
        filters_meta=compose.filters_meta(cparams),
        splitmode=blosc2.SplitMode(cparams.splitmode),
        blocksize=blocksize,
        nthreads=1,
    )
    return packed
