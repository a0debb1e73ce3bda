"""Data requests: one coroutine for each, file reads in threads, replies sent as they are read.

A reader that takes nothing loses its request at the deadline; until then no more is read for it
than its share of memory holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from caterva2.errors import CatervaError, NotFound, StaleVersion
from caterva2.frames.raw import Cut, Run, crc32
from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.names import DatasetPath
from caterva2.publisher.info_replies import Describer
from caterva2.publisher.jobs import Answer, Answers, Jobs
from caterva2.publisher.monitoring import Served
from caterva2.publisher.outgoing import Outgoing, ReplyReservation
from caterva2.publisher.signatures import OriginSignatures, aligned
from caterva2.sources.base import Source
from caterva2.wire import messages
from caterva2.wire.responder import Peer, Responder

log = logging.getLogger(__name__)
T = TypeVar("T")


class DataRequests:
    """The data requests that a publisher works on.

    Parameters
    ----------
    source : Source
    responder : Responder
        Of the data socket; its handlers for these requests are set here.
    on_version : callable, optional
        Called with the version of a dataset that a request met, which a scan may not have
        found yet; empty for a dataset that does not exist.
    limits : PublisherLimits, optional
    served : Served, optional
    check : callable, optional
        Raises the reason why a request is not to be answered.
    signatures : OriginSignatures, optional
        Sign what is sent to those who ask for it.
    on_catalog : callable, optional
        Answers requests for the catalog.

    Attributes
    ----------
    served : Served
    outgoing : Outgoing
    jobs : Jobs
        Those that are worked on.
    """

    def __init__(
        self,
        source: Source,
        responder: Responder[messages.DataRequest],
        on_version: Callable[[DatasetPath, str], None] = lambda *_: None,
        limits: PublisherLimits = DEFAULTS.publisher,
        served: Served | None = None,
        check: Callable[[messages.RootRequest], None] = lambda _: None,
        signatures: OriginSignatures | None = None,
        on_catalog: Answer | None = None,
    ) -> None:
        self._source = source
        self._signatures = signatures
        self._on_version = on_version
        self._limits = limits
        self._describer = Describer(source, limits)
        self._pool = ThreadPoolExecutor(limits.workers, thread_name_prefix="serve")
        self.outgoing = Outgoing(limits)
        answers: Answers = {
            messages.InfoRequest: self._info,
            messages.InfosRequest: self._infos,
            messages.ChunksRequest: self._chunks,
            messages.BlocksRequest: self._blocks,
            messages.BytesRequest: self._bytes,
            **({messages.CatalogRequest: on_catalog} if on_catalog else {}),
        }
        self.jobs = Jobs(
            responder, answers, limits, served, lambda _, request: check(request), self._on_error
        )
        self.served = self.jobs.served

    async def stop(self) -> None:
        """Cancel all requests; threads that still read are not waited for."""
        await self.jobs.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run a function in one of the threads that read the source."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def _on_error(self, request: messages.DatasetRequest, error: CatervaError) -> None:
        if isinstance(error, StaleVersion | NotFound) and not isinstance(
            request, messages.InfosRequest
        ):
            self._on_version(request.path, str(error.info.get("etag", "")))

    # --- descriptions ---

    def _signs(self, request: messages.RootRequest) -> OriginSignatures | None:
        return self._signatures if request.signed else None

    async def _info(self, peer: Peer, request: messages.InfoRequest, until: float) -> None:
        info = await self.in_thread(lambda: self._source.info(request.path, until))
        self._on_version(info.path, info.etag)
        if (signing := self._signs(request)) is not None:
            info = await self.in_thread(lambda: signing.described(info))
        await self.jobs.send(peer, messages.Info(**dict(info), id=request.id), (), until)

    async def _infos(self, peer: Peer, request: messages.InfosRequest, until: float) -> None:
        infos = await self.in_thread(lambda: self._describer.answer(request, until))
        for info in infos.infos:
            self._on_version(info.path, info.etag)
        if (signing := self._signs(request)) is not None:
            signed = await self.in_thread(lambda: tuple(map(signing.described, infos.infos)))
            infos = infos.model_copy(update={"infos": signed})
        await self.jobs.send(peer, infos, (), until)

    # --- payload ---

    async def _chunks(self, peer: Peer, request: messages.ChunksRequest, until: float) -> None:
        runs = self._source.chunks(request.path, request.etag, request.n, until)
        left = len(request.n)
        while left:
            left -= await self._run(peer, request, runs, left, until)

    async def _run(
        self,
        peer: Peer,
        request: messages.ChunksRequest,
        runs: Iterator[Run],
        left: int,
        until: float,
    ) -> int:
        """Send one reply, and return the number of its chunks.

        A request that waits for room must hold no payload beside what is counted, so no
        reference to the run is left when this returns.
        """
        room = await self.outgoing.room(peer, self._limits.reply_bytes, until)
        signing = self._signs(request)
        run, digests, proofs = await self._read(
            room, lambda: _next(runs, request, signing), request.path
        )
        reply = messages.Chunks(
            id=request.id, n=tuple(run.ids), sizes=tuple(run.sizes), digests=digests,
            last=len(run.ids) == left, proofs=proofs,
        )  # fmt: skip
        await self.jobs.send(peer, reply, (room.wrap(run.payload),), until)
        held = run.sizes.count(0)
        self.served.chunks += len(run.ids) - held
        self.served.held += held
        self.served.bytes += len(run.payload)
        log.debug("%s: chunks %s", request.path, run.ids)
        return len(run.ids)

    async def _blocks(self, peer: Peer, request: messages.BlocksRequest, until: float) -> None:
        for part in request.blocks:
            last = part is request.blocks[-1]
            await self._part(peer, request, part, until, last=last)

    async def _part(
        self,
        peer: Peer,
        request: messages.BlocksRequest,
        part: messages.ChunkBlocks,
        until: float,
        *,
        last: bool,
    ) -> None:
        """Send the blocks of one chunk; no reference to them is left when this returns."""

        def read() -> tuple[Cut, int, bytes, bytes]:
            found, proof, leaves = self._cut(request, part, until)
            return found, crc32(found.payload), proof, leaves

        room = await self.outgoing.room(peer, self._limits.reply_bytes, until)
        found, digest, proof, leaves = await self._read(room, read, request.path)
        reply = messages.Blocks(
            id=request.id, n=part.n, ids=found.ids, sizes=found.sizes, digest=digest, last=last,
            proof=proof, leaves=leaves,
        )  # fmt: skip
        await self.jobs.send(peer, reply, (room.wrap(found.payload),), until)
        self.served.chunks += bool(found.payload) and not found.ids
        self.served.held += not found.payload
        self.served.blocks += len(found.ids)
        self.served.bytes += len(found.payload)
        log.debug("%s: blocks %s of chunk %d", request.path, found.ids, part.n)

    def _cut(
        self, request: messages.BlocksRequest, part: messages.ChunkBlocks, until: float
    ) -> tuple[Cut, bytes, bytes]:
        """Read the blocks of a chunk, with its proof and leaves if they are asked for.

        There are no bytes if the requester holds the chunk. To find that out, and to sign it, all
        of it is read.
        """
        path, etag, signing = request.path, request.etag, self._signs(request)
        if not part.held and signing is None:
            return self._source.blocks(path, etag, part.n, part.ids, until), b"", b""
        from caterva2.frames import blocks  # needs numpy, which is not loaded at the start

        run = next(self._source.chunks(path, etag, [part.n], until))
        held = part.held and _held(run, {part.n: part.held})
        cut = Cut((), (), b"") if held else blocks.cut_out_of(run.payload, part.ids)
        return (cut, b"", b"") if signing is None else signing.blocks(path, etag, run, cut)

    async def _bytes(self, peer: Peer, request: messages.BytesRequest, until: float) -> None:
        pieces = self._source.read_bytes(
            request.path, request.etag, request.start, request.stop, until
        )
        signing, at = self._signs(request), request.start
        if signing is not None:
            pieces = aligned(pieces, request.start, request.stop)

        def read() -> tuple[bytes, bytes]:
            piece = next(pieces, b"")
            if signing is None or not piece:
                return piece, b""
            return piece, signing.piece(request.path, request.etag, at, piece)

        while True:
            room = await self.outgoing.room(peer, self._limits.reply_bytes, until)
            piece, proof = await self._read(room, read, request.path)
            end = at + len(piece)
            last = end >= request.stop
            reply = messages.Bytes(
                id=request.id, start=at, digest=crc32(piece), last=last, proof=proof
            )
            await self.jobs.send(peer, reply, (room.wrap(piece),), until)
            del piece  # nothing that is not counted is held while the next one waits for room
            self.served.bytes += end - at
            at = end
            if last:
                return

    async def _read(self, room: ReplyReservation, work: Callable[[], T], path: str) -> T:
        try:
            return await self.in_thread(self.served.timed(work, path))
        except BaseException:
            room.release()
            raise


def _next(
    runs: Iterator[Run], request: messages.ChunksRequest, signing: OriginSignatures | None
) -> tuple[Run, tuple[int, ...], tuple[bytes, ...]]:
    """Return the next chunks without those that the requester holds, CRC-32 and proof of each."""
    run = next(runs)
    proofs = signing.chunks(request.path, request.etag, run) if signing else ()
    if request.held:
        run = run.without(_held(run, dict(zip(request.n, request.held, strict=True))))
    return run, tuple(map(crc32, run.chunks())), proofs


def _held(run: Run, digests: Mapping[int, bytes]) -> set[int]:
    """Return the chunks whose digests were named."""
    from caterva2.frames import blocks  # needs numpy, which is not loaded at the start

    chunks = zip(run.ids, run.chunks(), strict=True)
    return {n for n, chunk in chunks if digests[n] and digests[n] == blocks.digest(chunk)}
