"""Numbers that say what changed since something was permitted, in memory that processes share.

The core raises a number at once with the change that it stands for, before anything is announced.
A worker compares the numbers before each answer, without asking.
"""

from __future__ import annotations

import mmap
import os
import threading
import zlib
from collections.abc import Collection
from typing import Final

from caterva2.names import DatasetPath, RootName

COUNT: Final = 8192
"""Numbers: the first one is of all, others are shared by those roots or datasets that fall on it,
which costs questions and nothing else."""
MANY: Final = 1000
"""Datasets that change at once, from which on the number of their root is raised."""
Marks = tuple[tuple[int, int], ...]
"""Numbers by their places."""


class Generations:
    """The numbers as the core has them: `caterva2.runtime.events.Doubted`.

    Attributes
    ----------
    descriptor : int
        Of the memory, for workers.
    """

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("caterva2-generations", os.MFD_CLOEXEC)
        os.ftruncate(self.descriptor, 8 * COUNT)
        self._map = mmap.mmap(self.descriptor, 8 * COUNT)
        self._numbers = memoryview(self._map).cast("Q")
        self._lock = threading.Lock()

    def _raise(self, place: int) -> None:
        with self._lock:
            self._numbers[place] += 1

    def doubt_all(self) -> None:
        """Note that rights or users changed."""
        self._raise(0)

    def doubt_root(self, root: RootName) -> None:
        """Note that a root changed as a whole, or who may read it."""
        self._raise(_place(root))

    def doubt_datasets(self, root: RootName, paths: Collection[DatasetPath]) -> None:
        """Note that some datasets have other versions."""
        if len(paths) >= MANY:
            self.doubt_root(root)
            return
        for path in paths:
            self._raise(_place(f"{root}/{path}"))

    def marks(self, root: RootName, path: DatasetPath) -> Marks:
        """Return the numbers that a permission for a dataset depends on."""
        places = 0, _place(root), _place(f"{root}/{path}")
        return tuple((place, self._numbers[place]) for place in places)

    def close(self) -> None:
        """Let go of the memory."""
        self._numbers.release()
        self._map.close()
        os.close(self.descriptor)


class SeenGenerations:
    """The numbers as a worker sees them.

    Parameters
    ----------
    descriptor : int
    """

    def __init__(self, descriptor: int) -> None:
        self._map = mmap.mmap(descriptor, 8 * COUNT, prot=mmap.PROT_READ)
        self._numbers = memoryview(self._map).cast("Q")

    def are(self, marks: Marks) -> bool:
        """Return whether numbers are what they were."""
        numbers = self._numbers
        for place, number in marks:  # noqa: SIM110 - a generator takes longer, for each answer
            if numbers[place] != number:
                return False
        return True


def _place(name: str) -> int:
    return 1 + zlib.crc32(name.encode()) % (COUNT - 1)
