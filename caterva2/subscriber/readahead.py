"""Read-ahead: fetch the next chunks of readers that go through a dataset in order.

As the kernel does for files: `Streams` detects sequential readers and decides how far ahead to
fetch; `ReadAhead` does so in the background, with a bounded number of fetches at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from caterva2.cache.readable import Ids
from caterva2.cache.replica import Replica
from caterva2.errors import CatervaError
from caterva2.limits import DEFAULTS, SubscriberLimits
from caterva2.limits.constants import REQUEST_CHUNKS
from caterva2.runtime.tasks import cancel_all
from caterva2.subscriber.fetch.costs import expected_size

log = logging.getLogger(__name__)
READERS = 4
"""Readers of one dataset, each at its own place, that are told apart."""
_NEXT, _OVERLAP = 2, 1
_ENOUGH = 2
"""Score of a reader that went on to the next chunk, or twice to one that it overlaps."""


class _Stream:
    """The position of one reader in a dataset."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.score = 0
        self.window = 0
        self.ahead = last + 1


class Streams:
    """The readers of one dataset; pure.

    Parameters
    ----------
    nchunks : int
    size : int
        Estimated stored bytes of a chunk.
    limits : SubscriberLimits
    """

    def __init__(
        self, nchunks: int, size: int, limits: SubscriberLimits = DEFAULTS.subscriber
    ) -> None:
        self._limits = limits
        self._nchunks = nchunks
        self._size = max(size, 1)
        self._streams: list[_Stream] = []

    def observe(self, first: int, last: int) -> range:
        """Note a read of the chunks ``first`` to ``last``; return the chunks to fetch ahead."""
        stream = next((s for s in self._streams if s.last in (first - 1, first)), None)
        if stream is None:
            self._streams = [*self._streams[1 - READERS :], _Stream(last)]
            return range(0)
        if last <= stream.last:  # still within the same chunk
            return range(0)
        self._streams.remove(stream)
        self._streams.append(stream)
        stream.score += _NEXT if first > stream.last else _OVERLAP
        stream.last = last
        if stream.score < _ENOUGH:
            return range(0)
        return self._next(stream, (last - first + 1) * self._size)

    def _next(self, stream: _Stream, request: int) -> range:
        """Go on once half of what was fetched ahead is used up, with twice as much."""
        begin = max(stream.ahead, stream.last + 1)
        if (begin - stream.last - 1) * self._size * 2 > stream.window:
            return range(0)
        least = max(2 * request, self._limits.readahead_least)
        stream.window = min(max(2 * stream.window, least), self._limits.readahead_bytes)
        count = min(stream.window // self._size, REQUEST_CHUNKS)
        stream.ahead = max(begin, min(stream.last + 1 + count, self._nchunks))
        return range(begin, stream.ahead)


Fetch = Callable[[Replica, Ids], Coroutine[Any, Any, None]]


class ReadAhead:
    """The fetches ahead of all readers of a subscriber.

    Parameters
    ----------
    has_room : callable
        Whether the cache takes a number of bytes without evicting anything.
    limits : SubscriberLimits
    """

    def __init__(
        self, has_room: Callable[[int], bool], limits: SubscriberLimits = DEFAULTS.subscriber
    ) -> None:
        self._limits = limits
        self._has_room = has_room
        self._streams: WeakKeyDictionary[Replica, Streams] = WeakKeyDictionary()
        self._tasks: set[asyncio.Task[None]] = set()

    def observe(self, replica: Replica, ids: Ids, fetch: Fetch) -> None:
        """Note a read of some chunks, and fetch ahead of it if that is due."""
        if not len(ids) or ids[-1] - ids[0] + 1 != len(ids):
            return
        info = replica.info
        streams = self._streams.get(replica)
        if streams is None:
            streams = self._streams[replica] = Streams(
                info.nchunks, expected_size(info), self._limits
            )
        ahead = np.array(streams.observe(int(ids[0]), int(ids[-1])), np.int64)
        missing = replica.missing(ahead)
        size = len(missing) * expected_size(info)
        busy = len(self._tasks) >= self._limits.readaheads
        if not len(missing) or busy or replica.write_error or not self._has_room(size):
            return
        task = asyncio.create_task(self._fetch(replica, missing, fetch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fetch(self, replica: Replica, ids: Ids, fetch: Fetch) -> None:
        try:
            await fetch(replica, ids)
        except CatervaError as error:  # raised again for a reader of them
            log.debug("%s/%s: nothing fetched ahead: %s", replica.root, replica.info.path, error)
        except Exception:
            log.exception("%s/%s: fetching ahead failed", replica.root, replica.info.path)

    async def stop(self) -> None:
        await cancel_all(list(self._tasks))
