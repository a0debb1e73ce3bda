"""Single blocks of large chunks, fetched once whoever waits for them.

`BlockFetches` lives on the event loop. Its calls run on the requester's thread, which checks
what arrives and puts it where readers find it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet

import numpy as np

from caterva2 import limits
from caterva2.cache.readable import Ids
from caterva2.cache.replica import Replica
from caterva2.cache.touched_blocks import Touched, spares
from caterva2.errors import BadMessage, CatervaError, Damaged, DeadlineExceeded
from caterva2.frames import blocks
from caterva2.frames.chunk import HEADER
from caterva2.subscriber.fetch.chunks import Traffic, patience
from caterva2.wire import messages
from caterva2.wire.calls import Call
from caterva2.wire.messages import DataReply
from caterva2.wire.requester import Requester

log = logging.getLogger(__name__)


class BlocksCall(Call[DataReply]):
    """Asks for blocks of some chunks of a replica, and holds them as they arrive.

    Parameters
    ----------
    replica : Replica
    wanted : dict
        Blocks by the number of their chunk.
    traffic : Traffic
    ended : callable
        Told, on the requester's thread, when all has come, or what went wrong.
    """

    def __init__(
        self,
        replica: Replica,
        wanted: Mapping[int, Sequence[int]],
        traffic: Traffic,
        ended: Callable[[CatervaError | None], None],
    ) -> None:
        self._replica = replica
        self.subject = replica.info.path
        self._wanted = {n: tuple(ids) for n, ids in wanted.items()}
        self._traffic = traffic
        self._ended = ended
        # Any of them may turn out to be a chunk that can't be divided.
        self.extra_patience, seconds = patience(replica.info, 1)
        self.deadline = time.monotonic() + seconds

    def message(self, request_id: int) -> messages.BlocksRequest:
        info = self._replica.info
        left = max(1, int((self.deadline - time.monotonic()) * 1000))
        return messages.BlocksRequest(
            id=request_id, path=info.path, etag=info.etag, deadline_ms=left,
            blocks=tuple(
                messages.ChunkBlocks(n=n, ids=ids) for n, ids in self._wanted.items()
            ),
        )  # fmt: skip

    def on_reply(self, reply: DataReply, payload: Sequence[memoryview]) -> bool:
        if not isinstance(reply, messages.Blocks) or len(payload) != 1:
            raise BadMessage(f"the publisher answered {reply.type} to blocks?")
        if reply.n not in self._wanted:
            raise BadMessage("the publisher sent what was not asked for, or twice")
        data = payload[0]
        if zlib.crc32(data) != reply.digest:
            raise Damaged(f"blocks of {self._replica.info.path} were damaged on their way")
        if reply.ids:
            self._hold(reply, data)
        else:
            self._replica.check(reply.n, data)
            self._replica.add([reply.n], [len(data)], [reply.digest], data)
        self._traffic.came(chunks=not reply.ids, blocks=len(reply.ids), size=len(data))
        del self._wanted[reply.n]
        if reply.last:
            if self._wanted:
                raise Damaged(f"the publisher's answer about {self._replica.info.path} has gaps")
            self._ended(None)
        return reply.last

    def _hold(self, reply: messages.Blocks, data: memoryview) -> None:
        if reply.ids != self._wanted[reply.n] or len(reply.sizes) != len(reply.ids):
            raise BadMessage("the publisher sent other blocks than were asked for")
        if HEADER + sum(reply.sizes) != len(data):
            raise BadMessage("the publisher's blocks and their sizes differ")
        header = bytes(data[:HEADER])
        self._replica.check_header(reply.n, header)
        blocks.check_sizes(header, reply.ids, reply.sizes)
        ends = itertools.pairwise(itertools.accumulate(reply.sizes, initial=HEADER))
        found = {n: bytes(data[begin:end]) for n, (begin, end) in zip(reply.ids, ends, strict=True)}
        self._replica.hold_blocks(reply.n, header, found)

    def on_error(self, error: CatervaError) -> None:
        self._ended(error)


class _Flight:
    """A call under way, and how many readers wait for it."""

    def __init__(self, blocks: set[tuple[Replica, int, int]]) -> None:
        self.blocks = blocks
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting = 0
        self.cancel: Callable[[], None] = lambda: None


class BlockFetches:
    """The blocks that are fetched of the datasets of one root.

    Parameters
    ----------
    requester : callable
        Gives the connection to use now; raises `RootOffline` where there is none.
    traffic : Traffic
    """

    def __init__(self, requester: Callable[[], Requester[DataReply]], traffic: Traffic) -> None:
        self._requester = requester
        self._traffic = traffic
        self._flying: dict[tuple[Replica, int, int], _Flight] = {}
        self._refused = False

    def ask_again(self) -> None:
        """Another publisher may know what the last one did not."""
        self._refused = False

    async def fetch(
        self, replica: Replica, absent: Ids, wanted: Touched, coming: AbstractSet[int] = frozenset()
    ) -> Ids:
        """Have blocks there of those chunks of which it costs less than all of the chunk.

        Parameters
        ----------
        replica : Replica
        absent : ndarray of int64
            Numbers of chunks that are not there.
        wanted : dict
            Blocks that are wanted of these chunks, among others.
        coming : set of int
            Chunks that are on their way as a whole.

        Returns
        -------
        ndarray of int64
            The chunks that are to be fetched as a whole.
        """
        if self._refused:
            return absent
        sparing = self._sparing(replica, set(absent.tolist()) - coming, wanted)
        if not sparing:
            return absent
        try:
            await self._ensure(replica, sparing)
        except BadMessage as error:  # as publishers answer to a message that they don't know
            log.info("only whole chunks are fetched of %s: %s", replica.root, error)
            self._refused = True
            return absent
        return absent[~np.isin(absent, list(sparing))]

    def _sparing(self, replica: Replica, absent: set[int], wanted: Touched) -> Touched:
        """The missing blocks of those chunks of which it costs less."""
        found: Touched = {}
        for n in absent & wanted.keys():
            missing = replica.missing_blocks(n, wanted[n])
            if not missing or spares(replica.info, len(missing), *replica.held_blocks(n)):
                found[n] = tuple(missing)
        return found

    async def _ensure(self, replica: Replica, wanted: Touched) -> None:
        """Wait until blocks are there, fetching those that nobody fetches yet."""
        flights: set[_Flight] = set()
        new: dict[int, list[int]] = {}
        for n, ids in wanted.items():
            for block in ids:
                flight = self._flying.get((replica, n, block))
                if flight is None:
                    new.setdefault(n, []).append(block)
                else:
                    flights.add(flight)
        if new:
            flights.add(self._begin(replica, new))
        for flight in flights:
            flight.waiting += 1
        try:
            async with asyncio.timeout(limits.DEADLINE_MAX):
                for flight in flights:
                    await asyncio.shield(flight.future)
        except TimeoutError:
            raise DeadlineExceeded("some blocks did not come in time") from None
        finally:
            for flight in flights:
                self._leave(flight)

    def _begin(self, replica: Replica, new: dict[int, list[int]]) -> _Flight:
        requester, loop = self._requester(), asyncio.get_running_loop()
        keys = {(replica, n, block) for n, ids in new.items() for block in ids}
        flight = _Flight(keys)

        def ended(error: CatervaError | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._end, flight, error)

        call = BlocksCall(replica, new, self._traffic, ended)
        flight.cancel = lambda: requester.cancel(call)
        self._flying.update(dict.fromkeys(keys, flight))
        requester.submit(call)
        return flight

    def _end(self, flight: _Flight, error: CatervaError | None = None) -> None:
        for key in flight.blocks:
            if self._flying.get(key) is flight:
                del self._flying[key]
        if not flight.future.done():
            if error is None:
                flight.future.set_result(None)
            elif flight.waiting:
                flight.future.set_exception(error)

    def _leave(self, flight: _Flight) -> None:
        """One reader less; what nobody waits for any more is given up."""
        flight.waiting -= 1
        if not flight.waiting and not flight.future.done():
            flight.cancel()
            flight.future.cancel()
            self._end(flight)
