"""Datasets of any root written as files, for a special root to take."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol

from caterva2 import limits
from caterva2.arrays import selection
from caterva2.arrays.fields import Values
from caterva2.arrays.selection import Selection
from caterva2.errors import Busy, StaleVersion
from caterva2.frames.sealed import Sealed
from caterva2.model import DatasetInfo, Entry
from caterva2.names import DatasetPath, RootName
from caterva2.runtime.uncancellable import in_thread
from caterva2.sources.versions import open_beneath
from caterva2.special import files
from caterva2.special.directory import naming
from caterva2.special.incoming import Sink, Staged
from caterva2.special.root import SpecialRoot

Find = Callable[[RootName], Awaitable[SpecialRoot]]
"""The special root of a name; `NotFound` if there is none for who asks."""
TRIES = 5
"""How often a copy starts over because what it is of was replaced."""


class Source(Protocol):
    """A dataset that is copied."""

    @property
    def info(self) -> DatasetInfo: ...

    async def values(self, wanted: Selection) -> Values: ...

    async def frame(self, wanted: Selection) -> bytes | bytearray | Sealed: ...


class Roots(Protocol):
    """The roots as a user sees them."""

    async def entries(self, root: RootName) -> Mapping[DatasetPath, Entry]: ...

    async def dataset(self, root: RootName, path: DatasetPath) -> Source: ...


class Copier:
    """Copies what a user sees.

    Parameters
    ----------
    find : callable
    roots : Roots
    """

    def __init__(self, find: Find, roots: Roots) -> None:
        self._find = find
        self.roots = roots

    async def write(
        self, root: RootName, path: DatasetPath, made: Staged, relative: str = ""
    ) -> None:
        """Write a copy of a dataset; of its newest version if that changes meanwhile."""
        for _ in range(TRIES):
            with naming(path), contextlib.suppress(StaleVersion):
                await self._once(root, path, await in_thread(lambda: made.open(relative)))
                return
        raise Busy(f"{root}/{path} changes again and again", after_ms=1000)

    async def _once(self, root: RootName, path: DatasetPath, sink: Sink) -> None:
        try:
            if root.is_special:
                directory = (await self._find(root)).space.directory
                await in_thread(lambda: _copy_file(directory, path, sink))
            else:
                await _fetch(await self.roots.dataset(root, path), sink)
            await in_thread(sink.finish)
        finally:
            sink.close()


async def _fetch(dataset: Source, sink: Sink) -> None:
    """Write a dataset as a file, all of one version."""
    info = dataset.info
    if info.kind != "file":
        frame = await dataset.frame(selection.whole(info.shape))
        await in_thread(lambda: _copy_frame(frame, sink))
        return
    for start in range(0, info.nbytes, limits.FILE_CHUNK):
        part = range(start, min(start + limits.FILE_CHUNK, info.nbytes))
        values = await dataset.values(Selection(info.shape, (part,)))
        await in_thread(functools.partial(sink.write, values.tobytes()))


def _copy_frame(frame: bytes | bytearray | Sealed, sink: Sink) -> None:
    if not isinstance(frame, Sealed):
        sink.write(frame)
        return
    for start in range(0, frame.size, limits.READ_PIECE):
        sink.write(frame.pread(limits.READ_PIECE, start))


def _copy_file(directory: Path, path: DatasetPath, sink: Sink) -> None:
    fd = open_beneath(str(directory), path)
    try:
        files.copy(fd, sink)
    finally:
        os.close(fd)
