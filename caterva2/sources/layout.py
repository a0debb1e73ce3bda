"""Grids and dtypes with which arrays of other formats are served, or why they can't be."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import blosc2
import numpy as np

from caterva2.arrays import dtypes
from caterva2.errors import BadMessage, CatervaError
from caterva2.limits import constants
from caterva2.model import CParams

CPARAMS = CParams()
"""How converted chunks are packed: zstd, quick, with shuffle."""
TUNING = f"{blosc2.__version__} {blosc2.compute_chunks_blocks((2**27,), dtype=np.dtype('f8'))}"
"""What the grids that Blosc2 chooses depend on, so that another choice is another version."""
DType = np.dtype[Any]


class Refused(CatervaError):
    """A part of a source that can't be served; the detail is the reason."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The grid, dtype and compression with which an array is served."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    blocks: tuple[int, ...]
    dtype: DType
    cparams: CParams = CPARAMS

    @property
    def padded(self) -> tuple[int, ...]:
        """The shape of a chunk that whole blocks fill."""
        pairs = zip(self.chunks, self.blocks, strict=True)
        return tuple(-(-chunk // block) * block if block else 0 for chunk, block in pairs)

    @property
    def chunksize(self) -> int:
        return int(math.prod(self.padded)) * self.dtype.itemsize

    @property
    def blocksize(self) -> int:
        return int(math.prod(self.blocks)) * self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all values, without padding."""
        return int(math.prod(self.shape)) * self.dtype.itemsize

    @property
    def grid(self) -> tuple[int, ...]:
        """Chunks along each dimension."""
        return tuple(-(-n // c) if n else 0 for n, c in zip(self.shape, self.chunks, strict=True))

    @property
    def nchunks(self) -> int:
        return math.prod(self.grid)

    def position(self, n: int) -> tuple[int, ...]:
        """Return the place of chunk ``n`` in the grid."""
        return tuple(int(i) for i in np.unravel_index(n, self.grid)) if self.grid else ()

    def start(self, n: int) -> tuple[int, ...]:
        """Return the index of the first item of chunk ``n``."""
        return tuple(i * c for i, c in zip(self.position(n), self.chunks, strict=True))

    def slices(self, n: int) -> tuple[slice, ...]:
        """Return the part of the array that chunk ``n`` holds."""
        spans = zip(self.start(n), self.chunks, self.shape, strict=True)
        return tuple(slice(at, min(at + size, end)) for at, size, end in spans)


def choose(shape: tuple[int, ...], chunks: tuple[int, ...] | None, dtype: DType) -> Layout:
    """Return the layout of an array whose blocks, and chunks if it has none, Blosc2 chooses.

    Raises
    ------
    Refused
        If Blosc2 can't hold such a grid.
    """
    if 0 in shape:
        grid = tuple(chunks or shape)
        return Layout(shape, grid, grid, dtype)
    try:
        chosen, blocks = blosc2.compute_chunks_blocks(shape, chunks=chunks, dtype=dtype)
    except (ValueError, TypeError, ZeroDivisionError) as error:
        raise Refused(f"has a grid that Blosc2 can't hold: {error}") from None
    made = Layout(shape, tuple(chosen), tuple(blocks), dtype)
    if made.chunksize > constants.CHUNK_BYTES or made.nchunks > constants.CHUNK_COUNT:
        raise Refused(f"would need {made.nchunks} chunks of {made.chunksize} bytes")
    return made


def check_shape(shape: tuple[int, ...], chunks: tuple[int, ...] | None, dtype: DType) -> None:
    """Refuse a shape that makes no sense, or chunks that do not.

    Raises
    ------
    Refused
        With the numbers.
    """
    if len(shape) > constants.NDIM:
        raise Refused(f"has {len(shape)} dimensions, more than {constants.NDIM}")
    if any(size < 0 for size in shape) or math.prod(shape) * dtype.itemsize >= 2**62:
        raise Refused(f"has a shape that makes no sense: {shape}")
    if chunks is not None:
        if len(chunks) != len(shape) or any(not 0 < size < 2**31 for size in chunks):
            raise Refused(f"has chunks that make no sense: {chunks} of {shape}")
        check_grid(shape, chunks, dtype)


def check_grid(shape: tuple[int, ...], chunks: tuple[int, ...], dtype: DType) -> None:
    """Refuse a grid of too many or too large chunks.

    Raises
    ------
    Refused
        With the numbers.
    """
    count = math.prod(-(-n // c) for n, c in zip(shape, chunks, strict=True))
    if count > constants.CHUNK_COUNT:
        raise Refused(f"has {count} chunks, more than {constants.CHUNK_COUNT}")
    # Padding to whole blocks at most doubles each dimension that is not a block wide.
    if math.prod(chunks) * dtype.itemsize > constants.CHUNK_BYTES // 2:
        raise Refused(f"has chunks of {math.prod(chunks) * dtype.itemsize} bytes, too many")


def _refuse_objects(_: DType) -> NoReturn:
    raise Refused("has items that are Python objects")


def served_dtype(stored: DType, refuse: Callable[[DType], NoReturn] = _refuse_objects) -> DType:
    """Return a dtype without padding and metadata.

    Parameters
    ----------
    stored : dtype
    refuse : callable, optional
        Raises `Refused` for a dtype of objects, with what these are.

    Raises
    ------
    Refused
        If Blosc2 can't hold it.
    """
    if stored.subdtype is not None:
        raise Refused("has items that are arrays")
    try:
        dtype = _plain(stored, refuse)
        if dtypes.parse(dtypes.describe(dtype)) != dtype:
            raise Refused(f"has a type that Blosc2 can't hold: {dtype}")
    except (BadMessage, TypeError, ValueError) as error:
        raise Refused(f"has a type that Blosc2 can't hold: {error}") from None
    return dtype


def _plain(dtype: DType, refuse: Callable[[DType], NoReturn]) -> DType:
    if dtype.fields is not None:
        return np.dtype([(name, _plain(dtype[name], refuse)) for name in dtype.names or ()])
    if dtype.subdtype is not None:
        inner, shape = dtype.subdtype
        return np.dtype((_plain(inner, refuse), shape))
    if dtype.hasobject:
        refuse(dtype)
    return np.dtype(dtype.str)
