"""Calls that fetch chunks, or bytes of plain files, and store what arrives.

They run on the requester's thread, which checks each reply and puts it where readers find it.
Only what they offer of a former version is read before, on another thread.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np

from caterva2.cache.replica import Replica
from caterva2.errors import BadMessage, CatervaError, Damaged
from caterva2.frames.chunk import MOST_OVERHEAD
from caterva2.frames.raw import crc32
from caterva2.limits import DEFAULTS, WireLimits
from caterva2.limits.constants import DEADLINE_MAX
from caterva2.reading.slices import pack_file_chunk
from caterva2.signing import digests
from caterva2.signing.checks import Checks
from caterva2.subscriber.fetch.costs import time_limits
from caterva2.subscriber.fetch.traffic import Traffic
from caterva2.wire import messages
from caterva2.wire.calls import Call
from caterva2.wire.messages import DataReply

Block = tuple[int, int]
"""Number of a chunk, and of a block in it."""
Payload = memoryview | bytes
K = TypeVar("K", bound=int | Block)
"""A piece of a replica: a chunk's number, or a block."""


class Progress(Protocol[K]):
    """Receive the reports of a call, from the requester's thread."""

    def arrived(self, keys: Sequence[K]) -> None:
        """Report pieces that readers find now."""

    def ended(self, call: FetchCall[K], error: CatervaError | None) -> None:
        """Report the end of a call, and why it failed if it did."""


class FetchCall(Call[DataReply], Generic[K]):
    """Request pieces of a replica and store them as they arrive.

    Chunks of a former version are offered by their digests, and kept if the publisher finds them in
    this version too.

    Parameters
    ----------
    replica : Replica
    keys : sequence
        The pieces.
    progress : Progress
    traffic : Traffic
    limits : WireLimits
    """

    def __init__(
        self,
        replica: Replica,
        keys: Sequence[K],
        progress: Progress[K],
        traffic: Traffic,
        limits: WireLimits = DEFAULTS.wire,
    ) -> None:
        self.deadline = time.monotonic() + DEADLINE_MAX  # until it is sent
        self.keys = keys
        self._replica = replica
        self._info = replica.info
        self._progress = progress
        self._traffic = traffic
        self._limits = limits
        self._sent = False
        sizes = [self._info.chunk_nbytes(n) + MOST_OVERHEAD for n in self._numbers]
        self.payload_most = sum(sizes)
        self._missing = set(keys)
        """What was requested and has not arrived."""
        self.checks: Checks | None = None
        """What checks all that arrives, if the connection is not enough."""
        self._offered: dict[int, bytes] = {}
        """Digests of the former version's chunks, by their numbers."""
        self.is_prepared = not replica.may_offer
        """Whether it can be submitted without `prepare`."""

    def prepare(self) -> None:
        """Read the chunks that are offered, on any thread: the requester's has others to serve."""
        digests = self._replica.offers(self._numbers)
        offers = zip(self._numbers, digests, strict=False)
        self._offered = {n: digest for n, digest in offers if digest}
        self.is_prepared = True

    @property
    def _numbers(self) -> list[int]:
        """The chunks that pieces are requested of."""
        return sorted({key if isinstance(key, int) else key[0] for key in self.keys})

    def _keep(self, n: int, proof: bytes) -> None:
        """Keep a chunk of the former version; where it is gone, it is not offered again."""
        if self._offered.pop(n, None) is None:
            raise BadMessage("the publisher sent no bytes of a chunk that was not offered")
        held = self._replica.offer(n) if self.checks is not None else None
        if held is not None:
            self._prove(n, held, proof)
        elif self.checks is not None:
            raise Damaged(f"chunk {n} of {self._info.path} was damaged after it was offered")
        self._replica.confirm(n)
        self._replica.keep_proof(n, proof)

    def _prove(self, n: int, chunk: Payload, proof: bytes) -> None:
        """Refuse a chunk that the origin did not sign, where that has to be."""
        if self.checks is not None:
            self._checked(n, digests.of(chunk), proof)

    def _checked(self, n: int, digest: bytes, proof: bytes) -> None:
        if self.checks is not None:
            self.checks.chunk(self._info.path, self._info.etag, n, digest, proof)

    @abstractmethod
    def _request(self, request_id: int) -> messages.DataRequest | None:
        """Make the request for what is still missing, None if that is nothing."""

    def message(self, request_id: int) -> messages.DataRequest | None:
        request = self._request(request_id)
        if request is None:
            self._progress.ended(self, None)
        return request

    def _deadline_ms(self, count: int) -> int:
        """Set the time limits of a request for some chunks; its deadline in milliseconds."""
        self.extra_patience, seconds = time_limits(self._info, count, self._limits)
        now = time.monotonic()
        if not self._sent:
            self.deadline = now + seconds
            self._sent = True
        return max(1, int((self.deadline - now) * 1000))

    def on_error(self, error: CatervaError) -> None:
        self._traffic.failed(error)
        self._progress.ended(self, error)

    def on_retry(self, error: CatervaError) -> None:
        self._traffic.retried(error)

    def _add(
        self, ids: Sequence[int], sizes: Sequence[int], digests: Sequence[int], data: Payload
    ) -> None:
        """Store chunks, and note what the disk makes of it."""
        began = time.monotonic()
        self._replica.add(ids, sizes, digests, data)
        self._traffic.stored(time.monotonic() - began, self._info.path)
        if self._replica.write_error and not self._replica.succeeded:
            self._traffic.refused(self._replica.write_error, self._info.path)

    def _finish(self) -> bool:
        """End the call with the last reply, unless something is missing that was requested."""
        if self._missing:
            raise Damaged(f"the publisher's answer about {self._info.path} has gaps")
        self._progress.ended(self, None)
        return True


class ChunksCall(FetchCall[int]):
    """Fetch raw chunks of an array or a frame, which are stored as received."""

    def _request(self, request_id: int) -> messages.ChunksRequest | None:
        left = _left(self._replica, self.keys)
        if not left:
            return None
        self._missing = set(left)
        held = tuple(self._offered.get(n, b"") for n in left)
        return messages.ChunksRequest(
            id=request_id, path=self._info.path, etag=self._info.etag, n=tuple(left),
            held=held if any(held) else (), deadline_ms=self._deadline_ms(len(left)),
        )  # fmt: skip

    def on_reply(self, reply: DataReply, payload: Sequence[memoryview]) -> bool:
        if not isinstance(reply, messages.Chunks) or len(payload) != 1:
            raise BadMessage(f"the publisher answered {reply.type} to chunks?")
        data = payload[0]
        if not len(reply.n) == len(reply.sizes) == len(reply.digests):
            raise BadMessage("the publisher's chunks, sizes and digests differ in number")
        if reply.proofs and len(reply.proofs) != len(reply.n):
            raise BadMessage("the publisher's chunks and proofs differ in number")
        sent = set(reply.n)
        if sum(reply.sizes) != len(data) or len(sent) != len(reply.n) or not sent <= self._missing:
            raise BadMessage("the publisher sent chunks that were not requested, or sent one twice")
        kept = {n for n, size in zip(reply.n, reply.sizes, strict=True) if not size}
        if not kept <= self._offered.keys():
            raise BadMessage("the publisher sent no bytes of a chunk that was not offered")
        self._missing -= sent
        self._take(reply, data)
        self._traffic.record(chunks=len(sent - kept), kept=len(kept), size=len(data))
        self._progress.arrived(reply.n)
        return reply.last and self._finish()

    def _take(self, reply: messages.Chunks, data: memoryview) -> None:
        """Store the chunks of a reply, and keep those that it confirms."""
        ids, sizes, crcs = [], [], []
        at = 0
        proofs = reply.proofs or (b"",) * len(reply.n)
        given = zip(reply.n, reply.sizes, reply.digests, proofs, strict=True)
        for n, size, digest, proof in given:
            if not size:
                self._keep(n, proof)
                continue
            chunk = data[at : at + size]
            at += size
            if crc32(chunk) != digest:
                raise Damaged(f"chunk {n} of {self._info.path} was damaged in transfer")
            self._replica.check(n, chunk)
            self._prove(n, chunk, proof)
            ids.append(n)
            sizes.append(size)
            crcs.append(digest)
        if ids:
            self._add(ids, sizes, crcs, data)
        for n, proof in zip(reply.n, proofs, strict=True):
            self._replica.keep_proof(n, proof)


class BytesCall(FetchCall[int]):
    """Fetch a range of bytes of a plain file, which is packed into chunks here."""

    _at: int
    _rest: bytearray
    """What arrived from ``_at`` on and is not a whole chunk yet."""

    def _request(self, request_id: int) -> messages.BytesRequest | None:
        left = _left(self._replica, self.keys)
        if not left:
            return None
        info = self._info
        self._rest = bytearray()
        self._missing = set(left)
        self._at = left[0] * info.chunksize
        stop = min((left[-1] + 1) * info.chunksize, info.nbytes)
        self.payload_most = stop - self._at
        return messages.BytesRequest(
            id=request_id, path=info.path, etag=info.etag, start=self._at, stop=stop,
            deadline_ms=self._deadline_ms(len(left)),
        )  # fmt: skip

    def on_reply(self, reply: DataReply, payload: Sequence[memoryview]) -> bool:
        if not isinstance(reply, messages.Bytes) or len(payload) != 1:
            raise BadMessage(f"the publisher answered {reply.type} to bytes?")
        if reply.start != self._at + len(self._rest):
            raise BadMessage("the publisher sent bytes that were not requested")
        if crc32(payload[0]) != reply.digest:
            raise Damaged(f"bytes of {self._info.path} were damaged in transfer")
        self._prove_piece(reply, payload[0])
        self._rest += payload[0]
        self._traffic.record(size=len(payload[0]))
        stored: list[int] = []
        while self._at < self._info.nbytes:
            n = self._at // self._info.chunksize
            size = self._info.chunk_nbytes(n)
            if len(self._rest) < size:
                break
            self._store(n, bytes(self._rest[:size]))
            stored.append(n)
            del self._rest[:size]
            self._at += size
        self._progress.arrived(stored)
        return reply.last and self._finish()

    def _prove_piece(self, reply: messages.Bytes, data: memoryview) -> None:
        n, into = divmod(reply.start, self._info.chunksize or 1)
        if not into and len(data) == self._info.chunk_nbytes(n):
            self._checked(n, digests.of_piece(data), reply.proof)
            self._replica.keep_proof(n, reply.proof)
        elif self.checks is not None and data:
            raise self.checks.refused(f"bytes of {self._info.path} are no chunk, so none is signed")

    def _store(self, n: int, data: bytes) -> None:
        if n in self._missing:
            self._missing.remove(n)
            chunk = pack_file_chunk(self._info, data)
            self._add([n], [len(chunk)], [crc32(chunk)], chunk)


def _left(replica: Replica, ids: Sequence[int]) -> list[int]:
    """Those of some chunks that are still missing: others may have stored some meanwhile."""
    left: list[int] = replica.missing(np.asarray(ids, np.int64)).tolist()
    return left
