"""Early answers to ``/zarr``: ranges of shards in memory.

A small slice by a client of Zarr is two requests, for the index of a shard and for a block.
"""

from __future__ import annotations

import functools
from typing import ClassVar

from caterva2.errors import NotFound
from caterva2.formats import zarr_names as names
from caterva2.frames.shards.index import ShardIndex
from caterva2.frames.shards.shard import inner_of_single
from caterva2.limits.constants import KIB
from caterva2.names import DatasetPath
from caterva2.rest import media, paths
from caterva2.runtime.lru import Lru
from caterva2.web import answers, ranges
from caterva2.web.early import kind
from caterva2.web.early.kind import Data, Found, Held
from caterva2.web.ranges import Span
from caterva2.web.server.early import Asked

SMALL = 128 * KIB
"""Bytes of inner chunks that are converted at once."""
_STATIC = {"Content-Type": media.BINARY, "Accept-Ranges": "bytes"}
Indices = Lru[tuple[str, str, str, int], ShardIndex]


class Shards:
    """Ranges of shards whose index is known.

    Parameters
    ----------
    indices : Lru
        Those of the application, by root, path, etag and number of the chunk.
    """

    call: ClassVar = paths.prefix(paths.ZARR).rstrip("/")
    prefix: ClassVar = paths.prefix(paths.ZARR).encode()
    status: ClassVar = 206
    start: ClassVar = b"HTTP/1.1 206 Partial Content\r\n"
    lends: ClassVar = False  # only the core has the indices

    def __init__(self, indices: Indices) -> None:
        self._indices = indices

    def takes(self, asked: Asked) -> bool:
        return asked.range.startswith(b"bytes=")

    def find(self, data: Data, path: bytes, query: bytes, asked: Asked) -> Found | None:
        target, key, place = _chunk(path)
        if query or place is None:
            return None
        dataset = data.try_dataset(target.root, place)
        if dataset is None or (target.version and target.version != dataset.info.etag):
            return None
        info = dataset.info
        names.check_key(key, info.shape, info.chunks)
        n = names.number(info, key)
        index = self._indices.get((target.root, str(info.path), info.etag, n))
        if index is None or index.count == 1:
            return None
        etag = f'"{info.etag}-{index.checksum:08x}"'
        # tensorstore requests a block with the tag of the index
        tag = asked.tag.decode("latin-1")
        if tag not in ("", etag):
            return None
        spans = ranges.parse(asked.range.decode("latin-1"), index.size, 1)
        exact = not target.version and not tag
        body = _cut(dataset, n, index, spans[0], exact=exact) if spans else None
        if not spans or not body:
            return None
        given = f"content-range: {ranges.content_range(*spans[0], index.size)}\r\netag: {etag}\r\n"
        return Found(_static(dataset.offline) + given.encode("latin-1"), body)


@functools.lru_cache(maxsize=2)
def _static(offline: bool) -> bytes:
    return kind.lines(_STATIC | answers.warning(offline=offline))


@functools.lru_cache(maxsize=1024)  # that of a chunk is requested for each of its blocks
def _chunk(path: bytes) -> tuple[names.Target, names.Key, DatasetPath | None]:
    found = names.split_key3(kind.name_of(path, Shards.prefix))
    if found is None:  # an error is not kept: such paths have any length
        raise NotFound("this is no chunk")
    target = names.parse(found[0])
    place = DatasetPath(target.below + names.SUFFIX) if target.below else None
    return target, found[1], place


def _cut(dataset: Held, n: int, index: ShardIndex, span: Span, *, exact: bool) -> bytes | None:
    """Convert the blocks that a span touches, and cut it out; None if they are not in memory.

    With ``exact``, None if the span is no inner chunks as a whole: that may be refused.
    """
    start, stop = span
    ids = index.touched(start, stop)
    if exact and not index.fits(start, stop, ids):
        return None
    places = index.table[ids, :2].tolist()
    if stop - start + sum(length for _, length in places) > 2 * SMALL:
        return None
    pieces: list[bytes | memoryview] = []
    for block, (at, length) in zip(ids, places, strict=True):
        single = dataset.try_block(n, block)
        inner = None if single is None else inner_of_single(memoryview(single), n)
        if inner is None or len(inner) != length:
            return None
        whole = start <= at and at + length <= stop
        pieces.append(inner if whole else memoryview(inner)[max(start - at, 0) : stop - at])
    if stop > index.data_bytes:
        first = max(start - index.data_bytes, 0)
        pieces.append(index.encoded[first : stop - index.data_bytes])
    return b"".join(pieces)
