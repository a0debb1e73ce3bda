"""ChunkBuffer: the chunks that a selection touches, received into one frame and decoded."""

from __future__ import annotations

from typing import Any

import blosc2
import numpy as np
import numpy.typing as npt

from caterva2.arrays.selection import Box
from caterva2.errors import SourceCorrupt
from caterva2.frames import chunk, compose, proof
from caterva2.frames.chunk import ChunkShape
from caterva2.model import DatasetInfo
from caterva2.rest import stream

Values = npt.NDArray[Any]


class ChunkBuffer:
    """Memory for the chunks of one part of a stream: a frame around them, so that they decode.

    Parameters
    ----------
    info : DatasetInfo
    small : Box
        The chunks that the part touches.
    sizes : ndarray of uint32
        Sizes of these chunks, from the stream.

    Raises
    ------
    SourceCorrupt
        If there is not one size for each chunk, or one is too large.
    """

    def __init__(self, info: DatasetInfo, small: Box, sizes: stream.Sizes) -> None:
        if len(sizes) != len(small.chunk_ids):
            raise SourceCorrupt(f"{len(sizes)} chunks received, {len(small.chunk_ids)} requested")
        self._info, self._small = info, small
        self._special = sizes > stream.SPECIAL
        if not np.isin(sizes[self._special] - stream.SPECIAL, chunk.SPECIAL_KINDS).all():
            raise SourceCorrupt("a special chunk of an unknown kind was announced")
        max_size = info.chunksize + chunk.MOST_OVERHEAD
        if (sizes[~self._special] > max_size).any():
            raise SourceCorrupt(f"a chunk of more than {max_size} bytes was announced")
        self._offsets, self._nbytes = stream.offsets(sizes)
        self._sizes = sizes.astype(np.int64)
        parts = compose.box_template(info, small.shape)
        self._begin = len(parts.header)
        self._frame = compose.framed(parts, self._offsets, self._nbytes)

    @property
    def chunks(self) -> memoryview:
        """The part of the frame to receive the chunks into."""
        return memoryview(self._frame)[self._begin : self._begin + self._nbytes]

    def decode(self, out: Values) -> None:
        """Decode the chunks and write the values of the part.

        Parameters
        ----------
        out : ndarray
            Of the part's result shape.

        Raises
        ------
        SourceCorrupt
            If the gate refuses a chunk, or it can't be decoded; then ``info`` has its number.
        """
        self._check()
        try:
            if self._info.kind != "array":
                out[...] = self._small.take(self._bytes())
                return
            array = blosc2.ndarray_from_cframe(self._frame)
            if self._small.is_all and out.flags.c_contiguous and out.size:
                bounds = (0,) * len(self._small.shape), self._small.shape
                array.get_slice_numpy(out.reshape(self._small.shape), bounds)
            else:
                out[...] = self._small.take(np.asarray(array[()]).reshape(self._small.shape))
        except (RuntimeError, ValueError) as error:
            self._find_undecodable()
            raise SourceCorrupt(f"{self._info.path}: chunks can't be decoded: {error}") from None

    def _find_undecodable(self) -> None:
        """Raise the error about the first chunk that can't be decoded, if there is one."""
        view, plain = self.chunks, ~self._special
        starts, sizes = self._offsets[plain].tolist(), self._sizes[plain].tolist()
        found = [bytes(view[at : at + size]) for at, size in zip(starts, sizes, strict=True)]
        proof.check(self._small.chunk_ids[plain].tolist(), found, self._info.chunksize)

    def _check(self) -> None:
        info, plain = self._info, ~self._special
        shape = ChunkShape.of(info.kind, info.typesize, info.blocksize)
        ids = self._small.chunk_ids[plain]
        nbytes = np.full(len(ids), info.chunksize, np.int64)
        if info.kind != "array":
            nbytes = np.minimum(nbytes, info.nbytes - ids * info.chunksize)
        starts = self._offsets[plain].astype(np.int64)
        chunk.check_all(self.chunks, starts, self._sizes[plain], shape, nbytes)

    def _bytes(self) -> npt.NDArray[np.uint8]:
        schunk = blosc2.schunk_from_cframe(self._frame)
        pieces = [
            np.frombuffer(schunk.decompress_chunk(n), np.uint8) for n in range(schunk.nchunks)
        ]
        return np.concatenate(pieces)
