"""Chunks read straight from the file, where another process has found and checked them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from caterva2.frames.raw import Run
from caterva2.sources import versions

Extent = tuple[int, int]
"""Offset and size in bytes."""


def runs(
    path: Path, stamp: Sequence[int], ids: Sequence[int], extents: Sequence[Extent], room: int
) -> Iterator[Run]:
    """Yield some chunks of one version of a file; end early if it is not that version any more.

    Parameters
    ----------
    path : Path
    stamp : sequence of int
        Names the version, see `versions.stamp`.
    ids : sequence of int
        The chunks.
    extents : sequence of tuple
        Where each of them is.
    room : int
        Bytes at which a run ends, one chunk at least.
    """
    with contextlib.ExitStack() as stack:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return
        stack.callback(os.close, fd)
        start = 0
        while start < len(extents):
            stop = _end(ids, extents, start, room)
            sizes = [size for _, size in extents[start:stop]]
            pieces = [os.pread(fd, size, offset) for offset, size in extents[start:stop]]
            if list(map(len, pieces)) != sizes or not _is_current(fd, path, stamp):
                return
            payload = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            del pieces
            yield Run(list(ids[start:stop]), sizes, payload)
            del payload
            start = stop


def _end(ids: Sequence[int], extents: Sequence[Extent], start: int, room: int) -> int:
    """Return where the run ends that begins at a chunk; no chunk is twice in it."""
    total, seen = 0, set[int]()
    for at in range(start, len(extents)):
        total += extents[at][1]
        if at > start and (total > room or ids[at] in seen):
            return at
        seen.add(ids[at])
    return len(extents)


def _is_current(fd: int, path: Path, stamp: Sequence[int]) -> bool:
    """Whether the open file, and that at its path, is a version."""
    try:
        return versions.stamp(os.fstat(fd)) == versions.stamp(os.stat(path)) == tuple(stamp)
    except OSError:
        return False
