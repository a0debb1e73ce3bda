"""ChunkBuffer: the chunks that a selection touches, received into one frame and decoded."""

from __future__ import annotations

import math
from typing import Any

import blosc2
import numpy as np
import numpy.typing as npt

from caterva2.arrays.selection import Box
from caterva2.errors import SourceCorrupt
from caterva2.frames import chunk, compose, packing, proof
from caterva2.frames.chunk import ChunkShape
from caterva2.model import DatasetInfo
from caterva2.rest import stream

Values = npt.NDArray[Any]


class Scratch:
    """Memory for one part of a stream at a time: new memory for each takes longer than decoding."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._decoded = np.empty(0, np.uint8)

    def received(self, size: int) -> memoryview:
        """Return memory for chunks or a frame, which those of the next part overwrite."""
        if len(self._received) < size:
            self._received = bytearray(size)
        return memoryview(self._received)[:size]

    def decoded(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Values:
        """Return memory for values, which those of the next part overwrite."""
        size = math.prod(shape) * dtype.itemsize
        if self._decoded.nbytes < size:
            self._decoded = np.empty(size, np.uint8)
        return self._decoded[:size].view(dtype).reshape(shape)


class ChunkBuffer:
    """Memory for the chunks of one part of a stream; a frame around them where these are small.

    Parameters
    ----------
    info : DatasetInfo
    small : Box
        The chunks that the part touches.
    sizes : ndarray of uint32
        Sizes of these chunks, from the stream.
    scratch : Scratch

    Raises
    ------
    SourceCorrupt
        If there is not one size for each chunk, or one is too large.
    """

    def __init__(
        self, info: DatasetInfo, small: Box, sizes: stream.Sizes, scratch: Scratch
    ) -> None:
        if len(sizes) != len(small.chunk_ids):
            raise SourceCorrupt(f"{len(sizes)} chunks received, {len(small.chunk_ids)} requested")
        self._info, self._small, self._scratch = info, small, scratch
        self._special = sizes > stream.SPECIAL
        specials = sizes[self._special] - stream.SPECIAL
        if len(specials) and not np.isin(specials, chunk.SPECIAL_KINDS).all():
            raise SourceCorrupt("a special chunk of an unknown kind was announced")
        max_size = info.chunksize + chunk.MOST_OVERHEAD
        if (sizes[~self._special] > max_size).any():
            raise SourceCorrupt(f"a chunk of more than {max_size} bytes was announced")
        self._offsets, self._nbytes = stream.offsets(sizes)
        self._sizes = sizes.astype(np.int64)
        self._plain = info.kind == "array" and info.chunksize > packing.SMALL and not len(specials)
        self._begin = 0
        if self._plain:
            self._memory = scratch.received(self._nbytes)
            return
        parts = compose.box_template(info, small.shape)
        self._begin = len(parts.header)
        self._memory = compose.framed(parts, self._offsets, self._nbytes, scratch.received)

    @property
    def chunks(self) -> memoryview:
        """The memory to receive the chunks into."""
        return self._memory[self._begin : self._begin + self._nbytes]

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
            if self._small.is_all and (self._plain or out.flags.c_contiguous):
                self._decode_all(out)
            else:
                whole = self._scratch.decoded(self._small.shape, out.dtype)
                self._decode_all(whole)
                out[...] = self._small.take(whole)
        except (RuntimeError, ValueError) as error:
            self._find_undecodable()
            raise SourceCorrupt(f"{self._info.path}: chunks can't be decoded: {error}") from None

    def _decode_all(self, out: Values) -> None:
        """Decode the values of all chunks; into contiguous memory if there is a frame."""
        if self._plain:
            ends = (self._offsets.astype(np.int64) + self._sizes).tolist()
            places = zip(self._offsets.tolist(), ends, strict=True)
            packing.unpack(self._info, (self._memory[at:end] for at, end in places), out)
        elif out.size:
            array = blosc2.ndarray_from_cframe(self._memory)
            memory = out.reshape(-1).view(np.uint8)  # times have no buffer
            array.get_slice_numpy(memory, ((0,) * out.ndim, out.shape))

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
        schunk = blosc2.schunk_from_cframe(self._memory)
        pieces = [
            np.frombuffer(schunk.decompress_chunk(n), np.uint8) for n in range(schunk.nchunks)
        ]
        return np.concatenate(pieces)
