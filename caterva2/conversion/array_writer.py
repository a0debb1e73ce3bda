"""Chunks of a source one by one, and arrays that an import writes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from caterva2.errors import CatervaError
from caterva2.frames.writer import FrameWriter
from caterva2.model import DatasetInfo
from caterva2.sources.base import Source


def write(
    source: Source, info: DatasetInfo, path: Path, made: DatasetInfo, tell: Callable[[int], None]
) -> None:
    """Write an array of a source to a file, which is removed if it can't be read.

    Parameters
    ----------
    source : Source
    info : DatasetInfo
        The array, as the source describes it.
    path : Path
        Of the file, which must not exist.
    made : DatasetInfo
        The array with what is noted of it.
    tell : callable
        Called with the number of chunks that are done.

    Raises
    ------
    CatervaError, OSError
        If it fails.
    """
    try:
        _write(source, info, path, made, tell)
    except CatervaError:
        path.unlink(missing_ok=True)
        raise


def _write(
    source: Source, info: DatasetInfo, path: Path, made: DatasetInfo, tell: Callable[[int], None]
) -> None:
    with FrameWriter(path, made) as writer:
        for run in source.chunks(info.path, info.etag, range(info.nchunks)):
            view, at = memoryview(run.payload), 0
            for size in run.sizes:
                writer.add(view[at : at + size])
                at += size
            tell(run.ids[-1] + 1)
        writer.finish()


def pairs(runs: Iterable[Any]) -> Iterator[tuple[int, memoryview]]:
    """Yield the numbers and chunks of runs."""
    for run in runs:
        view, at = memoryview(run.payload), 0
        for n, size in zip(run.ids, run.sizes, strict=True):
            yield n, view[at : at + size]
            at += size
