"""A publisher's data socket over sources in memory, and a reader of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
import zlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import blosc2
import numpy as np
import zmq
from wiretools import ANY, LIMIT, zmq_context

from caterva2.errors import (
    CatervaError,
)
from caterva2.limits import DEFAULTS, Limits
from caterva2.model import Entry
from caterva2.publisher.requests import DataRequests
from caterva2.publisher.signatures import OriginSignatures
from caterva2.sources.memory import MemorySource
from caterva2.wire import codec, sockets
from caterva2.wire import messages as m
from caterva2.wire.calls import Call
from caterva2.wire.requester import Requester
from caterva2.wire.responder import Peer as Responded
from caterva2.wire.responder import Responder

VALUES = np.arange(2_000, dtype="<i8").reshape(40, 50)
TEXT = bytes(range(256)) * 10_000


class Collect(Call[Any]):
    """A call that keeps all replies and their payloads."""

    payload_most = 2**40

    def __init__(self, request: m.Request, timeout: float = LIMIT) -> None:
        self.deadline = time.monotonic() + timeout
        self.replies: list[tuple[Any, list[bytes]]] = []
        self._request = request
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self._loop.create_future()

    def message(self, request_id: int) -> m.Request:
        return self._request.model_copy(update={"id": request_id})

    def on_reply(self, reply: Any, payload: Sequence[memoryview]) -> bool:
        self.replies.append((reply, [bytes(frame) for frame in payload]))
        if reply.last:
            self._loop.call_soon_threadsafe(self.done.set_result, None)
        return bool(reply.last)

    def on_error(self, error: CatervaError) -> None:
        self._loop.call_soon_threadsafe(self.done.set_exception, error)


class Server:
    """A data socket that serves a source in memory, as a publisher does."""

    def __init__(
        self,
        context: sockets.Context,
        limits: Limits,
        source: MemorySource | None = None,
        signatures: OriginSignatures | None = None,
    ) -> None:
        self._context = context
        self.source = source or MemorySource()
        raw = sockets.make(context, zmq.ROUTER, data=True, limits=limits.wire)
        self.endpoint = sockets.bind(raw, ANY, "data").endpoint
        self.responder: Responder[m.DataRequest] = Responder(
            raw, codec.data_requests, "the publisher"
        )
        self.jobs = DataRequests(
            self.source, self.responder, limits=limits.publisher, signatures=signatures
        )
        self.responder.handle(m.Cancel, self._cancel)
        self.cancelled: list[int] = []
        self._limits = limits
        self._requesters: list[Requester[Any]] = []

    def _cancel(self, peer: Responded, request: m.Cancel) -> None:
        self.cancelled.append(request.id)
        self.jobs.jobs.cancel(peer, request)

    def requester(self) -> Requester[Any]:
        made: Requester[Any] = Requester(
            self._context, self.endpoint, codec.data_replies, f"reader-{len(self._requesters)}",
            limits=self._limits.wire,
        )  # fmt: skip
        self._requesters.append(made)
        return made

    async def collect(self, request: m.Request) -> list[tuple[Any, list[bytes]]]:
        """All replies to a request."""
        call = Collect(request)
        self.requester().submit(call)
        await asyncio.wait_for(call.done, LIMIT)
        return call.replies

    def put_array(self, path: str = "a.b2nd", values: Any = VALUES, **options: Any) -> Entry:
        array = blosc2.asarray(values, **({"chunks": (8, 50), "blocks": (4, 25)} | options))
        return self.source.put(path, array.to_cframe())

    async def close(self) -> None:
        await self.jobs.stop()
        self.responder.close()
        for requester in self._requesters:
            await asyncio.to_thread(requester.close)
        self.source.close()


@contextlib.asynccontextmanager
async def serving(
    limits: Limits = DEFAULTS,
    source: MemorySource | None = None,
    signatures: OriginSignatures | None = None,
) -> AsyncIterator[Server]:
    with zmq_context() as context:
        server = Server(context, limits, source, signatures)
        try:
            yield server
        finally:
            await server.close()


def ask_chunks(
    entry: Entry,
    *n: int,
    etag: str = "",
    deadline_ms: int = 10_000,
    held: tuple[bytes, ...] = (),
) -> m.ChunksRequest:
    return m.ChunksRequest(
        path=entry.path, etag=etag or entry.etag, n=n, deadline_ms=deadline_ms, held=held
    )


def ask_bytes(entry: Entry, start: int, stop: int, deadline_ms: int = 60_000) -> m.BytesRequest:
    return m.BytesRequest(
        path=entry.path, etag=entry.etag, start=start, stop=stop, deadline_ms=deadline_ms
    )


def cut(reply: m.Chunks, payload: list[bytes]) -> dict[int, bytes]:
    """The chunks of a reply, their sizes and digests checked."""
    [data] = payload
    assert len(reply.n) == len(reply.sizes) == len(reply.digests)
    assert sum(reply.sizes) == len(data)
    found, at = {}, 0
    for n, size, digest in zip(reply.n, reply.sizes, reply.digests, strict=True):
        found[n] = data[at : at + size]
        at += size
        assert zlib.crc32(found[n]) == digest
    return found
