"""Layouts of HDF5 datasets: dtype and grid, or the reason why a dataset can't be served."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, NoReturn

import h5py
import numpy as np
from h5py import h5d

from caterva2.arrays.text import Extents, has_text
from caterva2.frames.chunk import ChunkShape
from caterva2.frames.enclosed import Enclosure
from caterva2.hdf5 import frames as hdf5frames
from caterva2.hdf5.links import resolve, root_of
from caterva2.limits import constants
from caterva2.sources import layout as layouts
from caterva2.sources.layout import DType, Refused

BLOSC2 = 32026
FLETCHER32 = 3
NESTED_VIRTUAL = 8
"""Virtual datasets made of virtual ones, one in the other."""
TEXT_CHUNK = 16 * constants.MIB
"""Bytes of a chunk, its text as it is served, above which Blosc2 chooses another shape."""
TYPES = 1000
"""Types of a file that are remembered."""


@dataclass(frozen=True, slots=True)
class Layout(layouts.Layout):
    """The layout of a dataset.

    ``mask`` is what the frames of its stored chunks have in common, or empty if the
    stored chunks are converted.
    """

    mask: bytes = b""

    @property
    def enclosure(self) -> Enclosure | None:
        """The form of the frames of its stored chunks, None if the stored chunks are converted."""
        if not self.mask:
            return None
        shape = ChunkShape.of("array", self.dtype.itemsize, self.blocksize)
        return Enclosure(self.mask, shape, self.chunksize)


class Checks:
    """Finds out which datasets of a file can be served, and with which dtypes.

    Parameters
    ----------
    file : h5py.File
    """

    def __init__(self, file: h5py.File) -> None:
        self._root = root_of(file)
        self._types: dict[bytes, DType | Refused] = {}

    def dtype(self, dataset: Any) -> tuple[DType, int]:
        """Return the dtype that a dataset, given by its identifier, is served with.

        If its items are arrays it is one of arrays, too. The second value is the number of items.

        Raises
        ------
        Refused
            If it can't be served.
        """
        shape = dataset.shape
        if shape is None:
            raise Refused("has an empty dataspace")
        dtype = self._served(dataset)
        ndim = len(shape) + dtype.ndim
        if ndim > constants.NDIM:
            raise Refused(f"has {ndim} dimensions, more than {constants.NDIM}")
        if dataset.get_offset() is None:  # else it is contiguous, and in this file
            plist = dataset.get_create_plist()
            layout = plist.get_layout()
            _check_storage(self._root, dataset, plist, layout)
            if layout == h5d.CHUNKED:
                layouts.check_grid(shape, plist.get_chunk(), dtype)
        return dtype, math.prod(shape)

    def _served(self, dataset: Any) -> DType:
        """`served_dtype`, kept by HDF5's own description of the type: most are of few types."""
        key = dataset.get_type().encode()
        found = self._types.get(key)
        if found is None:
            if len(self._types) >= TYPES:
                self._types.clear()
            try:
                found = served_dtype(dataset)
            except Refused as refused:
                found = refused
            self._types[key] = found
        if isinstance(found, Refused):
            raise Refused(found.detail)
        return found


def served_dtype(dataset: Any, text: Extents | None = None) -> DType:
    """Return a dataset's dtype without padding and without what only HDF5 knows.

    Parameters
    ----------
    dataset : h5py.Dataset or DatasetID
    text : Extents, optional
        Of its text of variable length, if that has been measured.

    Raises
    ------
    Refused
        If Blosc2 can't hold it.
    """
    try:
        stored = (text or Extents()).dtype(dataset.dtype)
    except (TypeError, ValueError, KeyError, RuntimeError) as error:
        raise Refused(f"has a type that numpy does not know: {error}") from None
    inner: tuple[int, ...] = ()
    while stored.subdtype is not None:
        inner, stored = inner + stored.shape, stored.base
    return np.dtype((layouts.served_dtype(stored, _refuse_objects), inner))


def _refuse_objects(dtype: DType) -> NoReturn:
    what = "references" if h5py.check_ref_dtype(dtype) else "items of variable length"
    raise Refused(f"has {what}")


def _check_storage(root: Any, dataset: Any, plist: Any, layout: int, depth: int = 0) -> None:
    if plist.get_external_count():
        raise Refused("keeps its data in other files")
    if layout == h5d.VIRTUAL:
        _check_sources(root, dataset, depth)
    filters = [plist.get_filter(n)[0] for n in range(plist.get_nfilters())]
    checked = filters[:-1] if filters[-1:] == [FLETCHER32] else filters
    if BLOSC2 in checked[:-1]:
        raise Refused("has another filter behind Blosc2")
    for n, code in enumerate(filters):
        if not _is_installed(code):
            name = plist.get_filter(n)[3].decode(errors="replace")
            raise Refused(f"needs the filter {code} ({name}), which is not installed")


def _check_sources(root: Any, dataset: Any, depth: int) -> None:
    """Refuse a virtual dataset whose values are not all in the file."""
    if depth >= NESTED_VIRTUAL:
        raise Refused("is a virtual dataset made of too many others")
    virtual = h5py.Dataset(dataset)
    for source in virtual.virtual_sources():
        if source.file_name != "." or "%" in source.dset_name:
            raise Refused("is a virtual dataset whose sources are not named, or not in here")
        found = resolve(root, virtual.parent.id, source.dset_name.encode())
        if not isinstance(found, h5d.DatasetID):
            raise Refused("is a virtual dataset whose source is missing")
        plist = found.get_create_plist()
        _check_storage(root, found, plist, plist.get_layout(), depth + 1)


@functools.cache
def _is_installed(code: int) -> bool:
    return bool(h5py.h5z.filter_avail(code))


def filter_codes(dataset: h5py.Dataset) -> list[int]:
    """Return the numbers of a dataset's filters, in the order in which they were applied."""
    plist = dataset.id.get_create_plist()
    return [plist.get_filter(n)[0] for n in range(plist.get_nfilters())]


def layout(dataset: h5py.Dataset, dtype: DType, frames: list[bytes]) -> Layout:
    """Return the layout of a dataset that passed `Checks`.

    Parameters
    ----------
    dataset : h5py.Dataset
    dtype : dtype
        The one that `Checks` returned; the axes of items that are arrays become the last ones.
    frames : list of bytes
        Some of its stored chunks, if these are Blosc2 frames of which the bytes are its values.
    """
    shape, chunks = (*dataset.shape, *dtype.shape), dataset.chunks
    if chunks is not None:
        chunks = (*chunks, *dtype.shape)
    dtype = dtype.base
    if has_text(dataset.dtype) and math.prod(chunks or ()) * dtype.itemsize > TEXT_CHUNK:
        chunks = None
    for frame in frames if dataset.size else ():
        form = hdf5frames.form(frame, tuple(chunks), dtype.itemsize)
        if form is not None:
            return Layout(shape, tuple(chunks), form.blocks, dtype, form.cparams, form.mask)
    made = layouts.choose(shape, chunks, dtype)
    return Layout(made.shape, made.chunks, made.blocks, dtype, made.cparams)


def as_stored(dataset: h5py.Dataset, dtype: DType) -> bool:
    """Return whether the decoded bytes of a dataset's chunks are the served values."""
    stored = dataset.dtype
    if stored != dtype or filter_codes(dataset) != [BLOSC2]:
        return False
    try:
        return bool(h5py.h5t.py_create(stored, logical=True).equal(dataset.id.get_type()))
    except (TypeError, ValueError):
        return False
