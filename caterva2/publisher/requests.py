"""Data requests answered: one coroutine a request, file work in threads, replies as they are read.

A reader that takes nothing loses its request at the deadline; until then nothing more is read
for it than its share of memory holds.
"""

from __future__ import annotations

import asyncio
import logging
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import zmq

from caterva2 import limits
from caterva2.errors import Busy, CatervaError, Internal, NotFound, StaleVersion
from caterva2.frames.raw import Cut, Run
from caterva2.names import DatasetPath
from caterva2.publisher.info_replies import Describer
from caterva2.publisher.outgoing import Outgoing, ReaderGone, ReplyReservation
from caterva2.sources.base import Source
from caterva2.wire import codec, messages
from caterva2.wire.sockets import LoopSocket

log = logging.getLogger(__name__)
T = TypeVar("T")
WORKERS = 4
RETRY_SEND = 0.005
"""Seconds between two attempts to send to a reader whose queue is full."""


class Served:
    """What was served so far; `summary` says it in the words of the log."""

    def __init__(self) -> None:
        self.chunks = 0
        self.blocks = 0
        self.bytes = 0
        self.requests = 0

    def summary(self) -> str:
        return (
            f"served {self.requests} requests, {self.chunks} chunks, {self.blocks} blocks, "
            f"{self.bytes} bytes"
        )


class DataRequests:
    """The data requests that a publisher works on.

    Parameters
    ----------
    source : Source
    socket : LoopSocket
        The ROUTER that replies go out on.
    on_version : callable, optional
        Told the version of a dataset that a request found, which the watch may not know yet.
    """

    def __init__(
        self,
        source: Source,
        socket: LoopSocket,
        on_version: Callable[[DatasetPath, str], None] = lambda *_: None,
    ) -> None:
        self._source = source
        self._socket = socket
        self._on_version = on_version
        self._describer = Describer(source)
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="serve")
        self._tasks: dict[tuple[bytes, int], asyncio.Task[None]] = {}
        self._by_peer: Counter[bytes] = Counter()
        self._outgoing = Outgoing()
        self.served = Served()

    def start(
        self,
        peer: bytes,
        request: messages.DataRequest,
    ) -> None:
        """Begin to answer a request for descriptions, chunks or bytes.

        Raises
        ------
        Busy
            If too much is asked for at once, by this peer or by all.
        """
        if len(self._tasks) >= limits.PUBLISHER_JOBS or self._by_peer[peer] >= limits.PEER_JOBS:
            raise Busy("too many requests at once", after_ms=200)
        key = (peer, request.id)
        if key in self._tasks:
            return
        task = asyncio.create_task(self._answer(peer, request))
        self._tasks[key] = task
        self._by_peer[peer] += 1
        task.add_done_callback(lambda _: self._ended(key))

    def _ended(self, key: tuple[bytes, int]) -> None:
        del self._tasks[key]
        self._by_peer[key[0]] -= 1
        if not self._by_peer[key[0]]:
            del self._by_peer[key[0]]
            self._outgoing.forget_idle()

    def cancel(self, peer: bytes, request_id: int) -> None:
        """Nobody waits for this answer any more."""
        task = self._tasks.get((peer, request_id))
        if task is not None:
            task.cancel()

    async def stop(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def _answer(self, peer: bytes, request: messages.DataRequest) -> None:
        started = time.monotonic()
        self.served.requests += 1
        try:
            if isinstance(request, messages.InfoRequest):
                info = await self.in_thread(lambda: self._source.info(request.path))
                self._on_version(info.path, info.etag)
                await self._send(peer, messages.Info(**dict(info), id=request.id), (), started + 5)
            elif isinstance(request, messages.InfosRequest):
                infos = await self.in_thread(lambda: self._describer.answer(request))
                for info in infos.infos:
                    self._on_version(info.path, info.etag)
                await self._send(peer, infos, (), started + 5)
            elif isinstance(request, messages.ChunksRequest):
                await self._chunks(peer, request, started + request.deadline_ms / 1000)
            elif isinstance(request, messages.BlocksRequest):
                await self._blocks(peer, request, started + request.deadline_ms / 1000)
            elif isinstance(request, messages.BytesRequest):
                await self._bytes(peer, request, started + request.deadline_ms / 1000)
        except ReaderGone as error:
            log.info("gave up a %s: %s", request.type, error)
        except CatervaError as error:
            if isinstance(error, StaleVersion | NotFound) and hasattr(request, "path"):
                self._on_version(request.path, str(error.info.get("etag", "")))
            log.log(logging.WARNING if error.code >= 500 else logging.INFO, "%s", error)
            await self._fail(peer, request.id, error)
        except Exception as error:
            log.exception("%s failed", request.type)
            await self._fail(peer, request.id, Internal(f"{type(error).__name__} at the publisher"))

    async def _fail(self, peer: bytes, request_id: int, error: CatervaError) -> None:
        try:
            message = codec.error_message(request_id, error)
            await self._send(peer, message, (), time.monotonic() + 1)
        except ReaderGone:
            log.info("nobody is there to hear: %s", error)

    async def _chunks(self, peer: bytes, request: messages.ChunksRequest, until: float) -> None:
        runs = self._source.chunks(request.path, request.etag, request.n)
        left = len(request.n)
        while left:
            left -= await self._run(peer, request, runs, left, until)

    async def _run(
        self,
        peer: bytes,
        request: messages.ChunksRequest,
        runs: Iterator[Run],
        left: int,
        until: float,
    ) -> int:
        """Send one reply, and tell how many chunks it had.

        A request that waits for room must hold no payload beside what is counted, so that
        of the run nothing is left when this ends.
        """
        parcel = await self._outgoing.room(peer, limits.REPLY_BYTES, until)
        run, digests = await self._read(parcel, lambda: _digested(runs))
        reply = messages.Chunks(
            id=request.id, n=tuple(run.ids), sizes=tuple(run.sizes), digests=digests,
            last=len(run.ids) == left,
        )  # fmt: skip
        await self._send(peer, reply, (parcel.wrap(run.payload),), until)
        self.served.chunks += len(run.ids)
        self.served.bytes += len(run.payload)
        log.debug("%s: chunks %s", request.path, run.ids)
        return len(run.ids)

    async def _blocks(self, peer: bytes, request: messages.BlocksRequest, until: float) -> None:
        for part in request.blocks:
            last = part is request.blocks[-1]
            await self._part(peer, request, part, until, last=last)

    async def _part(
        self,
        peer: bytes,
        request: messages.BlocksRequest,
        part: messages.ChunkBlocks,
        until: float,
        *,
        last: bool,
    ) -> None:
        """Send the blocks of one chunk; nothing that is not counted is left when this ends."""

        def read() -> tuple[Cut, int]:
            found = self._source.blocks(request.path, request.etag, part.n, part.ids)
            return found, zlib.crc32(found.payload)

        parcel = await self._outgoing.room(peer, limits.REPLY_BYTES, until)
        found, digest = await self._read(parcel, read)
        reply = messages.Blocks(
            id=request.id, n=part.n, ids=found.ids, sizes=found.sizes, digest=digest, last=last
        )
        await self._send(peer, reply, (parcel.wrap(found.payload),), until)
        self.served.chunks += not found.ids
        self.served.blocks += len(found.ids)
        self.served.bytes += len(found.payload)
        log.debug("%s: blocks %s of chunk %d", request.path, found.ids, part.n)

    async def _bytes(self, peer: bytes, request: messages.BytesRequest, until: float) -> None:
        pieces = self._source.read_bytes(request.path, request.etag, request.start, request.stop)
        at = request.start
        while True:
            parcel = await self._outgoing.room(peer, limits.REPLY_BYTES, until)
            piece = await self._read(parcel, lambda: next(pieces, b""))
            end = at + len(piece)
            last = end >= request.stop
            reply = messages.Bytes(id=request.id, start=at, digest=zlib.crc32(piece), last=last)
            await self._send(peer, reply, (parcel.wrap(piece),), until)
            del piece  # nothing that is not counted is held while the next one waits for room
            self.served.bytes += end - at
            at = end
            if last:
                return

    async def _read(self, parcel: ReplyReservation, work: Callable[[], T]) -> T:
        try:
            return await self.in_thread(work)
        except BaseException:
            parcel.release()
            raise

    async def _send(
        self, peer: bytes, reply: messages.DataReply, payload: tuple[memoryview, ...], until: float
    ) -> None:
        frames = [peer, *codec.encode(reply, payload)]
        try:
            while not self._socket.send(frames, copy=False):
                if time.monotonic() >= until:
                    raise ReaderGone("its reader takes nothing")
                await asyncio.sleep(RETRY_SEND)
        except zmq.ZMQError as error:
            raise ReaderGone(f"its reader is gone: {error.strerror}") from None


def _digested(runs: Iterator[Run]) -> tuple[Run, tuple[int, ...]]:
    run = next(runs)
    view, at, digests = memoryview(run.payload), 0, []
    for size in run.sizes:
        digests.append(zlib.crc32(view[at : at + size]))
        at += size
    return run, tuple(digests)
