"""Places of chunks in a file, for another process that reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from caterva2.frames.chunk import ChunkShape
from caterva2.frames.enclosed import Enclosure

Extent = tuple[int, int]
"""Offset and size in bytes."""


@dataclass(frozen=True, slots=True)
class Located:
    """The places of some chunks in one version of a file.

    Attributes
    ----------
    stamp : tuple of int
        Names the version, see `versions.stamp`.
    extents : sequence of tuple
        Place of the frame of each chunk, which the reader has to check.
    enclosure : Enclosure
        The form that the frames must have.
    """

    stamp: tuple[int, ...]
    extents: Sequence[Extent]
    enclosure: Enclosure

    def pack(self) -> list[Any]:
        """Return plain values."""
        form, shape = self.enclosure, self.enclosure.shape
        sizes = shape.typesize, shape.blocksize, form.nbytes
        return [self.stamp, self.extents, form.mask, *sizes]

    @classmethod
    def unpack(cls, packed: Sequence[Any]) -> Located:
        """Return what was packed."""
        stamp, extents, mask, typesize, blocksize, nbytes = packed
        return cls(stamp, extents, Enclosure(mask, ChunkShape(typesize, blocksize), nbytes))
