"""Fetch from the publisher of a root: whole chunks, or blocks where these cost less."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from caterva2.cache.readable import Ids
from caterva2.cache.replica import Replica
from caterva2.cache.touched_blocks import Touched
from caterva2.errors import BadMessage, CatervaError
from caterva2.limits import DEFAULTS, Limits
from caterva2.limits.constants import BLOCKS_CHUNKS, REQUEST_BLOCKS, REQUEST_BYTES, REQUEST_CHUNKS
from caterva2.subscriber.fetch.block_call import BlocksCall
from caterva2.subscriber.fetch.calls import Block, BytesCall, ChunksCall
from caterva2.subscriber.fetch.costs import blocks_pay, expected_size
from caterva2.subscriber.fetch.flight import (
    Again,
    ChecksOf,
    Connection,
    Flights,
    Tried,
    final,
    unchecked,
)
from caterva2.subscriber.fetch.traffic import Traffic
from caterva2.wire.calls import AsksFor
from caterva2.wire.messages import Credit, DataReply

log = logging.getLogger(__name__)
WINDOW = 4
"""Requests for chunks of one replica that are under way at once: a few keep a link busy, and
leave credit to the readers of other datasets."""
_BLOCKS_OF = 1024
"""Chunks whose blocks a reader waits for at once: choosing them must not hold up the event loop."""


class ReplicaFetches:
    """Fetch the chunks and blocks of one replica.

    Parameters
    ----------
    replica : Replica
    connection : callable
        Gives the connection to use now; raises `RootOffline` where there is none.
    credit : callable
        Gives what the publisher allows one requester.
    traffic : Traffic
    limits : Limits
    again, checks_of : callable, optional
        See `Flights`.
    """

    def __init__(
        self,
        replica: Replica,
        connection: Connection,
        credit: Callable[[], Credit],
        traffic: Traffic,
        limits: Limits = DEFAULTS,
        again: Again = final,
        checks_of: ChecksOf = unchecked,
    ) -> None:
        self._again = again
        self._replica = replica
        self._credit = credit
        self._traffic = traffic
        self._limits = limits
        self._chunks: Flights[int] = Flights(
            connection, self._next_chunks, WINDOW, again, checks_of
        )
        # A small slice waits for its blocks, so they are not held back behind others.
        self._blocks: Flights[Block] = Flights(
            connection, self._next_blocks, limits.wire.credit, self._blocks_again, checks_of
        )

    def _blocks_again(
        self, asked: AsksFor[DataReply], error: CatervaError, tried: Tried
    ) -> Tried | None:
        """Chunks are asked for where single blocks are refused as no message."""
        return None if isinstance(error, BadMessage) else self._again(asked, error, tried)

    @property
    def idle(self) -> bool:
        return self._chunks.idle and self._blocks.idle

    @property
    def calls(self) -> int:
        return self._chunks.calls + self._blocks.calls

    @property
    def awaited(self) -> int:
        """Bytes of a chunk if some are under way, 1 if only blocks are, 0 if nothing is."""
        whole = self._chunks.calls > 0
        return expected_size(self._replica.info) if whole else int(self._blocks.calls > 0)

    @property
    def queued(self) -> int:
        return len(self._chunks.pending) + len(self._blocks.pending)

    # --- chunks ---

    async def chunks(self, ids: Ids) -> None:
        """Wait until some chunks are there, fetching those that are missing.

        Raises
        ------
        CatervaError
            Why one of them could not be fetched.
        """
        window = self._limits.subscriber.ensure_window
        for start in range(0, len(ids), window):
            part = ids[start : start + window]
            await self._chunks.ensure(set(self._replica.missing(part).tolist()))

    def _next_chunks(self, flights: Flights[int], queue: deque[int]) -> ChunksCall | BytesCall:
        """Take what fits into one request; of a plain file only neighbours do."""
        info, credit = self._replica.info, self._credit()
        of_file = info.kind == "file"
        count = min(
            REQUEST_CHUNKS,
            credit.chunks,
            REQUEST_BYTES // expected_size(info),
            credit.bytes // max(info.chunksize, 1),
        )
        ids = [queue.popleft()]
        while queue and len(ids) < count:
            if of_file and queue[0] != ids[-1] + 1:
                break
            ids.append(queue.popleft())
        kind = BytesCall if of_file else ChunksCall
        return kind(self._replica, ids, flights, self._traffic, self._limits.wire)

    # --- blocks ---

    async def blocks(self, absent: Ids, requested: Touched) -> list[int]:
        """Wait for the requested blocks of those absent chunks of which that costs less.

        Returns
        -------
        list of int
            These chunks.
        """
        together = sorted(set(absent.tolist()) & requested.keys() - self._chunks.pending)
        found: list[int] = []
        for at in range(0, len(together), _BLOCKS_OF):
            missing: Touched = {}
            for n in together[at : at + _BLOCKS_OF]:
                if (ids := self._missing_blocks(n, requested[n], len(together))) is not None:
                    missing[n] = ids
            await self._blocks.ensure({(n, block) for n, ids in missing.items() for block in ids})
            found += missing
        return found

    def _missing_blocks(self, n: int, ids: Sequence[int], together: int) -> tuple[int, ...] | None:
        """Return the blocks of a chunk to fetch; None if the chunk costs less."""
        info, limits = self._replica.info, self._limits.subscriber
        missing = self._replica.missing_blocks(n, ids)
        held = self._replica.held_blocks(n)
        pays = not missing or blocks_pay(info, len(missing), *held, limits, together)
        return tuple(missing) if pays else None

    def _next_blocks(self, flights: Flights[Block], queue: deque[Block]) -> BlocksCall:
        """Take what fits into one request: all blocks of one chunk do."""
        credit = self._credit()
        max_chunks = min(BLOCKS_CHUNKS, credit.chunks)
        max_blocks = min(REQUEST_BLOCKS, credit.bytes // max(self._replica.info.blocksize, 1))
        keys: list[Block] = []
        chunks: set[int] = set()
        while queue and len(keys) < REQUEST_BLOCKS:
            n = queue[0][0]
            one = chunks <= {n}
            if not one and (len(keys) >= max_blocks or len(chunks | {n}) > max_chunks):
                break
            chunks.add(n)
            keys.append(queue.popleft())
        return BlocksCall(self._replica, keys, flights, self._traffic, self._limits.wire)


class Fetcher:
    """Fetch from the publisher of one root.

    Parameters
    ----------
    connection : callable
        Gives the connection to use now; raises `RootOffline` where there is none.
    limits : Limits
    traffic : Traffic, optional
    again : callable, optional
        Says whether what failed is repeated over another connection, see `Flights`.
    checks_of : callable, optional
        Gives what checks all that arrives over a connection, see `Flights`.

    Attributes
    ----------
    credit : Credit
        What the publisher allows one requester.
    traffic : Traffic
    """

    def __init__(
        self,
        connection: Connection,
        limits: Limits = DEFAULTS,
        traffic: Traffic | None = None,
        again: Again = final,
        checks_of: ChecksOf = unchecked,
    ) -> None:
        self._again = again
        self._checks_of = checks_of
        self.credit = Credit()
        self.traffic = traffic or Traffic()
        self._connection = connection
        self._limits = limits
        self._of: dict[Replica, ReplicaFetches] = {}
        self._knows_blocks = True

    @property
    def calls(self) -> int:
        """Number of requests that are under way; may be read in any thread."""
        return sum(fetches.calls for fetches in list(self._of.values()))

    @property
    def awaited(self) -> int:
        """Bytes of the largest chunk that is under way, at least 1; 0 if nothing is."""
        return max((fetches.awaited for fetches in self._of.values()), default=0)

    @property
    def queued(self) -> int:
        """Number of chunks and blocks that wait, or are on their way."""
        return sum(fetches.queued for fetches in list(self._of.values()))

    def allow(self, credit: Credit) -> None:
        """Keep to what the publisher allows from now on."""
        self.credit = credit

    def reset(self) -> None:
        """Assume the defaults of the protocol again, for another publisher."""
        self.credit = Credit()
        self._knows_blocks = True

    def tidy(self) -> None:
        """Forget the replicas of which nothing is being fetched."""
        self._of = {replica: fetches for replica, fetches in self._of.items() if not fetches.idle}

    def _fetches(self, replica: Replica) -> ReplicaFetches:
        fetches = self._of.get(replica)
        if fetches is None:
            fetches = self._of[replica] = ReplicaFetches(
                replica, self._connection, lambda: self.credit, self.traffic, self._limits,
                self._again, self._checks_of,
            )  # fmt: skip
        return fetches

    async def ensure(self, replica: Replica, ids: Ids, requested: Touched | None = None) -> None:
        """Wait until some chunks of a replica are there, or the requested blocks of large ones.

        Raises
        ------
        StaleVersion
            If the dataset is not that version any more.
        RootOffline
            If the publisher is away and one of them is missing.
        """
        if requested is not None:
            ids = await self.fetch_blocks(replica, replica.missing(ids), requested)
        await self._fetches(replica).chunks(ids)

    async def fetch_blocks(self, replica: Replica, absent: Ids, requested: Touched) -> Ids:
        """Fetch the requested blocks of those absent chunks of which that costs less.

        Returns
        -------
        ndarray of int64
            The absent chunks that are to be fetched as a whole.
        """
        if not self._knows_blocks:
            return absent
        try:
            found = await self._fetches(replica).blocks(absent, requested)
        except BadMessage as error:  # as publishers answer to a request that they don't know
            log.info("only whole chunks are fetched of %s: %s", replica.root, error)
            self._knows_blocks = False
            return absent
        return absent[~np.isin(absent, found)]
