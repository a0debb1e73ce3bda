"""Answers to requests of the wire protocol about a published root, out of the cache."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import numpy as np

from caterva2.arrays import selection
from caterva2.errors import (
    BadMessage,
    BadRequest,
    CatervaError,
    Gone,
    NotFound,
    RootOffline,
    StaleVersion,
    TooLarge,
)
from caterva2.frames import blocks
from caterva2.frames.raw import Cut, crc32
from caterva2.limits import DEFAULTS, Limits
from caterva2.mirror.proving import Proving
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath, RootName
from caterva2.publisher.info_replies import Describer
from caterva2.runtime.single_flight import SingleFlight
from caterva2.runtime.tasks import cancel_all
from caterva2.signing import digests
from caterva2.subscriber.fetch.costs import expected_size
from caterva2.subscriber.remote_dataset import RemoteDataset
from caterva2.subscriber.remote_root import RemoteRoot
from caterva2.subscriber.service import Subscriber
from caterva2.wire import messages
from caterva2.wire.messages import DataReply

Answer = tuple[DataReply, bytes]
"""A reply, and its payload."""
Prove = Callable[[Sequence[int]], tuple[bytes, ...]]
"""Gives what proves that chunks are the origin's; nothing where that is not wanted."""
Room = Callable[[], Awaitable[None]]
"""Waits for memory for the payload of the next reply."""
_INFO_S = 30.0


async def _unbounded() -> None:
    """Wait for nothing."""


class RootAnswers:
    """Answer requests for catalog, descriptions and payload of one root.

    What is missing is fetched from the root's publisher; blocks of a chunk are cut out of it here.

    Parameters
    ----------
    subscriber : Subscriber
    root : RemoteRoot
    limits : Limits
    syncing : SingleFlight, optional
        Shared by those that ask for the catalog together.
    """

    def __init__(
        self,
        subscriber: Subscriber,
        root: RemoteRoot,
        limits: Limits = DEFAULTS,
        syncing: SingleFlight[RootName, None] | None = None,
    ) -> None:
        self._subscriber = subscriber
        self._root = root
        self._limits = limits.publisher
        self._syncing = SingleFlight() if syncing is None else syncing
        self._proving = Proving(root)
        self._kinds: dict[type[Any], Callable[[Any, Room], AsyncGenerator[Answer]]] = {
            messages.CatalogRequest: self._catalog,
            messages.InfoRequest: self._info,
            messages.InfosRequest: self._infos,
            messages.ChunksRequest: self._chunks,
            messages.BlocksRequest: self._blocks,
            messages.BytesRequest: self._bytes,
        }

    async def to(
        self, request: messages.DataRequest, room: Room = _unbounded
    ) -> AsyncGenerator[Answer]:
        """Yield the replies to a request, until the time that it names is over.

        Parameters
        ----------
        request : DataRequest
        room : callable, optional
            Awaited before each payload is read: what it needs is in the cache then.

        Raises
        ------
        CatervaError
        """
        kind = self._kinds.get(type(request))
        if kind is None:
            raise BadMessage(f"a subscriber does not answer {request.type}")
        deadline_ms = getattr(request, "deadline_ms", _INFO_S * 1000)
        until = time.monotonic() + deadline_ms / 1000
        found = kind(request, room)
        try:
            while True:
                async with asyncio.timeout(until - time.monotonic()):
                    answer = await anext(found, None)
                if answer is None:
                    return
                yield answer
                del answer  # its payload, while the next reply waits for room
        finally:
            await found.aclose()

    async def _catalog(self, request: messages.CatalogRequest, _: Room) -> AsyncGenerator[Answer]:
        catalog = self._root.catalog
        if request.signed and catalog.lacks_signature and not self._root.offline:
            await self._syncing.run(self._root.name, self._root.sync)
        yield await catalog.page(request), b""

    async def _info(self, request: messages.InfoRequest, _: Room) -> AsyncGenerator[Answer]:
        try:
            info = await self._root.infos.one(request.path)
        except CatervaError as error:
            raise error.about(request.path) from None
        yield messages.Info(**dict(info), id=request.id), b""

    async def _infos(self, request: messages.InfosRequest, _: Room) -> AsyncGenerator[Answer]:
        found = await self._root.infos.many(request.paths)
        describer = Describer(_Found(found), self._limits)
        yield await asyncio.to_thread(describer.answer, request, 0.0), b""

    async def _opened(self, path: DatasetPath, etag: str) -> RemoteDataset:
        """Open a version of a dataset; raise `StaleVersion` if it is gone.

        The requester may have heard of the version before this subscriber, which can't find that
        out while the publisher is away.
        """
        name = self._root.name
        try:
            try:
                return await self._subscriber.version(name, path, etag)
            except Gone:
                if self._root.offline:
                    raise RootOffline("it is not cached here", subject=path) from None
                await self._syncing.run(name, self._root.sync)
                return await self._subscriber.version(name, path, etag)
        except Gone:
            entry = self._root.entry(path)
            if entry is None:
                raise NotFound("it does not exist", subject=path) from None
            info: dict[str, object] = {"etag": entry.etag}
            raise StaleVersion("it has another version now", subject=path, info=info) from None

    # --- payload ---

    async def _chunks(self, request: messages.ChunksRequest, room: Room) -> AsyncGenerator[Answer]:
        dataset = await self._opened(request.path, request.etag)
        _check(dataset.info, request.n)
        size, most = len(request.n) * dataset.info.chunksize, self._limits.request_bytes
        if len(request.n) > 1 and size > most:
            raise TooLarge(f"{size} bytes are requested, REQUEST_BYTES is {most}")
        held = dict(zip(request.n, request.held, strict=True)) if request.held else {}
        step = max(1, self._limits.reply_bytes // expected_size(dataset.info))
        async with _arriving(dataset, request.n):
            for at in range(0, len(request.n), step):
                ids, last = request.n[at : at + step], at + step >= len(request.n)
                prove = _prover(dataset, request)
                packed = functools.partial(_packed, request.id, ids, held, last, prove)
                await self._proved(dataset, request, ids)
                yield await _read(dataset, ids, room, packed)

    async def _blocks(self, request: messages.BlocksRequest, room: Room) -> AsyncGenerator[Answer]:
        dataset = await self._opened(request.path, request.etag)
        _check(dataset.info, [part.n for part in request.blocks])
        for part in request.blocks:
            last = part is request.blocks[-1]
            cut = functools.partial(_cut, request.id, part, last, _prover(dataset, request))
            await self._proved(dataset, request, [part.n])
            yield await _read(dataset, [part.n], room, cut)

    async def _bytes(self, request: messages.BytesRequest, room: Room) -> AsyncGenerator[Answer]:
        dataset = await self._opened(request.path, request.etag)
        info, step = dataset.info, self._limits.reply_bytes
        if request.signed:
            step = max(1, info.chunksize)
        if info.kind != "file" or not request.start <= request.stop <= info.nbytes:
            raise BadMessage(f"{request.path} has no bytes {request.start} to {request.stop}")
        for at in range(request.start, max(request.stop, request.start + 1), step):
            if at < request.stop and not at % step:
                await self._proved(dataset, request, [at // step])
            yield await _piece(dataset, request, at, min(at + step, request.stop), room)

    async def _proved(
        self, dataset: RemoteDataset, request: messages.RootRequest, ids: Sequence[int]
    ) -> None:
        """Wait for the proofs of chunks too, if these are wanted."""
        if request.signed:
            await dataset.arrive(np.asarray(ids, np.int64))
            await self._proving.prove(dataset, ids)


@contextlib.asynccontextmanager
async def _arriving(dataset: RemoteDataset, ids: Sequence[int]) -> AsyncIterator[None]:
    """Fetch all chunks of a request meanwhile: one after the other, each would take a round trip.

    Why one of them does not arrive is said when it is read.
    """

    async def arrive() -> None:
        with contextlib.suppress(CatervaError):
            await dataset.arrive(np.asarray(ids, np.int64))

    task = asyncio.create_task(arrive())
    try:
        yield
    finally:
        await cancel_all([task])


async def _piece(
    dataset: RemoteDataset, request: messages.BytesRequest, start: int, stop: int, room: Room
) -> Answer:
    """Make an answer of some bytes once they are there, as `_read` does."""
    size, data = dataset.info.chunksize, b""
    if start < stop:
        await dataset.arrive(np.arange(start // size, -(-stop // size)))
    await room()
    if start < stop:
        asked = selection.parse(f"{start}:{stop}", dataset.info.shape)
        data = (await dataset.values(asked)).tobytes()
    digest, last = await asyncio.to_thread(crc32, data), stop >= request.stop
    wanted = [start // size] if data and not start % size else []
    proof = b"".join(await asyncio.to_thread(_prover(dataset, request), wanted))
    return messages.Bytes(id=request.id, start=start, digest=digest, last=last, proof=proof), data


def _prover(dataset: RemoteDataset, request: messages.RootRequest) -> Prove:
    """Return the function that gives the proofs of chunks that are there, if these are wanted."""

    def proofs(ids: Sequence[int]) -> tuple[bytes, ...]:
        return tuple(map(dataset.proof, ids)) if request.signed else ()

    return proofs


async def _read(
    dataset: RemoteDataset, ids: Sequence[int], room: Room, answer: Callable[[list[bytes]], Answer]
) -> Answer:
    """Make an answer of chunks once they are there: those that wait for room are in no memory."""
    wanted = np.asarray(ids, np.int64)
    await dataset.arrive(wanted)
    await room()
    return await asyncio.to_thread(answer, await dataset.chunks(wanted))


class _Found:
    """Descriptions that are known already, or the errors in their places."""

    def __init__(self, found: Mapping[DatasetPath, DatasetInfo | CatervaError]) -> None:
        self._found = found

    def info(self, path: DatasetPath, deadline: float = 0.0) -> DatasetInfo:
        answer = self._found[path]
        if isinstance(answer, CatervaError):
            raise answer
        return answer


def _check(info: DatasetInfo, ids: Sequence[int]) -> None:
    if max(ids) >= info.nchunks:
        raise NotFound(f"chunk {max(ids)} of {info.nchunks} does not exist", subject=info.path)
    if info.kind == "file":
        raise BadRequest("a plain file has no chunks", subject=info.path)


def _packed(
    number: int, ids: Sequence[int], held: Mapping[int, bytes], last: bool, prove: Prove,
    chunks: list[bytes],
) -> Answer:  # fmt: skip
    """Return chunks with their sizes and CRC-32, nothing of those that the requester has."""
    for at, n in enumerate(ids):
        if held.get(n) and held[n] == blocks.digest(chunks[at]):
            chunks[at] = b""
    sizes, crcs = tuple(map(len, chunks)), tuple(map(crc32, chunks))
    reply = messages.Chunks(
        id=number, n=tuple(ids), sizes=sizes, digests=crcs, last=last, proofs=prove(ids)
    )
    return reply, b"".join(chunks)


def _cut(
    number: int, part: messages.ChunkBlocks, last: bool, prove: Prove, chunks: list[bytes]
) -> Answer:
    """Return the blocks of a chunk, nothing of one that the requester has."""
    [chunk], proof = chunks, b"".join(prove([part.n]))
    if part.held and part.held == blocks.digest(chunk):
        none = crc32(b"")
        return messages.Blocks(id=number, n=part.n, digest=none, last=last, proof=proof), b""
    cut = blocks.cut_out_of(chunk, part.ids)
    leaves = digests.leaves(chunk) if proof and cut.ids else b""
    if proof and cut.ids and not leaves:
        cut = Cut((), (), chunk)
    digest = crc32(cut.payload)
    reply = messages.Blocks(
        id=number, n=part.n, ids=cut.ids, sizes=cut.sizes, digest=digest, last=last, proof=proof,
        leaves=leaves,
    )  # fmt: skip
    return reply, cut.payload
