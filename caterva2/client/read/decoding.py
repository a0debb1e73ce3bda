"""Decoding: parts of a stream are decoded in threads while the next ones arrive."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from caterva2.client.read.buffer import Scratch
from caterva2.frames import packing
from caterva2.limits.constants import MIB
from caterva2.model import DatasetInfo

FEW = 3
"""Parts below which a thread takes longer to start than it gains."""
_THREADS = min(3, (os.cpu_count() or 1) - 1)
"""Threads beside the one that receives, which is about as quick as one or two that decode."""
_LARGE = 64 * MIB
"""Bytes of a part above which the memory for several counts, and Blosc2 has threads of its own."""


class AtOnce:
    """Decodes each part before the next one is received."""

    def __init__(self) -> None:
        self._scratch = Scratch()

    def scratch(self) -> Scratch:
        """Return memory for the next part."""
        return self._scratch

    def decode(self, work: Callable[[], None]) -> None:
        """Decode the part that is in the memory that was returned last."""
        work()

    def finish(self) -> None:
        """Wait until all parts are decoded."""


class Beside(AtOnce):
    """Decodes parts in threads; memory for one more than there are threads.

    Parameters
    ----------
    pool : ThreadPoolExecutor
    threads : int
    """

    def __init__(self, pool: ThreadPoolExecutor, threads: int) -> None:
        self._pool = pool
        self._free = [Scratch() for _ in range(threads + 1)]
        self._running: deque[tuple[Future[None], Scratch]] = deque()

    def scratch(self) -> Scratch:
        """Return memory for the next part, once some is free; raise the error of an earlier one."""
        if not self._free:
            self._wait()
        self._scratch = self._free.pop()
        return self._scratch

    def decode(self, work: Callable[[], None]) -> None:
        """Have the part decoded that is in the memory that was returned last."""
        try:
            self._running.append((self._pool.submit(work), self._scratch))
        except RuntimeError:  # no more threads, or the interpreter ends
            work()
            self._free.append(Scratch())  # a thread that there is may do this work, too

    def finish(self) -> None:
        """Wait until all parts are decoded; raise the error of the first one that failed."""
        while self._running:
            self._wait()

    def _wait(self) -> None:
        done, scratch = self._running.popleft()
        done.result()
        self._free.append(scratch)


@contextmanager
def decoding(info: DatasetInfo, parts: int, most: int) -> Iterator[AtOnce]:
    """Decode the parts of a stream: in threads if Blosc2 lets go of the interpreter for them.

    When the context is left, no thread writes values any more.

    Parameters
    ----------
    info : DatasetInfo
    parts : int
    most : int
        Chunks of a part.
    """
    small = info.kind != "array" or info.chunksize <= packing.SMALL
    if _THREADS < 1 or parts < FEW or small or most * info.chunksize > _LARGE:
        yield AtOnce()
        return
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="caterva2-decode") as pool:
        yield Beside(pool, _THREADS)
