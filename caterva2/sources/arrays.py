"""A base of sources whose arrays can be read by slices, of any format.

A subclass says which arrays there are and reads values. All else is done for it: packing into
Blosc2 chunks too.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from caterva2.errors import SourceCorrupt
from caterva2.sources import layout as layouts
from caterva2.sources.chunk_source import Array as Array
from caterva2.sources.chunk_source import ChunkSource
from caterva2.sources.conversions import pack
from caterva2.sources.layout import Layout


class ArraySource(ChunkSource):
    """Serves arrays that a subclass lists and reads, by its `names`, `array` and `read`.

    Parameters
    ----------
    limits : PublisherLimits, optional
    """

    @abstractmethod
    def read(self, name: str, slices: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Return the values of a chunk of an array, in the array's dtype.

        Parameters
        ----------
        name : str
        slices : tuple of slice
            A start and a stop for each dimension.
        """

    def chunk(self, name: str, layout: Layout, etag: str, n: int) -> bytes:
        made = self.kept.get((etag, n))
        if made is None:
            values = np.zeros(layout.padded, layout.dtype)
            slices = layout.slices(n)
            place = tuple(slice(0, part.stop - part.start) for part in slices)
            values[place] = _checked(self.read(name, slices), values[place])
            made = pack(values, layout)
            self.kept.put((etag, n), made)
        return made


def _checked(found: npt.NDArray[Any], place: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Refuse values that are not those of an array, since numpy would fit them in silently."""
    if found.shape != place.shape or layouts.served_dtype(found.dtype) != place.dtype:
        raise SourceCorrupt(
            f"{found.dtype} of the shape {found.shape} was read, not {place.dtype} of {place.shape}"
        )
    return found
