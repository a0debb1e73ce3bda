"""Copies of datasets of any root as staged files."""

from __future__ import annotations

import functools
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol

from caterva2.arrays import selection
from caterva2.arrays.fields import Values
from caterva2.arrays.selection import Selection
from caterva2.errors import Busy
from caterva2.frames.sealed import Sealed
from caterva2.limits.constants import FILE_CHUNK, READ_PIECE
from caterva2.model import DatasetInfo, Entry
from caterva2.names import DatasetPath, RootName
from caterva2.runtime.retry import retry_stale_async
from caterva2.runtime.uncancellable import in_thread
from caterva2.sources.versions import open_beneath
from caterva2.special import files
from caterva2.special.directory import os_errors
from caterva2.special.incoming import Sink, Staged
from caterva2.special.root import SpecialRoot

Find = Callable[[RootName], Awaitable[SpecialRoot]]
"""Returns the user's special root of a name; `NotFound` if the user has none."""


class Source(Protocol):
    """A dataset to copy."""

    @property
    def info(self) -> DatasetInfo: ...

    async def values(self, selection: Selection) -> Values: ...

    async def frame(self, selection: Selection) -> bytes | bytearray | Sealed: ...


class Roots(Protocol):
    """The roots that a user may read."""

    async def entries(self, root: RootName) -> Mapping[DatasetPath, Entry]: ...

    async def dataset(self, root: RootName, path: DatasetPath) -> Source: ...


class Copier:
    """Copies datasets that a user may read.

    Parameters
    ----------
    find : callable
    roots : Roots
    """

    def __init__(self, find: Find, roots: Roots) -> None:
        self._find = find
        self._roots = roots

    async def write(
        self, root: RootName, path: DatasetPath, staged: Staged, relative: str = ""
    ) -> None:
        """Write a copy of one version of a dataset; starts over if it changes meanwhile."""

        async def once() -> None:
            await self._once(root, path, await in_thread(lambda: staged.open(relative)))

        with os_errors(path):
            await retry_stale_async(
                once,
                exhausted=lambda: Busy(f"{root}/{path} keeps changing", after_ms=1000),
            )

    async def _once(self, root: RootName, path: DatasetPath, sink: Sink) -> None:
        try:
            directory = (await self._find(root)).directory if root.is_special else None
            if directory is not None and not directory.source.container_of(path):
                await in_thread(lambda: _copy_file(directory.path, path, sink))
            else:
                await _fetch(await self._roots.dataset(root, path), sink)
            await in_thread(sink.finish)
        finally:
            sink.close()


async def _fetch(dataset: Source, sink: Sink) -> None:
    """Write one version of a dataset as a file."""
    info = dataset.info
    if info.kind != "file":
        frame = await dataset.frame(selection.whole(info.shape))
        await in_thread(lambda: _copy_frame(frame, sink))
        return
    for start in range(0, info.nbytes, FILE_CHUNK):
        part = range(start, min(start + FILE_CHUNK, info.nbytes))
        values = await dataset.values(Selection(info.shape, (part,)))
        await in_thread(functools.partial(sink.write, values.tobytes()))


def _copy_frame(frame: bytes | bytearray | Sealed, sink: Sink) -> None:
    if not isinstance(frame, Sealed):
        sink.write(frame)
        return
    for start in range(0, frame.size, READ_PIECE):
        sink.write(frame.pread(READ_PIECE, start))


def _copy_file(directory: Path, path: DatasetPath, sink: Sink) -> None:
    fd = open_beneath(str(directory), path)
    try:
        files.copy(fd, sink)
    finally:
        os.close(fd)
