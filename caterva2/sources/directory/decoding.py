"""Arrays whose chunks need plugins of Blosc2, such as ZFP: decoded, and packed without these.

The plugins trust what they decode, so this runs in a process of its own, see `isolation`.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import blosc2
import numpy as np

from caterva2.errors import NotFound, SourceCorrupt, StaleVersion
from caterva2.frames import blocks, packing
from caterva2.frames.raw import Cut, Run
from caterva2.frames.reader import FrameReader
from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.model import DatasetInfo, Entry
from caterva2.names import DatasetPath
from caterva2.runtime import durable
from caterva2.sources import versions
from caterva2.sources.base import ALL, NEVER, Datasets
from caterva2.sources.conversions import Conversions
from caterva2.sources.joined import joined
from caterva2.sources.layout import CPARAMS

ARRAY = DatasetPath("array.b2nd")
"""The one dataset that a file holds."""


class DecodedChunks(Datasets):
    """The chunks of arrays that are listed and described by another source."""

    def scan(self, scope: str = ALL) -> dict[DatasetPath, Entry]:
        return {}

    def info(self, path: DatasetPath, deadline: float = NEVER) -> DatasetInfo:
        raise NotFound(f"{path} is described elsewhere")

    def blocks(
        self, path: DatasetPath, etag: str, n: int, ids: Sequence[int], deadline: float = NEVER
    ) -> Cut:
        return blocks.cut_out_of(next(self.chunks(path, etag, [n], deadline)).payload, ids)

    def read_bytes(
        self, path: DatasetPath, etag: str, start: int, stop: int, deadline: float = NEVER
    ) -> Iterator[bytes]:
        raise NotFound(f"{path} has chunks, not bytes")


class PluggedArray(DecodedChunks):
    """The chunks of an array file, converted. It is described by who opens the file as a frame.

    Parameters
    ----------
    place : FilePlace
    limits : PublisherLimits
    """

    def __init__(self, place: versions.FilePlace, limits: PublisherLimits) -> None:
        self._place = place
        self._room = limits.reply_bytes
        self._kept = Conversions(limits.converted_bytes)
        self._lock = threading.Lock()
        self._opened: _Opened | None = None

    def chunks(
        self, path: DatasetPath, etag: str, ids: Sequence[int], deadline: float = NEVER
    ) -> Iterator[Run]:
        opened = self._current()
        if opened.version.etag != etag:
            raise StaleVersion("it has changed", info={"etag": opened.version.etag})
        chunk = functools.partial(self._chunk, opened)
        yield from joined(ids, chunk, opened.confirm, self._room, deadline)

    def _current(self) -> _Opened:
        """Return the file as it is now, which stays open until it is another one."""
        with self._lock:
            opened, stamp = self._opened, self._place.stamp()
            if opened is None or opened.version.stamp != stamp:
                opened = self._opened = _Opened(self._place)  # readers of the former one keep it
            return opened

    def _chunk(self, opened: _Opened, n: int) -> bytes:
        if not 0 <= n < opened.reader.nchunks:
            raise NotFound(f"chunk {n} of {opened.reader.nchunks} does not exist")
        key = opened.version.etag, n
        made = self._kept.get(key)
        if made is None:
            info = opened.info
            with self._lock:
                decoded = opened.decoded(n)
            made = packing.pack_blocks(decoded, info.typesize, info.blocksize, info.cparams)
            self._kept.put(key, made)
        return made

    def close(self) -> None:
        with self._lock:
            self._opened = None


class _Opened:
    """A version of the file; closed when nothing refers to it any more."""

    def __init__(self, place: versions.FilePlace) -> None:
        self.reader = FrameReader(place.open())
        self.version = versions.settled(self.reader.fd)

    def confirm(self) -> None:
        """Raise `StaleVersion` if the file was written since."""
        if not versions.unchanged(self.reader.fd, self.version):
            raise StaleVersion("it changed while it was read")

    @functools.cached_property
    def info(self) -> DatasetInfo:
        """What the array is served as."""
        return self.reader.info(ARRAY, "array", self.version.etag, 0.0, CPARAMS)

    @functools.cached_property
    def _array(self) -> blosc2.NDArray:
        """The array as Blosc2 reads it, by the descriptor, which has to stay open."""
        place = str(durable.path_of(self.reader.fd))
        array = blosc2.open(place, mode="r", dparams={"nthreads": 1})
        if array.schunk.chunksize != self.info.chunksize:
            raise ValueError(f"its chunks have {array.schunk.chunksize} bytes")
        return array

    def decoded(self, n: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
        """Decode a chunk."""
        made = np.empty(self.info.chunksize, np.uint8)
        try:
            self._array.schunk.decompress_chunk(n, dst=made)
        except (RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise SourceCorrupt(f"chunk {n} can't be decoded: {error}") from None
        return made


def for_isolation(
    path: Path, _: Callable[[str], None], below: str = "", **given: int
) -> PluggedArray:
    """Make the source of a file in a process of its own, see `isolation`."""
    limits = replace(DEFAULTS.publisher, **given)
    return PluggedArray(versions.FilePlace(path, below), limits)
