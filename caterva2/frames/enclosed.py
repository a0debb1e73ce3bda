"""Raw chunks in frames of their own, whose headers differ in two sizes only."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from caterva2.errors import CatervaError
from caterva2.frames import chunk as chunks
from caterva2.frames import layout
from caterva2.frames.chunk import ChunkShape
from caterva2.limits.constants import KIB

Places = npt.NDArray[np.int64]
MOST_BEHIND = 64 * KIB
"""Bytes that a frame may have behind its chunk; an index and a trailer without vlmeta take 67."""
_SIZES = (layout.FRAME_LENGTH_AT, layout.CBYTES_AT)
"""Positions of the two sizes in the header, of eight bytes each."""


@dataclass(frozen=True, slots=True)
class Enclosure:
    """The properties that the frames of one dataset share.

    Attributes
    ----------
    mask : bytes
        Their header, as `mask_of` returns it.
    shape : ChunkShape
        Shape of the chunks in them.
    nbytes : int
        Decompressed size of each chunk.
    """

    mask: bytes
    shape: ChunkShape
    nbytes: int

    @property
    def max_size(self) -> int:
        """The bytes of a frame beyond which it is not worth reading."""
        return len(self.mask) + self.nbytes + chunks.MOST_OVERHEAD + MOST_BEHIND

    def chunk(self, frame: bytes) -> bytes | None:
        """Return the chunk in a frame, None if the frame has another header.

        Raises
        ------
        SourceCorrupt, CodecNotAllowed
            If the chunk does not pass the gate.
        """
        length = len(self.mask)
        if len(frame) < length or mask_of(frame[:length]) != self.mask:
            return None
        (cbytes,) = struct.unpack_from(">q", frame, layout.CBYTES_AT)
        if not chunks.HEADER <= cbytes <= len(frame) - length:
            return None
        raw = frame[length : length + cbytes]
        chunks.check(raw, self.shape, self.nbytes)
        return raw

    def chunks(self, data: memoryview, starts: Places, sizes: Places) -> tuple[Places, Places]:
        """Return the places of the chunks in the first of some frames, those that `chunk` returns.

        Parameters
        ----------
        data : memoryview
        starts, sizes : ndarray of int64
            Place of each frame.

        Returns
        -------
        tuple of ndarray of int64
            Starts and sizes, of no chunk at all if one does not pass the gate.
        """
        starts, sizes = self._placed(data, starts, sizes)
        try:
            chunks.check_all(data, starts, sizes, self.shape, np.full(len(starts), self.nbytes))
        except CatervaError:
            return starts[:0], sizes[:0]
        return starts, sizes

    def _placed(self, data: memoryview, starts: Places, sizes: Places) -> tuple[Places, Places]:
        """Return what `chunks` does, before the gate."""
        length = len(self.mask)
        count = until(sizes >= length)
        starts, room = starts[:count], sizes[:count] - length
        heads = np.frombuffer(data, np.uint8)[starts[:, None] + np.arange(length)]
        at = layout.CBYTES_AT
        cbytes = heads[:, at : at + 8].copy().view(">i8")[:, 0].astype(np.int64)
        for at in _SIZES:
            heads[:, at : at + 8] = 0
        good = (heads == np.frombuffer(self.mask, np.uint8)).all(axis=1)
        count = until(good & (cbytes >= chunks.HEADER) & (cbytes <= room))
        return starts[:count] + length, cbytes[:count]


def mask_of(header: bytes) -> bytes:
    """Return the header of a frame with zeros in place of the two sizes."""
    masked = bytearray(header)
    for at in _SIZES:
        masked[at : at + 8] = bytes(8)
    return bytes(masked)


def until(good: npt.NDArray[np.bool_]) -> int:
    """Count the values before the first that is false."""
    return len(good) if good.all() else int(good.argmin())
