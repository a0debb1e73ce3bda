"""Verify the whole cache, and repair it if that is wanted, while no subscriber uses it."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from caterva2.cache import succession
from caterva2.cache.chunk_table import SPECIAL, ChunkTable
from caterva2.cache.index import NEW, Index
from caterva2.cache.replica import Replica
from caterva2.errors import CatervaError
from caterva2.frames import compose
from caterva2.frames.raw import crc32

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Report:
    """Results of a check.

    Attributes
    ----------
    replicas, complete, chunks, nbytes : int
        Replicas and how many of them are complete; correct chunks, and their bytes.
    damaged : list of str
        Datasets with damaged chunks, which are forgotten now, or will be, and are fetched again.
    removed : list of str
        Files that belong to no replica, and were removed if it was repaired.
    """

    replicas: int = 0
    complete: int = 0
    chunks: int = 0
    nbytes: int = 0
    damaged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing has to be repaired."""
        return not self.damaged and not self.removed


def check(directory: Path) -> Report:
    """Verify the digest of every chunk below a cache directory, and repair the damage.

    Raises
    ------
    OSError
        If the directory can't be read or repaired.
    """
    report = Report()
    for path in sorted(directory.rglob("*.index")):
        _check_replica(path, report)
    for path in sorted(directory.rglob("*")):
        if path.is_file() and not path.with_suffix(".index").exists():
            path.unlink()
            if path.suffix != NEW:  # an index that a crash left unfinished
                report.removed.append(str(path.relative_to(directory)))
    return report


def look(directory: Path) -> Report:
    """Verify the digest of every chunk below a cache directory, and change nothing.

    Raises
    ------
    OSError
        If the directory can't be read.
    """
    report = Report()
    for path in sorted(directory.rglob("*.index")):
        try:
            index = Index.open(path)
        except CatervaError:
            report.removed.append(str(path.relative_to(path.parents[2])))
            continue
        try:
            _look_at(index, path.with_suffix(""), report)
        finally:
            index.close()
    for path in sorted(directory.rglob("*")):
        if path.is_file() and not path.with_suffix(".index").exists():
            report.removed.append(str(path.relative_to(directory)))
    return report


def _look_at(index: Index, base: Path, report: Report) -> None:
    file = succession.data_file(base)
    records = index.records.copy()
    table = ChunkTable(records)
    lost = 0
    if file is None:
        table.clear()
    else:
        start = len(compose.template(index.info).header)
        lost = table.load(file.stat().st_size - start)
        lost += _forget_damaged(table, file, start)
    if lost:
        report.damaged.append(f"{index.root}/{index.info.path}: {lost} chunks")
    report.replicas += 1
    report.complete += table.complete
    report.chunks += table.count
    report.nbytes += table.nbytes


def _forget_damaged(table: ChunkTable, file: Path, start: int) -> int:
    lost = 0
    with file.open("rb") as data:
        for n in range(len(table)):
            found = table.stored(n)
            if found is None or found[0] >= SPECIAL:
                continue
            offset, length, crc = found
            if crc32(os.pread(data.fileno(), length, start + offset)) != crc:
                table.forget(n)
                lost += 1
    return lost


def _check_replica(path: Path, report: Report) -> None:
    try:
        replica = Replica(Index.open(path), path.with_suffix(""))
    except CatervaError as error:
        log.warning("%s", error)
        path.unlink()
        report.removed.append(str(path.relative_to(path.parents[2])))
        return
    everything = np.arange(replica.info.nchunks)
    before = replica.cached_chunks
    replica.verify(everything)
    if replica.cached_chunks < before + replica.torn_chunks:
        lost = before + replica.torn_chunks - replica.cached_chunks
        report.damaged.append(f"{replica.root}/{replica.info.path}: {lost} chunks")
    report.replicas += 1
    report.complete += replica.complete
    report.chunks += replica.cached_chunks
    report.nbytes += replica.cached_bytes
    replica.close()
