"""How many bytes the cache has of some datasets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Collection, Hashable
from pathlib import Path
from typing import Final

from caterva2.names import DatasetPath, RootName
from caterva2.runtime.lru import Lru
from caterva2.runtime.uncancellable import in_thread

REST: Final = 20.0
"""Times as long as counting took, for which its result counts."""
_KEPT: Final = 10_000
"""Roots whose results are kept."""


class Tally:
    """Count the bytes of files below the directories of datasets.

    Counting looks at each dataset of a root, so its result counts for a while, and one thread
    counts at a time, however many ask.

    Parameters
    ----------
    directory : Path
        The cache: in it are directories, in each of which are those of datasets.
    place : callable
        The directory of a dataset.
    clock : callable, optional
        Monotonic seconds.
    """

    def __init__(
        self,
        directory: Path,
        place: Callable[[Path, RootName, DatasetPath], Path],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._place = place
        self._clock = clock
        self._turn = asyncio.Lock()
        self._sizes: tuple[float, dict[str, int]] = (float("-inf"), {})
        self._counted: Lru[Hashable, tuple[float, int]] = Lru(_KEPT)

    async def of(self, root: RootName, paths: Collection[DatasetPath]) -> int:
        """Return the bytes of all versions of some datasets of a root."""
        found = self._known(root)
        if found is None:
            async with self._turn:
                found = self._known(root)
                if found is None:
                    found = await in_thread(lambda: self._count(root, paths))
        return found

    def _known(self, root: RootName) -> int | None:
        until, total = self._counted.get(root, (float("-inf"), 0))
        return total if self._clock() < until else None

    def _count(self, root: RootName, paths: Collection[DatasetPath]) -> int:
        began = self._clock()
        sizes = self._all_sizes()
        names = (self._place(self._directory, root, path).name for path in paths)
        total = sum(sizes.get(name, 0) for name in names) if sizes else 0
        now = self._clock()
        self._counted.put(root, (now + REST * (now - began), total))
        return total

    def _all_sizes(self) -> dict[str, int]:
        """Return the bytes below each directory of a dataset, by its name."""
        until, sizes = self._sizes
        if self._clock() < until:
            return sizes
        began, sizes = self._clock(), {}
        for group in _entries(self._directory):
            for dataset in _entries(group.path):
                sizes[dataset.name] = sum(map(_size, _entries(dataset.path)))
        now = self._clock()
        self._sizes = now + REST * (now - began), sizes
        return sizes


def _entries(directory: str | Path) -> list[os.DirEntry[str]]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(directory) as found:
        return list(found)
    return []


def _size(file: os.DirEntry[str]) -> int:
    with contextlib.suppress(FileNotFoundError):  # it is removed meanwhile
        return file.stat(follow_symlinks=False).st_size
    return 0
