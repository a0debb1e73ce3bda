"""Missing chunks, fetched once whoever waits for them.

A `Fill` belongs to one replica and lives on the event loop; its calls run on the requester's
thread, which checks and stores what arrives and tells the loop only which chunks are there.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet

import numpy as np

from caterva2 import limits
from caterva2.cache.readable import Ids
from caterva2.cache.replica import Replica
from caterva2.errors import BadMessage, CatervaError, Damaged, DeadlineExceeded
from caterva2.frames import chunk as chunks
from caterva2.model import DatasetInfo
from caterva2.reading.slices import pack_file_chunk
from caterva2.wire import messages
from caterva2.wire.calls import Call
from caterva2.wire.messages import DataReply
from caterva2.wire.requester import Requester

WINDOW = 4
"""Requests of one fill that are under way at once."""


class FetchCall(Call[DataReply]):
    """Asks for some chunks of a replica and stores them as they arrive."""

    def __init__(self, fill: Fill, ids: Sequence[int]) -> None:
        self.deadline = time.monotonic() + limits.DEADLINE_MAX  # until it is sent
        self.ids = ids
        self._fill = fill
        self._replica = fill.replica
        self.subject = fill.replica.info.path
        self._wanted: set[int] = set()
        self._began = False

    def _left(self) -> Ids:
        return self._replica.missing(np.asarray(self.ids, np.int64))

    def _sent(self, count: int) -> int:
        """Set the time limits for a request of some chunks; its deadline in milliseconds."""
        self.extra_patience, seconds = patience(self._replica.info, count)
        now = time.monotonic()
        if not self._began:
            self.deadline = now + seconds
            self._began = True
        return max(1, int((self.deadline - now) * 1000))

    def on_error(self, error: CatervaError) -> None:
        self._fill.tell(self._fill.failed, self, error)

    def _stored(self, ids: Sequence[int]) -> None:
        self._fill.tell(self._fill.arrived, list(ids))

    def _finished(self) -> bool:
        if self._wanted:
            raise Damaged(f"the publisher's answer about {self._replica.info.path} has gaps")
        self._fill.tell(self._fill.done, self)
        return True


def expected_size(info: DatasetInfo) -> int:
    """About the bytes that a chunk takes on its way."""
    if info.kind == "file":
        return info.chunksize
    return max(info.cbytes // max(info.nchunks, 1), chunks.HEADER)


def patience(info: DatasetInfo, count: int) -> tuple[float, float]:
    """Seconds of silence to bear beyond the usual, and of all of a request of some chunks."""
    most = count * max(expected_size(info), info.chunksize if count == 1 else 0)
    extra = min(max(info.chunksize, limits.REPLY_BYTES), most) / limits.SLOWEST
    return extra, min(limits.REQUEST_DEADLINE + most / limits.SLOWEST, limits.DEADLINE_MAX)


class ChunksCall(FetchCall):
    """For arrays and frames: raw chunks, stored as they are."""

    def message(self, request_id: int) -> messages.ChunksRequest | None:
        left = self._left().tolist()
        if not left:
            self._fill.tell(self._fill.done, self)
            return None
        self._wanted = set(left)
        info = self._replica.info
        return messages.ChunksRequest(
            id=request_id, path=info.path, etag=info.etag, n=tuple(left),
            deadline_ms=self._sent(len(left)),
        )  # fmt: skip

    def on_reply(self, reply: DataReply, payload: Sequence[memoryview]) -> bool:
        if not isinstance(reply, messages.Chunks) or len(payload) != 1:
            raise BadMessage(f"the publisher answered {reply.type} to chunks?")
        data = payload[0]
        if not len(reply.n) == len(reply.sizes) == len(reply.digests):
            raise BadMessage("the publisher's chunks, sizes and digests differ in number")
        sent = set(reply.n)
        if sum(reply.sizes) != len(data) or len(sent) != len(reply.n) or not sent <= self._wanted:
            raise BadMessage("the publisher sent what was not asked for, or twice")
        self._wanted -= sent
        at = 0
        for n, size, digest in zip(reply.n, reply.sizes, reply.digests, strict=True):
            chunk = data[at : at + size]
            at += size
            if zlib.crc32(chunk) != digest:
                raise Damaged(f"chunk {n} of {self._replica.info.path} was damaged on its way")
            self._replica.check(n, chunk)
        self._replica.add(reply.n, reply.sizes, reply.digests, data)
        self._fill.received(len(reply.n), len(data))
        self._stored(reply.n)
        return reply.last and self._finished()


class BytesCall(FetchCall):
    """For plain files: a range of bytes, packed into chunks here."""

    def __init__(self, fill: Fill, ids: Sequence[int]) -> None:
        super().__init__(fill, ids)
        self._rest = bytearray()
        self._at = 0

    def message(self, request_id: int) -> messages.BytesRequest | None:
        left = self._left().tolist()
        if not left:
            self._fill.tell(self._fill.done, self)
            return None
        info = self._replica.info
        self._rest.clear()
        self._wanted = set(left)
        self._at = left[0] * info.chunksize
        return messages.BytesRequest(
            id=request_id, path=info.path, etag=info.etag, start=self._at,
            stop=min((left[-1] + 1) * info.chunksize, info.nbytes),
            deadline_ms=self._sent(len(left)),
        )  # fmt: skip

    def on_reply(self, reply: DataReply, payload: Sequence[memoryview]) -> bool:
        if not isinstance(reply, messages.Bytes) or len(payload) != 1:
            raise BadMessage(f"the publisher answered {reply.type} to bytes?")
        if reply.start != self._at + len(self._rest):
            raise BadMessage("the publisher sent what was not asked for")
        if zlib.crc32(payload[0]) != reply.digest:
            raise Damaged(f"bytes of {self._replica.info.path} were damaged on their way")
        self._rest += payload[0]
        self._fill.received(0, len(payload[0]))
        info, stored = self._replica.info, []
        while self._at < info.nbytes:
            n = self._at // info.chunksize
            size = info.chunk_nbytes(n)
            if len(self._rest) < size:
                break
            self._store(n, bytes(self._rest[:size]))
            stored.append(n)
            del self._rest[:size]
            self._at += size
        self._stored(stored)
        return reply.last and self._finished()

    def _store(self, n: int, data: bytes) -> None:
        if n in self._wanted:
            self._wanted.remove(n)
            chunk = pack_file_chunk(self._replica.info, data)
            self._replica.add([n], [len(chunk)], [zlib.crc32(chunk)], chunk)


class _Waiter:
    """Somebody who waits for chunks."""

    def __init__(self, ids: set[int], future: asyncio.Future[None]) -> None:
        self.ids = ids
        self.future = future


class Traffic:
    """What came in from publishers, for metrics."""

    def __init__(self) -> None:
        self.chunks = 0
        self.blocks = 0
        self.bytes = 0

    def came(self, *, chunks: int = 0, blocks: int = 0, size: int) -> None:
        """Count what arrived."""
        self.chunks += chunks
        self.blocks += blocks
        self.bytes += size


class Fill:
    """The filling of one replica.

    Parameters
    ----------
    replica : Replica
    requester : callable
        Gives the connection to use now; raises `RootOffline` where there is none.
    traffic : Traffic
    """

    def __init__(
        self, replica: Replica, requester: Callable[[], Requester[DataReply]], traffic: Traffic
    ) -> None:
        self.replica = replica
        self._requester = requester
        self._traffic = traffic
        self._loop = asyncio.get_running_loop()
        self._queue: deque[int] = deque()
        self._pending: set[int] = set()
        self._calls: dict[FetchCall, Requester[DataReply]] = {}
        self._waiters: list[_Waiter] = []

    @property
    def idle(self) -> bool:
        return not self._waiters and not self._calls

    @property
    def coming(self) -> AbstractSet[int]:
        """The chunks that are on their way."""
        return self._pending

    # --- on the loop ---

    async def ensure(self, ids: Ids) -> None:
        """Wait until some chunks are there, fetching those that nobody fetches yet.

        Raises
        ------
        CatervaError
            What kept one of them from coming.
        """
        missing = set(self.replica.missing(ids).tolist())
        if not missing:
            return
        self._requester()  # offline is told at once
        waiter = _Waiter(missing, self._loop.create_future())
        self._waiters.append(waiter)
        new = sorted(missing - self._pending)
        self._pending.update(new)
        self._queue.extend(new)
        try:
            self._try_pump()
            async with asyncio.timeout(limits.DEADLINE_MAX):
                await waiter.future
        except TimeoutError:
            raise DeadlineExceeded(f"{len(waiter.ids)} chunks did not come in time") from None
        finally:
            self._leave(waiter)

    def _pump(self) -> None:
        while self._queue and len(self._calls) < WINDOW:
            requester = self._requester()
            kind = BytesCall if self.replica.info.kind == "file" else ChunksCall
            call = kind(self, self._next_ids())
            self._calls[call] = requester
            requester.submit(call)

    def _next_ids(self) -> list[int]:
        """The next chunks that fit into one request; of a plain file only neighbours do."""
        size = expected_size(self.replica.info)
        most = max(1, min(limits.REQUEST_CHUNKS, limits.REQUEST_BYTES // size))
        ids = [self._queue.popleft()]
        while self._queue and len(ids) < most:
            if self.replica.info.kind == "file" and self._queue[0] != ids[-1] + 1:
                break
            ids.append(self._queue.popleft())
        return ids

    def arrived(self, ids: list[int]) -> None:
        """Some chunks are there."""
        self._pending.difference_update(ids)
        for waiter in self._waiters:
            waiter.ids.difference_update(ids)
            if not waiter.ids and not waiter.future.done():
                waiter.future.set_result(None)

    def done(self, call: FetchCall) -> None:
        """A call has ended well."""
        self._calls.pop(call, None)
        self.arrived(list(call.ids))
        self._try_pump()

    def failed(self, call: FetchCall, error: CatervaError) -> None:
        """A call has ended badly: so do those who wait for its chunks.

        Where no answer came in time, those who wait for their turn have waited as long for the
        same link.
        """
        self._calls.pop(call, None)
        self._fail(call.ids, error)
        if isinstance(error, DeadlineExceeded):
            self._fail(list(self._queue), error)
            self._queue.clear()
        self._try_pump()

    def _try_pump(self) -> None:
        try:
            self._pump()
        except CatervaError as error:
            self._fail(list(self._queue), error)
            self._queue.clear()

    def _fail(self, ids: Iterable[int], error: CatervaError) -> None:
        lost = set(ids)
        self._pending -= lost
        for waiter in self._waiters:
            if not waiter.ids.isdisjoint(lost) and not waiter.future.done():
                waiter.future.set_exception(error)

    def _leave(self, waiter: _Waiter) -> None:
        """Forget a waiter, and what only it was waiting for."""
        self._waiters.remove(waiter)
        if not waiter.ids:
            return
        wanted = set().union(*(other.ids for other in self._waiters))
        dropped = [n for n in self._queue if n not in wanted]
        if dropped:
            self._queue = deque(n for n in self._queue if n in wanted)
            self._pending.difference_update(dropped)
        for call, requester in list(self._calls.items()):
            if wanted.isdisjoint(call.ids):
                requester.cancel(call)
                del self._calls[call]
                self._pending.difference_update(call.ids)
        self._try_pump()

    # --- on the requester's thread ---

    def tell(self, method: Callable[..., None], *args: object) -> None:
        """Have a method called on the loop, if that still runs."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(method, *args)

    def received(self, count: int, size: int) -> None:
        self._traffic.came(chunks=count, size=size)
