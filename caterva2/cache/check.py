"""Verify and repair the whole cache, while no subscriber uses it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from caterva2.cache.index import NEW, Index
from caterva2.cache.replica import Replica
from caterva2.errors import CatervaError

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Report:
    """Results of a check.

    Attributes
    ----------
    replicas, complete, chunks, nbytes : int
        Replicas and how many of them are complete; correct chunks, and their bytes.
    damaged : list of str
        Datasets with damaged chunks, which are forgotten now and will be fetched again.
    removed : list of str
        Files that belonged to no replica and were removed.
    """

    replicas: int = 0
    complete: int = 0
    chunks: int = 0
    nbytes: int = 0
    damaged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing had to be repaired."""
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
