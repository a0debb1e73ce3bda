"""Leaves of trees, and sparse frames, that need plugins of Blosc2 such as ZFP: packed without.

The plugins trust what they decode, so this runs in a process of its own, see `isolation`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import blosc2
import numpy as np
import numpy.typing as npt

from caterva2.errors import NotFound, SourceCorrupt
from caterva2.frames import compose, layout, packing
from caterva2.frames.chunk import special_offset
from caterva2.frames.raw import Run
from caterva2.frames.reader import FrameReader
from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath
from caterva2.sources.base import NEVER, Datasets
from caterva2.sources.conversions import Conversions
from caterva2.sources.directory.decoding import DecodedChunks
from caterva2.sources.directory.plugged import Plugged
from caterva2.sources.joined import joined
from caterva2.sources.layout import CPARAMS
from caterva2.stores.containers import store_at
from caterva2.stores.sparse.source import SparseSource
from caterva2.stores.trees.source import TreeSource


class ConvertedLeaves(DecodedChunks):
    """The chunks of a tree's leaves, or of a sparse frame, converted; others describe them.

    Parameters
    ----------
    path : Path
        Of the tree or frame.
    limits : PublisherLimits
    """

    def __init__(self, path: Path, limits: PublisherLimits) -> None:
        self._path = path
        self._limits = limits
        self._kept = Conversions(limits.converted_bytes)
        self._lock = threading.Lock()
        self._tree: TreeSource | SparseSource | None = None

    def _frame(self, path: DatasetPath, etag: str) -> FrameReader:
        """Return a version of a leaf; the store is listed anew if it has none such."""
        with self._lock:
            if self._tree is None:
                found = store_at(self._path, self._limits, _Here(self), self._path.name)
                if not isinstance(found, TreeSource | SparseSource):
                    raise NotFound(f"{path} does not exist")
                self._tree = found
            if not self._tree.lists(path, etag):
                self._tree.scan()
            return self._tree.frame(path, etag)

    def chunks(
        self, path: DatasetPath, etag: str, ids: Sequence[int], deadline: float = NEVER
    ) -> Iterator[Run]:
        frame = self._frame(path, etag)
        info = frame.info(path, "array", etag, 0.0, CPARAMS)

        def confirm() -> None:
            """Do nothing: each read of a leaf is compared with its version."""

        yield from joined(
            ids, lambda n: self._chunk(frame, info, n), confirm, self._limits.reply_bytes,
            deadline,
        )  # fmt: skip

    def _chunk(self, frame: FrameReader, info: DatasetInfo, n: int) -> bytes:
        made = self._kept.get((info.etag, n))
        if made is None:
            with self._lock:
                decoded = _decoded(frame, n, info.chunksize)
            made = packing.pack_blocks(decoded, info.typesize, info.blocksize, info.cparams)
            self._kept.put((info.etag, n), made)
        return made

    def close(self) -> None:
        if self._tree is not None:
            self._tree.close()


class _Here(Plugged):
    """Reads leaves that need plugins in this process."""

    def __init__(self, leaves: ConvertedLeaves) -> None:
        self._leaves = leaves

    def open(self, path: str) -> Datasets:
        return self._leaves

    def close(self) -> None:
        pass


def _decoded(frame: FrameReader, n: int, nbytes: int) -> npt.NDArray[np.uint8]:
    """Decode a chunk of an array, in a frame in memory that has no other."""
    header, chunk = frame.stored(n)
    offsets = np.full(frame.nchunks, layout.MISSING, np.uint64)
    offsets[n] = special_offset(chunk)
    stored = b"" if offsets[n] else chunk
    tail = compose.index_and_trailer(compose.Template(header, layout.trailer({})), offsets)
    size = len(header) + len(stored) + len(tail)
    made = layout.patched_header(header, size, len(stored)) + stored + tail
    decoded = np.empty(nbytes, np.uint8)
    try:
        array = blosc2.ndarray_from_cframe(made)
        if array.schunk.chunksize != nbytes:
            raise ValueError(f"its chunks have {array.schunk.chunksize} bytes")
        array.schunk.decompress_chunk(n, dst=decoded)
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise SourceCorrupt(f"chunk {n} can't be decoded: {error}") from None
    return decoded


def for_isolation(
    path: Path, _: Callable[[str], None], below: str = "", **given: int
) -> ConvertedLeaves:
    """Make the source of a tree in a process of its own, see `isolation`."""
    return ConvertedLeaves(path / below, replace(DEFAULTS.publisher, **given))
