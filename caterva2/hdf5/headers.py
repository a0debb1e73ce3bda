"""Object headers of HDF5 files, read without the HDF5 library.

Opening a dataset takes the library several times as long as reading the few messages that a listing
needs: type, extent, layout and filters. They are read here where they are of the usual form, and
where there is any doubt the library has to look. What they say decides about a listing only: a
dataset is opened by the library when it is read.
"""

from __future__ import annotations

import math
import os
import struct
from typing import Any, NamedTuple

import h5py

from caterva2.errors import CatervaError
from caterva2.limits import constants
from caterva2.sources import layout as layouts
from caterva2.sources.layout import DType

FIRST = 512
"""Bytes that are read of a header at first: most are smaller."""
MOST = 64 * constants.KIB
"""Bytes of a header, with all its parts, above which the library looks."""
KINDS = 1000
"""Kinds of datasets of a file that are remembered."""
UNDEFINED = 2**64 - 1
SPACE, TYPE, LAYOUT, FILTERS, CONTINUED = 1, 3, 8, 11, 16
ATTRIBUTES = (12, 21)
IGNORED = (0, 4, 5, 13, 14, 18, 22)
"""Padding, fill values, comments, times, counts of links."""
COMPACT, CONTIGUOUS, CHUNKED = range(3)
SHARED = 2
"""The flag of a message that is elsewhere."""
Extent = tuple[int, ...]


class Header(NamedTuple):
    """What an object header says about a dataset.

    Attributes
    ----------
    kind : bytes
        Its type and filters as HDF5 describes them, and how its data lies in the file.
    shape : tuple of int
    chunks : tuple of int or None
    size : int
        Bytes that are stored.
    """

    kind: bytes
    shape: Extent
    chunks: Extent | None
    size: int


class Headers:
    """Reads headers of one version of a file, and knows which kinds of datasets can be served.

    Parameters
    ----------
    fd : int
        A descriptor of the file.
    file : h5py.File
    """

    def __init__(self, fd: int, file: h5py.File) -> None:
        created = file.id.get_create_plist()
        self._fd = fd
        self._base = created.get_userblock()
        self._is_usual = created.get_sizes() == (8, 8) and not file.swmr_mode
        self._served: dict[bytes, DType] = {}

    def read(self, address: int) -> Header | None:
        """Return the header of a dataset at an address, None where the library has to look."""
        if not self._is_usual:
            return None
        try:
            return self._dataset(self._messages(address))
        except (struct.error, OSError, OverflowError, _Unusual, IndexError, KeyError):
            return None

    def note(self, header: Header, dtype: DType) -> None:
        """Remember that the library found a dataset fit to be served, and with which dtype."""
        if len(self._served) >= KINDS:
            self._served.clear()
        self._served[header.kind] = dtype

    def dtype(self, header: Header) -> DType | None:
        """Return the dtype that a dataset is served with, None where the library has to look."""
        dtype = self._served.get(header.kind)
        if dtype is None or len(header.shape) + dtype.ndim > constants.NDIM:
            return None
        if header.chunks is not None:
            try:
                layouts.check_grid(header.shape, header.chunks, dtype)
            except CatervaError:
                return None
        return dtype

    # --- messages ---

    def _messages(self, address: int) -> dict[int, bytes]:
        """Return the messages that matter by their types."""
        block = self._read(address, FIRST)
        found: dict[int, bytes] = {}
        parts: list[tuple[int, int]] = []
        if block[:4] == b"OHDR" and block[4] == 2:
            start, size, form = _beginning(block)
        elif block[0] == 1:
            start, size, form = 16, struct.unpack_from("<I", block, 8)[0], _V1
        else:
            raise _Unusual
        if start + size > len(block):
            block = self._read(address, start + size)
        form.collect(block, start, start + size, found, parts)
        left = MOST - size
        while parts:
            at, size = parts.pop()
            left -= size
            block = self._read(at, size, left)
            if form is not _V1 and block[:4] != b"OCHK":
                raise _Unusual
            form.collect(block, form.before, size - form.behind, found, parts)
        return found

    def _read(self, address: int, size: int, most: int = MOST) -> bytes:
        if size > most:
            raise _Unusual
        return os.pread(self._fd, size, self._base + address)

    # --- what they say ---

    def _dataset(self, found: dict[int, bytes]) -> Header:
        shape, stored = _shape(found[SPACE]), found[TYPE]
        layout, filters = found[LAYOUT], found.get(FILTERS, b"")
        itemsize: int = struct.unpack_from("<I", stored, 4)[0]
        form, chunks = layout[1], None
        if form == CHUNKED and layout[0] == 3:
            size, chunks = self._chunked(layout, shape)
        elif form in (COMPACT, CONTIGUOUS) and layout[0] in (3, 4) and not filters:
            at, size = 0, struct.unpack_from("<H", layout, 2)[0]
            if form == CONTIGUOUS:
                at, size = struct.unpack_from("<QQ", layout, 2)
            if size != math.prod(shape) * itemsize:
                raise _Unusual
            size = 0 if at == UNDEFINED else size
        else:
            raise _Unusual
        if not size and any(kind in found for kind in ATTRIBUTES):
            raise _Unusual  # it may only keep the name of a dimension
        return Header(b"%c%d %b%b" % (form, len(stored), stored, filters), shape, chunks, size)

    def _chunked(self, layout: bytes, shape: Extent) -> tuple[int, Extent]:
        """Return the stored bytes of all chunks, if one node has them, and their shape."""
        ndim = layout[2]
        address, *chunks = struct.unpack_from(f"<Q{ndim}I", layout, 3)
        if ndim != len(shape) + 1 or 0 in chunks:
            raise _Unusual
        size = 0
        if address != UNDEFINED:
            head = self._read(address, 24)
            kind, level, count = struct.unpack_from("<BBH", head, 4)
            if head[:4] != b"TREE" or (kind, level) != (1, 0):
                raise _Unusual
            step = 16 + 8 * ndim
            node = self._read(address + 24, count * step)
            size = sum(struct.unpack_from("<I", node, n * step)[0] for n in range(count))
        return size, tuple(chunks[:-1])


class _Unusual(Exception):
    """A header of which the library has to say what it means."""


class _Form(NamedTuple):
    """How a version of headers has its messages: head, bytes of it, and around a further part."""

    head: Any
    width: int
    before: int = 0
    behind: int = 0

    def collect(
        self, block: bytes, at: int, end: int, found: dict[int, bytes], parts: list[tuple[int, int]]
    ) -> None:
        """Add the messages of a part, and the further parts that it names."""
        if len(block) < end:
            raise _Unusual
        unpack, width = self.head.unpack_from, self.width
        while at + width <= end:
            kind, size, flags = unpack(block, at)
            at += width
            if kind in _WANTED:
                if flags & SHARED or kind in found or at + size > end:
                    raise _Unusual
                found[kind] = block[at : at + size]
            elif kind == CONTINUED:
                parts.append(struct.unpack_from("<QQ", block, at))
            elif kind in ATTRIBUTES:
                found[kind] = b""
            elif kind not in IGNORED:
                raise _Unusual
            at += size


_V1 = _Form(struct.Struct("<HHB"), 8)
_V2 = _Form(struct.Struct("<BHB"), 4, 4, 4)
_V2_ORDERED = _Form(struct.Struct("<BHB"), 6, 4, 4)
_WANTED = frozenset((SPACE, TYPE, LAYOUT, FILTERS))


def _beginning(block: bytes) -> tuple[int, int, _Form]:
    """Return where the messages of a header of version 2 begin, their size and form."""
    flags, at = block[5], 6
    at += (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    size = int.from_bytes(block[at : at + width], "little")
    return at + width, size, _V2_ORDERED if flags & 4 else _V2


def _shape(space: bytes) -> Extent:
    version, ndim = space[0], space[1]
    if version == 1:
        at = 8
    elif version == 2 and space[3] < 2:
        at = 4
    else:
        raise _Unusual
    shape: Extent = struct.unpack_from(f"<{ndim}Q", space, at)
    return shape
