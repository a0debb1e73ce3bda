"""All bytes of a version of a dataset, as a download has them, out of its replica."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from caterva2.cache.replica import Replica
from caterva2.client.kept import Whole
from caterva2.client.read.region import Region
from caterva2.client.read.values import Source
from caterva2.depot.replicas import Replicas
from caterva2.frames.sealed import Sealed
from caterva2.limits.constants import MIB

MOST = 256 * MIB
"""Bytes of missing chunks that are fetched for a file; the subscriber is asked for one of more."""
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Frame:
    """The sealed file of an array or frame."""

    sealed: Sealed
    tag: str

    @property
    def size(self) -> int:
        return self.sealed.size

    def read(self, start: int, stop: int) -> bytes:
        stop, found = min(stop, self.size), []
        while start < stop:
            piece = self.sealed.pread(stop - start, start)
            if not piece:
                raise OSError(f"the frame of {self.size} bytes ends at {start}")
            found.append(piece)
            start += len(piece)
        return b"".join(found)


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a plain file, which is an array of bytes in its replica."""

    replicas: Replicas
    source: Source

    @property
    def size(self) -> int:
        return self.source.shape[0]

    @property
    def tag(self) -> str:
        return f'"{self.source.version}"'

    def read(self, start: int, stop: int) -> bytes:
        chosen = range(min(start, self.size), max(min(stop, self.size), min(start, self.size)))
        if not chosen:
            return b""
        found = self.replicas.values(self.source, Region(self.source.shape, (chosen,)))
        if found is None:
            raise OSError(f"{self.source.path} is not in the cache any more")
        return found.tobytes()


def whole(
    replicas: Replicas, source: Source, size: int | None,
    progress: Callable[[int], None] | None,
) -> Whole | None:  # fmt: skip
    """Return all bytes of a version, as `caterva2.client.kept.Kept.whole` says."""
    for _ in range(_TRIES):
        replica = _complete(replicas, source, size, progress)
        if replica is None:
            return None
        if len(replica.verify(np.arange(replica.info.nchunks))):
            continue  # a damaged chunk was forgotten
        if replica.info.kind == "file":
            return Content(replicas, source)
        sealed = replica.sealed
        return None if sealed is None else Frame(sealed, f'"{source.version}-{sealed.layout}"')
    return None


def _complete(
    replicas: Replicas, source: Source, size: int | None,
    progress: Callable[[int], None] | None,
) -> Replica | None:  # fmt: skip
    """Return the replica of a version with all chunks, fetched unless these are too many."""
    grid = zip(source.shape, source.chunks, strict=True)
    ids = np.arange(math.prod(-(-length // max(chunk, 1)) for length, chunk in grid))
    replica = replicas.of(source)
    missing = ids if replica is None else replica.missing(ids)
    if len(missing) and (size is None or size * len(missing) > MOST * len(ids)):
        return None
    return replicas.ensure(source, ids, progress or (lambda _: None))
