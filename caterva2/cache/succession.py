"""What a new version of a dataset takes over from the former one: the chunks that it may share.

The records of the former version become those of candidates, which are not served before the
publisher confirmed that they are chunks of the new version too. They keep their place: the new
version goes on with the data file of the former one, whose replica is only read from then on.
"""

from __future__ import annotations

import contextlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caterva2.cache import chunk_table
from caterva2.cache.chunk_file import ChunkFile
from caterva2.cache.chunk_table import Records
from caterva2.cache.datafile import PARTIAL, SUFFIXES
from caterva2.cache.index import RECORD, Index
from caterva2.cache.readable import Ids
from caterva2.errors import SourceCorrupt
from caterva2.frames import compose, layout
from caterva2.model import DatasetInfo
from caterva2.names import RootName

log = logging.getLogger(__name__)
_GEOMETRY = ("path", "kind", "dtype", "typesize", "chunks", "blocks", "chunksize", "blocksize")
_HANDED_OVER = 2
"""Tries to rename a data file, which gets its final name at the same time."""


@dataclass(frozen=True, slots=True)
class Version:
    """A cached version of a dataset; ``base`` is the path of its files without a suffix."""

    base: Path
    root: RootName
    info: DatasetInfo

    @property
    def has_data(self) -> bool:
        """Whether there is a data file, and not only a description."""
        return data_file(self.base) is not None

    def may_share_with(self, root: RootName, info: DatasetInfo) -> bool:
        """Return whether chunks of another version may be equal to chunks of this one.

        Of plain files only their readers make chunks.
        """
        same = all(getattr(info, name) == getattr(self.info, name) for name in _GEOMETRY)
        return same and self.root == root and info.kind != "file"

    def hand_over(self, base: Path, info: DatasetInfo, opened: ChunkFile | None) -> Index:
        """Leave the data file to a later version; return the index of that.

        The index is made first: after a crash in between there is one without a data file, which
        counts for nothing, and this version is still there.

        Parameters
        ----------
        base : Path
            Of the later version.
        info : DatasetInfo
            The later version, which may share chunks with this one.
        opened : ChunkFile or None
            This version, if it is open.

        Raises
        ------
        OSError, SourceCorrupt
            If that is not possible; this version goes on as before.
        """
        if not self._fits(info):
            raise SourceCorrupt("the header of the former version has another length")
        with contextlib.ExitStack() as undo:
            records = self._records(opened)
            if opened is not None:
                undo.callback(opened.take_back)
            inherited = _inherited(info, self.info, records)
            made = Index.create(base.with_suffix(".index"), self.root, info, inherited)
            undo.callback(made.close)
            self._rename(base.with_suffix(PARTIAL))
            undo.pop_all()
        count = np.count_nonzero(inherited["length"])
        log.info("%s/%s may keep %d chunks of its last version", self.root, info.path, count)
        return made

    def _records(self, opened: ChunkFile | None) -> Records:
        if opened is not None:
            return opened.hand_over()
        index = Index.open(self.base.with_suffix(".index"))
        index.close()
        return index.records

    def _fits(self, info: DatasetInfo) -> bool:
        """Return whether the data file has as much room for a header as that of a version takes."""
        file = data_file(self.base)
        start = b"" if file is None else _start(file)
        return layout.header_length(start) == len(compose.template(info).header)

    def _rename(self, path: Path) -> None:
        for attempt in range(_HANDED_OVER):
            file = data_file(self.base)
            try:
                os.replace(file or self.base, path)
            except FileNotFoundError:
                if attempt == _HANDED_OVER - 1:
                    raise
            else:
                return


def versions(directory: Path) -> list[Version]:
    """Return the cached versions of the dataset of a directory, the last one first."""
    found: list[Version] = []
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(directory):  # a glob takes ten times as long where there is none
            if not name.endswith(".index"):
                continue
            path = directory / name
            with contextlib.suppress(SourceCorrupt, OSError):
                found.append(Version(path.with_suffix(""), *Index.describe(path)))
    return sorted(found, key=lambda version: version.info.mtime, reverse=True)


def data_file(base: Path) -> Path | None:
    """Return the path of a replica's data file, None if there is none."""
    paths = (base.with_suffix(suffix) for suffix in (*SUFFIXES, PARTIAL))
    return next((path for path in paths if path.exists()), None)


def _start(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(layout.HEADER_MIN)


def _inherited(info: DatasetInfo, former: DatasetInfo, records: Records) -> Records:
    """Return the records of a new version, with candidates at the coordinates they had."""
    made = np.zeros(info.nchunks, RECORD)
    places = np.flatnonzero(chunk_table.has_bytes(records))
    there, ids = _moved(info, former, places)
    made[ids] = chunk_table.candidates_of(records[places[there]])
    return made


def _moved(info: DatasetInfo, former: DatasetInfo, places: Ids) -> tuple[Ids, Ids]:
    """Return which chunks of a former version the new one has too, and their numbers there."""
    if not len(places) or not info.nchunks:  # chunks of what is empty may have the length 0
        return places[:0], places[:0]
    before, now = _grid(former), _grid(info)
    if not now:  # a single item
        return np.arange(len(places)), places
    found = np.unravel_index(places, before)
    inside = np.all([at < size for at, size in zip(found, now, strict=True)], axis=0)
    ids = np.ravel_multi_index(tuple(at[inside] for at in found), now)
    return np.flatnonzero(inside), ids.astype(np.int64)


def _grid(info: DatasetInfo) -> tuple[int, ...]:
    return tuple(-(-size // chunk) for size, chunk in zip(info.shape, info.chunks, strict=True))
