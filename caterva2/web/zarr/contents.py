"""Bytes of chunks as Zarr has them: shards, single blocks, and decoded values."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar

import numpy as np
from starlette.requests import Request

from caterva2.arrays import dtypes
from caterva2.arrays.selection import Selection
from caterva2.errors import BadRequest, StaleVersion, TooLarge
from caterva2.formats import zarr_names as names
from caterva2.formats.zarr_names import Key
from caterva2.frames.shards.index import ShardIndex, index_of
from caterva2.frames.shards.inner import repeated
from caterva2.frames.shards.shard import inner_chunks, inner_of_single
from caterva2.limits.constants import KIB, READ_PIECE
from caterva2.names import RootName
from caterva2.runtime.budget import Hold
from caterva2.web.ranges import Span
from caterva2.web.reader import Dataset
from caterva2.web.server import bodies
from caterva2.web.state import WebState, state_of

T = TypeVar("T")
SMALL = 128 * KIB
"""Bytes up to which blocks are converted on the event loop: a thread would take longer."""


class Chunk:
    """A chunk of one version of an array.

    Parameters
    ----------
    request : Request
    root : RootName
    dataset : Dataset
    n : int
        Number of the chunk.
    """

    def __init__(self, request: Request, root: RootName, dataset: Dataset, n: int) -> None:
        self.dataset = dataset
        self.n = n
        self._state: WebState = state_of(request)
        self._request = request
        self._key = root, str(dataset.info.path), dataset.info.etag, n

    async def index(self) -> ShardIndex:
        """Return the index of the shard that it becomes, which is kept."""
        kept = self._state.shards.get(self._key)
        if kept is None:
            hold = await bodies.hold(self._request, self.dataset.info.chunksize)
            chunk = await self.dataset.chunk(self.n)
            kept = await _later(len(chunk), lambda: index_of(chunk))
            hold.release()
            self._state.shards.put(self._key, kept)
        return kept

    async def inner(self, index: ShardIndex, ids: Sequence[int]) -> list[bytes | None]:
        """Convert some blocks, of which as little as possible is read; None for zeros."""
        rows = index.table[ids]
        found: list[bytes | None] | None = None
        if rows[:, 3].all() and 2 * len(ids) <= index.count:
            found = await self._singles(ids, int(rows[:, 1].sum()))
        if found is None:
            chunk = await self.dataset.chunk(self.n)
            found = await asyncio.to_thread(inner_chunks, chunk, index, self.n, ids)
        if [len(piece or b"") for piece in found] != rows[:, 1].tolist():
            self._state.shards.pop(self._key)
            raise StaleVersion(f"chunk {self.n} of {self.dataset.info.path} was stored anew")
        return found

    async def _singles(self, ids: Sequence[int], size: int) -> list[bytes | None] | None:
        singles = await self.dataset.blocks(self.n, ids)
        if len(singles) != len(ids):
            return None  # the chunk can't be divided any more
        return await _later(size, lambda: [inner_of_single(one, self.n) for one in singles])


async def _later(size: int, work: Callable[[], T]) -> T:
    """Run work with some bytes, in a thread if these are many."""
    return work() if size <= SMALL else await asyncio.to_thread(work)


class _Held:
    """Bytes that are made before they are sent, and count against a budget until then."""

    def __init__(self, request: Request, size: int) -> None:
        self.size = size
        self._request = request
        self._hold: Hold | None = None  # given back with this object, when the answer was sent

    async def _take(self, size: int, *, computed: bool = False) -> None:
        self._hold = await bodies.hold(self._request, size, computed=computed)


class Shard(_Held):
    """A chunk as a shard, of which only what is requested is converted.

    With ``exact`` only inner chunks as a whole are sent: zarrita.js keeps indices, and what it cuts
    out of the shard of a new version by an old index is decoded to zeros.
    """

    def __init__(self, request: Request, chunk: Chunk, index: ShardIndex, *, exact: bool) -> None:
        super().__init__(request, index.size)
        self._exact = exact
        self._chunk = chunk
        self._index = index
        self._inner: dict[int, bytes] = {}

    async def ready(self, spans: Sequence[Span]) -> None:
        index = self._index
        touched = [index.touched(*span) for span in spans]
        pairs = zip(spans, touched, strict=True)
        if self._exact and not all(index.fits(*span, found) for span, found in pairs):
            raise BadRequest("the range fits no inner chunk: open the array anew, or send If-Match")
        ids = sorted({n for found in touched for n in found})
        if not ids:
            return
        await self._take(int(index.table[ids, 1].sum(dtype=np.int64)))
        found = await self._chunk.inner(index, ids)
        self._inner = {n: piece for n, piece in zip(ids, found, strict=True) if piece is not None}

    async def pieces(self, start: int, stop: int) -> AsyncIterator[bytes]:
        index, waiting, size = self._index, list[bytes | memoryview](), 0
        for n in index.touched(start, stop):
            at = int(index.table[n, 0])
            piece = memoryview(self._inner[n])[max(start - at, 0) : stop - at]
            waiting.append(piece)
            size += len(piece)
            if size >= READ_PIECE:
                yield b"".join(waiting)
                waiting, size = [], 0
        if stop > index.data_bytes:
            first = max(start - index.data_bytes, 0)
            waiting.append(index.encoded[first : stop - index.data_bytes])
        yield b"".join(waiting)


class Whole(_Held):
    """Bytes that exist as a whole."""

    def __init__(self, request: Request, size: int) -> None:
        super().__init__(request, size)
        self._body: bytes | memoryview = b""

    async def pieces(self, start: int, stop: int) -> AsyncIterator[bytes]:
        view = memoryview(self._body)
        for at in range(start, stop, READ_PIECE):
            yield bytes(view[at : min(at + READ_PIECE, stop)])


class Block(Whole):
    """A block as a chunk of Blosc 1."""

    def __init__(self, request: Request, chunk: Chunk, index: ShardIndex, block: int) -> None:
        info = chunk.dataset.info
        self._zeros = repeated(b"\0", info.typesize, info.blocksize)
        super().__init__(request, int(index.table[block, 1]) or len(self._zeros))
        self._chunk = chunk
        self._index = index
        self._block = block

    async def ready(self, spans: Sequence[Span]) -> None:
        await self._take(self.size)
        if not self._index.table[self._block, 1]:
            self._body = self._zeros
            return
        [piece] = await self._chunk.inner(self._index, [self._block])
        self._body = piece or b""


class Values(Whole):
    """Decoded values of a chunk in C order; what lies outside of the array is zero."""

    def __init__(self, request: Request, dataset: Dataset, key: Key) -> None:
        super().__init__(request, names.values_bytes(dataset.info))
        limit = state_of(request).limits.web.output_bytes
        if self.size > limit:
            raise TooLarge(f"a decoded chunk has {self.size} bytes, OUTPUT_BYTES is {limit}")
        self._dataset = dataset
        self._key_of = key

    async def ready(self, spans: Sequence[Span]) -> None:
        info = self._dataset.info
        await self._take(2 * self.size, computed=bool(self._dataset.expression))
        region = tuple(
            range(n * chunk, min((n + 1) * chunk, size))
            for n, chunk, size in zip(self._key_of, info.chunks, info.shape, strict=True)
        )
        values = await self._dataset.values(Selection(info.shape, region))
        self._body = await asyncio.to_thread(self._padded, values)

    def _padded(self, values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bytes:
        info = self._dataset.info
        dtype = dtypes.parse(info.dtype)
        if values.shape == info.chunks:
            return np.ascontiguousarray(values, dtype).tobytes()
        padded = np.zeros(info.chunks, dtype)
        padded[tuple(map(slice, values.shape))] = values
        return padded.tobytes()
