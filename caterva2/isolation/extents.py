"""Chunks read straight from the file, where another process has found the frames that hold them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

import numpy as np

from caterva2.errors import NotFound
from caterva2.frames.enclosed import Enclosure
from caterva2.frames.raw import Run
from caterva2.sources import versions
from caterva2.sources.located import Extent, Located
from caterva2.sources.versions import FilePlace


def runs(place: FilePlace, located: Located, ids: Sequence[int], room: int) -> Iterator[Run]:
    """Yield some chunks; end early where one is not as it should be, or the version is another.

    Parameters
    ----------
    place : FilePlace
    located : Located
    ids : sequence of int
        The chunks.
    room : int
        Bytes at which a run ends, one chunk at least.
    """
    extents, start = located.extents, 0
    with contextlib.ExitStack() as stack:
        try:
            fd = place.open()
        except NotFound:
            return
        stack.callback(os.close, fd)
        while start < len(extents):
            stop = _end(ids, extents, start, room)
            run = _run(fd, ids[start:stop], extents[start:stop], located.enclosure)
            if run is None or not _is_current(fd, place, located.stamp):
                return
            start += len(run.ids)
            yield run
            del run
            if start < stop:
                return


def _end(ids: Sequence[int], extents: Sequence[Extent], start: int, room: int) -> int:
    """Return where the run ends that begins at a chunk; no chunk is twice in it."""
    total, seen = 0, set[int]()
    for at in range(start, len(extents)):
        total += extents[at][1]
        if at > start and (total > room or ids[at] in seen):
            return at
        seen.add(ids[at])
    return len(extents)


def _run(
    fd: int, ids: Sequence[int], extents: Sequence[Extent], enclosure: Enclosure
) -> Run | None:
    """Read the first chunks of a run that are as they should be; None if there are none."""
    if max(size for _, size in extents) > enclosure.max_size:
        return None
    frames = np.array([size for _, size in extents], np.int64)
    data = memoryview(bytearray(int(frames.sum())))
    if not _read(fd, extents, data):
        return None
    found = enclosure.chunks(data, np.cumsum(frames) - frames, frames)
    starts, sizes = (part.tolist() for part in found)
    if not starts:
        return None
    pieces = [data[at : at + size] for at, size in zip(starts, sizes, strict=True)]
    return Run(list(ids[: len(starts)]), sizes, b"".join(pieces))


def _read(fd: int, extents: Sequence[Extent], data: memoryview) -> bool:
    """Read some extents into memory, those that lie side by side by one call."""
    spans: list[Extent] = []
    for offset, size in extents:
        if spans and sum(spans[-1]) == offset:
            spans[-1] = (spans[-1][0], spans[-1][1] + size)
        else:
            spans.append((offset, size))
    at = 0
    for offset, size in spans:
        try:
            count = os.preadv(fd, [data[at : at + size]], offset)
        except (OSError, OverflowError):
            return False
        if count < size:
            return False
        at += size
    return True


def _is_current(fd: int, place: FilePlace, stamp: Sequence[int]) -> bool:
    """Whether the open file, and that at its path, is a version."""
    try:
        return versions.stamp(os.fstat(fd)) == place.stamp() == tuple(stamp)
    except OSError:
        return False
