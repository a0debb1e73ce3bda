"""Datasets that an export writes: created as the imported one was, and filled chunk by chunk."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import blosc2
import h5py
import numpy as np
from h5py import h5d, h5p, h5s, h5t

from caterva2.arrays import dtypes
from caterva2.conversion import compression, hdf5_types
from caterva2.conversion.attributes import FAILURES
from caterva2.conversion.compression import Compression
from caterva2.conversion.hdf5_types import Described
from caterva2.conversion.memory import Memory
from caterva2.conversion.notes import LARGE, Notes
from caterva2.frames import compose
from caterva2.frames.chunk import HEADER, special_offset
from caterva2.model import CParams, DatasetInfo
from caterva2.sources.layout import Refused, check_grid

FILTERS = frozenset({0, 1, 2, 3, 4})
"""Blosc2's own filters, which every HDF5 filter built on it has."""
_ZEROS = 0x81 << 56
"""The offset of a chunk of zeros, see `frames.chunk.special_offset`."""


@dataclass(frozen=True, slots=True)
class Created:
    """A dataset without data, and what its values are laid out as."""

    dataset: h5py.Dataset
    described: Described
    made: Any
    inner: int
    """Axes of the array that belong to its items."""
    direct: bool
    """Whether frames of Blosc2 can be written as they are."""
    sparse: bool
    """Whether zeros are what is read where nothing was written."""


def create(
    group: h5py.Group, name: str, info: DatasetInfo, kept: Notes, mode: Compression, named: Any
) -> Created:
    """Create a dataset without data, as the imported one was if its notes say so.

    Parameters
    ----------
    group : h5py.Group
    name : str
    info : DatasetInfo
    kept : dict
        Its notes.
    mode : str
        See `compression.Compression`.
    named : TypeID, optional
        Its type, if that is one with a name in the file.

    Raises
    ------
    Refused
        If HDF5 can't hold it.
    """
    try:
        return _create(group, name, info, kept, mode, named)
    except FAILURES as error:
        raise Refused(f"has a type or grid that HDF5 can't hold: {error}") from None


def _create(
    group: h5py.Group, name: str, info: DatasetInfo, kept: Notes, mode: Compression, named: Any
) -> Created:
    dtype = dtypes.parse(info.dtype)
    described = kept.get("type") or _type(dtype)
    inner = len(described[1]) if described[0] == "array" else 0
    if inner and info.shape[len(info.shape) - inner :] != tuple(described[1]):
        raise ValueError("its last axes are not those of its items")
    made = hdf5_types.make(described)
    Memory().items(described, np.zeros(info.shape[len(info.shape) - inner :], dtype))
    shape = info.shape[: len(info.shape) - inner]
    plist, most = _plist(info, kept, described, mode, len(shape))
    space = h5s.create_simple(shape, most) if shape else h5s.create(h5s.SCALAR)
    stored = made if named is None or not named.equal(made) else named
    created = h5py.Dataset(h5d.create(group.id, name.encode(), stored, space, plist))
    direct = (
        not inner
        and compression.is_blosc2(created)
        and created.chunks == info.chunks
        and created.dtype == dtype
        and FILTERS.issuperset(info.cparams.filters)
        and not _is_space_padded(made)
    )
    return Created(created, described, made, inner, direct, "fill" not in kept)


def create_dimension(group: h5py.Group, name: str, kept: Notes) -> h5py.Dataset:
    """Create a dataset that only keeps the name and size of a dimension; nothing is written to it.

    Raises
    ------
    TypeError, ValueError, KeyError, RuntimeError
        If its notes make no sense.
    """
    described, size = kept["type"], int(kept["size"])
    made, plist, most = hdf5_types.make(described), h5p.create(h5p.DATASET_CREATE), None
    if kept.get("chunks"):
        chunks = (int(kept["chunks"][0]),)
        check_grid((size,), chunks, np.dtype(f"V{made.get_size()}"))
        plist.set_chunk(chunks)
        (limit,) = kept.get("maxshape") or (size,)
        most = (h5s.UNLIMITED if limit is None else int(limit),)
        filters = compression.filters_of(kept.get("filters"), "keep", described, made.get_size())
        compression.apply(plist, filters, CParams())
    if kept.get("ordered"):
        plist.set_attr_creation_order(h5p.CRT_ORDER_TRACKED | h5p.CRT_ORDER_INDEXED)
    space = h5s.create_simple((size,), most)
    return h5py.Dataset(h5d.create(group.id, name.encode(), made, space, plist))


def _plist(
    info: DatasetInfo, kept: Notes, described: Described, mode: Compression, ndim: int
) -> tuple[Any, tuple[int | None, ...] | None]:
    """Return how a dataset is stored, and its maximum shape."""
    plist, most = h5p.create(h5p.DATASET_CREATE), None
    made = hdf5_types.make(described)
    chunks = tuple(kept["chunks"]) if "chunks" in kept else info.chunks
    chunks = chunks[:ndim]
    if chunks and 0 not in chunks:
        check_grid(info.shape[:ndim], chunks, np.dtype(f"V{made.get_size()}"))
        plist.set_chunk(chunks)
        room = tuple(map(max, info.shape[:ndim], chunks))
        most = tuple(h5s.UNLIMITED if n is None else n for n in kept.get("maxshape") or room)
        filters = compression.filters_of(kept.get("filters"), mode, described, made.get_size())
        compression.apply(plist, filters, info.cparams)
    if "fill" in kept:
        plist.set_fill_value(np.frombuffer(kept["fill"], made.dtype)[:1].reshape(()))
    if kept.get("ordered") or any(len(packed) > LARGE for packed in info.vlmeta.values()):
        plist.set_attr_creation_order(h5p.CRT_ORDER_TRACKED | h5p.CRT_ORDER_INDEXED)
    return plist, most


def _is_space_padded(made: Any) -> bool:
    return isinstance(made, h5t.TypeStringID) and made.get_strpad() == h5t.STR_SPACEPAD


def _type(dtype: np.dtype[Any]) -> Described:
    """Return the type of an array that was not imported.

    HDF5 has no UTF-32; a character takes up to four bytes in UTF-8, too.
    """
    if dtype.kind == "U":
        return ["string", dtype.itemsize, int(h5t.STR_NULLPAD), int(h5t.CSET_UTF8)]
    return hdf5_types.of_values(np.zeros((), dtype))


def fill(
    created: Created, info: DatasetInfo, chunks: Iterable[tuple[int, memoryview]]
) -> tuple[int, int]:
    """Write all chunks; return how many are kept as they are, and how many were converted.

    Zeros are left out where they are read all the same.

    Raises
    ------
    Refused
        If there is text that is not Unicode, or a value that its type can't hold.
    """
    filling, held = _Filling(created, info), list[tuple[int, bytes]]()
    same_grid = created.dataset.chunks == info.chunks
    for n, chunk in chunks:
        untouched = same_grid or not filling.converted
        if created.sparse and special_offset(chunk) == _ZEROS and untouched:
            held.append((n, bytes(chunk)))
            continue
        # Storage without chunks is allocated as a whole, and may not be zeros then.
        for one in (*(() if same_grid else held), (n, chunk)):
            filling.put(*one)
        if not same_grid:
            held.clear()
    return filling.kept + len(held), filling.converted


class _Filling:
    def __init__(self, created: Created, info: DatasetInfo) -> None:
        self._created, self._info = created, info
        self._parts = compose.array_template(
            info.chunks, info.chunks, info.blocks, info.dtype, info.cparams
        )
        self.kept = self.converted = 0

    def put(self, n: int, chunk: bytes | memoryview) -> None:
        start, frame = _start(self._info, n), bytes(compose.frame(self._parts, [chunk]))
        if self._created.direct and len(chunk) > HEADER and not chunk[31] >> 4:
            self._created.dataset.id.write_direct_chunk(start, frame)
            self.kept += 1
        else:
            values = blosc2.ndarray_from_cframe(frame)[()]
            _write(self._created, self._info, start, values)
            self.converted += 1


def _start(info: DatasetInfo, n: int) -> tuple[int, ...]:
    grid = tuple(-(-size // chunk) for size, chunk in zip(info.shape, info.chunks, strict=True))
    where = np.unravel_index(n, grid) if grid else ()
    return tuple(int(i) * chunk for i, chunk in zip(where, info.chunks, strict=True))


def _write(created: Created, info: DatasetInfo, start: tuple[int, ...], values: Any) -> None:
    count = tuple(
        min(n, size - at) for n, size, at in zip(info.chunks, info.shape, start, strict=True)
    )
    values = np.asarray(values)[tuple(map(slice, count))]
    memory = Memory()
    try:
        raw = memory.items(created.described, values)
    except UnicodeEncodeError as error:
        raise Refused(f"has text that is not Unicode: {error}") from None
    except (ValueError, TypeError) as error:
        raise Refused(f"has values that its type can't hold: {error}") from None
    here = space = h5s.ALL
    if raw.shape and math.prod(raw.shape):
        here, space = h5s.create_simple(raw.shape), created.dataset.id.get_space()
        space.select_hyperslab(start[: raw.ndim], raw.shape)
    created.dataset.id.write(here, space, raw, mtype=created.made)
