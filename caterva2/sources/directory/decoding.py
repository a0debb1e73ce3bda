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
from caterva2.sources import versions
from caterva2.sources.base import ALL, NEVER, Datasets
from caterva2.sources.conversions import Conversions
from caterva2.sources.joined import joined
from caterva2.sources.layout import CPARAMS

ARRAY = DatasetPath("array.b2nd")
"""The one dataset that a file holds."""


class PluggedArray(Datasets):
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

    def scan(self, scope: str = ALL) -> dict[DatasetPath, Entry]:
        return {}

    def info(self, path: DatasetPath, deadline: float = NEVER) -> DatasetInfo:
        raise NotFound(f"{path} is described elsewhere")

    def chunks(
        self, path: DatasetPath, etag: str, ids: Sequence[int], deadline: float = NEVER
    ) -> Iterator[Run]:
        reader = FrameReader(self._place.open())
        version = versions.settled(reader.fd)
        if version.etag != etag:
            raise StaleVersion("it has changed", info={"etag": version.etag})

        def confirm() -> None:
            if not versions.unchanged(reader.fd, version):
                raise StaleVersion("it changed while it was read")

        chunk = functools.partial(self._chunk, reader, etag)
        yield from joined(ids, chunk, confirm, self._room, deadline)

    def _chunk(self, reader: FrameReader, etag: str, n: int) -> bytes:
        if not 0 <= n < reader.nchunks:
            raise NotFound(f"chunk {n} of {reader.nchunks} does not exist")
        made = self._kept.get((etag, n))
        if made is None:
            info = reader.info(ARRAY, "array", etag, 0.0, CPARAMS)
            with self._lock:
                decoded = _decoded(reader.fd, n, info.chunksize)
            made = packing.pack_blocks(decoded, info.typesize, info.blocksize, info.cparams)
            self._kept.put((etag, n), made)
        return made

    def blocks(
        self, path: DatasetPath, etag: str, n: int, ids: Sequence[int], deadline: float = NEVER
    ) -> Cut:
        return blocks.cut_out_of(next(self.chunks(path, etag, [n], deadline)).payload, ids)

    def read_bytes(
        self, path: DatasetPath, etag: str, start: int, stop: int, deadline: float = NEVER
    ) -> Iterator[bytes]:
        raise NotFound(f"{path} has chunks, not bytes")

    def close(self) -> None:
        pass


def _decoded(fd: int, n: int, nbytes: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Decode a chunk of the array in an open file."""
    try:
        array = blosc2.open(f"/proc/self/fd/{fd}", mode="r", dparams={"nthreads": 1})
        decoded = np.empty(nbytes, np.uint8)
        if array.schunk.chunksize != nbytes:
            raise ValueError(f"its chunks have {array.schunk.chunksize} bytes")
        array.schunk.decompress_chunk(n, dst=decoded)
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise SourceCorrupt(f"chunk {n} can't be decoded: {error}") from None
    return decoded


def for_isolation(
    path: Path, _: Callable[[str], None], below: str = "", **given: int
) -> PluggedArray:
    """Make the source of a file in a process of its own, see `isolation`."""
    limits = replace(DEFAULTS.publisher, **given)
    return PluggedArray(versions.FilePlace(path, below), limits)
