"""The contents of an HDF5 file: what is served of it, and why the rest is not."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import h5py
from h5py import h5o

from caterva2.errors import BadName, SourceCorrupt
from caterva2.hdf5.dimensions import has_no_variable
from caterva2.hdf5.headers import Headers
from caterva2.hdf5.layout import Checks
from caterva2.hdf5.links import ERRORS, SUFFIX, Item, walk
from caterva2.model import EntryFields
from caterva2.names import check_path, group_path
from caterva2.sources.layout import Refused

TURN = 0.05
"""Seconds for which a listing holds the lock, since others wait to read meanwhile."""
PAUSE = 0.0002
"""Seconds between two turns: a lock goes to who waits for it only if we are away."""


@dataclass(slots=True)
class Contents:
    """Contents of a file, or a part of them.

    Attributes
    ----------
    rows : list of EntryFields
        Of the datasets that are served. They are no `Entry`: a process that lists for another
        one need not make 100,000 of them.
    described : list of EntryFields
        Of the groups that have attributes.
    refused : dict
        The reasons why others are not served.
    groups : list of str
        Without the leading slash.
    dimensions : list of str
        The datasets that only keep the name and size of a dimension.
    nbytes : int
        Of all values.
    """

    rows: list[EntryFields] = field(default_factory=list)
    described: list[EntryFields] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    groups: list[str] = field(default_factory=list)
    dimensions: list[str] = field(default_factory=list)
    nbytes: int = 0

    def add(self, part: Contents) -> None:
        """Add the contents of a part."""
        self.rows += part.rows
        self.described += part.described
        self.refused |= part.refused
        self.groups += part.groups
        self.dimensions += part.dimensions
        self.nbytes += part.nbytes


class Lister:
    """Lists one version of a file.

    Parameters
    ----------
    file : h5py.File
    headers : Headers
    checks : Checks
    mtime : float
    etag_of : callable
        Returns the version of the dataset of a path.
    """

    def __init__(
        self,
        file: h5py.File,
        headers: Headers,
        checks: Checks,
        mtime: float,
        etag_of: Callable[[str], str],
    ) -> None:
        self._file = file
        self._headers = headers
        self._checks = checks
        self._mtime = mtime
        self._etag_of = etag_of

    def parts(
        self, lock: AbstractContextManager[object], visit: Callable[[str], None]
    ) -> Iterator[Contents]:
        """Yield the contents in parts, each made in a short turn under a lock.

        Raises
        ------
        SourceCorrupt
            If the file can't be listed at all, as when it changes meanwhile.
        """
        items, more = walk(self._file, self._headers, visit), True
        while more:
            part = Contents()
            try:
                with lock:
                    more = self._turn(items, part)
            except ERRORS as error:
                raise SourceCorrupt(f"the file can't be listed: {error}") from None
            yield part
            time.sleep(PAUSE)

    def _turn(self, items: Iterator[Item], part: Contents) -> bool:
        """Add items to a part until the turn is over; return whether there may be more."""
        end = time.monotonic() + TURN
        for item in items:
            if item.is_group:
                self._note_group(part, item)
            else:
                self._note(part, item)
            if time.monotonic() > end:
                return True
        return False

    def _note_group(self, part: Contents, item: Item) -> None:
        part.groups.append(item.name)
        try:
            path = group_path(item.name)
            if h5o.get_info(item.found).num_attrs:
                part.described.append((path, "group", self._etag_of(path), 0, self._mtime))
        except BadName as error:
            part.refused[item.name] = error.detail
        except ERRORS as error:
            part.refused[item.name] = f"can't be read: {error}"

    def _note(self, part: Contents, item: Item) -> None:
        try:
            path = item.name + SUFFIX
            check_path(path)
            if item.found is None:
                size, nbytes = self._by_header(item)
            elif has_no_variable(item.found):
                part.dimensions.append(item.name)
                return
            else:
                size, nbytes = self._by_library(item)
        except (Refused, BadName) as refused:
            part.refused[item.name] = refused.detail
        except ERRORS as error:
            part.refused[item.name] = f"can't be read: {error}"
        else:
            part.rows.append((path, "array", self._etag_of(path), size, self._mtime))
            part.nbytes += nbytes

    def _by_header(self, item: Item) -> tuple[int, int]:
        """Return the bytes that are stored of a dataset, and those of its values."""
        dtype = self._headers.dtype(item.header) if item.header is not None else None
        if item.header is None or dtype is None:
            raise Refused(item.reason)
        return item.header.size, math.prod(item.header.shape) * dtype.itemsize

    def _by_library(self, item: Item) -> tuple[int, int]:
        dtype, items = self._checks.dtype(item.found)
        if item.header is not None:
            self._headers.note(item.header, dtype)
        return item.found.get_storage_size(), items * dtype.itemsize
