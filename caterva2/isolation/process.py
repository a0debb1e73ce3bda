"""The parent's side of a process that reads files: its start, its calls, its log and its end."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import mmap
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from caterva2.errors import BadName, DeadlineExceeded, from_wire
from caterva2.isolation import execution
from caterva2.isolation.channel import Ended, Nonsense, Silent, Stream
from caterva2.isolation.patience import SILENCES, Patience, starvation
from caterva2.limits import IsolationLimits
from caterva2.model import EntryFields
from caterva2.runtime import durable
from caterva2.runtime.printable import printable

log = logging.getLogger(__name__)
LINE = 64 * 1024
"""Bytes of a line of the process's log; a longer one is more lines."""
PAGE = 4096
"""Bytes of the page in which the process notes what it opens: the longest path fits."""
ENDING = 2.0
"""Seconds until a process that was killed is gone; one that waits for a dead disk is not."""
Rows = tuple[EntryFields, ...]
"""Entries as the process sends them."""


class ProcessEnded(Exception):
    """The process died, hung or ran out of memory, so that a call has no answer.

    The text is the reason; ``at`` is what the process had noted to open last, ``hung`` whether
    it was ended by us.
    """

    def __init__(self, reason: str, at: str = "", *, hung: bool = False) -> None:
        super().__init__(reason)
        self.at = at
        self.hung = hung


class CantStart(Exception):
    """The process ended before it could answer anything."""


@dataclass(frozen=True, slots=True)
class Target:
    """The file that a process reads, or the directory with its files, and their source.

    ``make`` is the ``MODULE:FUNCTION`` that makes the source of a file. It is called with the path,
    a function to be called with each name that a scan opens next, the options, and for a file of a
    directory with its path there as ``below``.
    """

    make: str
    path: Path
    options: Mapping[str, object] = field(default_factory=dict)


class ReadingProcess:
    """One run of the process. Calls may come from several threads.

    Parameters
    ----------
    target : Target
    limits : IsolationLimits
    """

    def __init__(self, target: Target, limits: IsolationLimits) -> None:
        self._target = target
        self._limits = limits
        self._page, page = _shared_page()
        pairs = [Stream.pair() for _ in range(limits.calls + 1)]
        self._streams = [ours for ours, _ in pairs]
        self._free: queue.SimpleQueue[Stream] = queue.SimpleQueue()
        for ours in self._streams[1:]:
            ours.limit(limits.call / SILENCES)
            self._free.put(ours)
        self._streams[0].limit(limits.start)
        self._killed = ""
        self._error: OSError | None = None
        self._code: int | None = None
        self._started = threading.Event()
        self.heard = 0.0
        self._greeted = False
        self._greeting = threading.Lock()
        self._using = threading.Lock()
        self._users = 1  # its owner, until it lets go
        theirs = [fd for _, end in pairs for fd in (end.socket, end.area)]
        # The system ends the process with the thread that started it, so that one stays.
        self._keeper = threading.Thread(
            target=self._keep, args=([page, *theirs],), name="isolated", daemon=True
        )
        self._keeper.start()
        self._started.wait()
        os.close(page)
        for _, end in pairs:
            end.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    # --- its life ---

    def _keep(self, descriptors: list[int]) -> None:
        try:
            self._process = execution.start(self._given(descriptors))
        except OSError as error:
            self._error = error
            self._started.set()
            return
        self._started.set()
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            self._relay(lines)
        self._code = self._process.wait()

    def _given(self, descriptors: list[int]) -> dict[str, Any]:
        return {
            "make": self._target.make,
            "path": str(self._target.path.absolute()),
            "options": dict(self._target.options),
            "files": self._limits.open_files,
            "memory": self._limits.isolated_memory,
            "level": logging.getLogger().getEffectiveLevel(),
            "descriptors": descriptors,
            "parent": os.getpid(),
        }

    def _relay(self, lines: IO[bytes]) -> None:
        """Log what the process logs, and what libraries in it print when they give up."""
        while line := lines.readline(LINE):
            try:
                level, name, text = json.loads(line)
                logging.getLogger(name).log(level, "%s", text)
            except (ValueError, TypeError):
                text = printable(line.decode(errors="replace").rstrip())
                log.info("%s: %s", self._target.path, text)

    def kill(self, reason: str = "") -> None:
        """End the process, whatever it does; calls under way fail with a reason."""
        self._killed = self._killed or reason
        if self._error is None:
            self._process.kill()

    def close(self) -> None:
        """End the process, and release what is held for it when no call is under way."""
        self.kill("was closed")
        self._leave()

    def join(self) -> None:
        """Wait until the process is gone."""
        self._keeper.join(ENDING)

    @contextlib.contextmanager
    def _use(self) -> Iterator[None]:
        with self._using:
            if not self._users:
                raise ProcessEnded(self._end())
            self._users += 1
        try:
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        with self._using:
            self._users -= 1
            if self._users:
                return
        for stream in self._streams:
            stream.close()
        self._page.close()

    # --- calls ---

    def call(self, head: Any, deadline: float) -> tuple[Any, bytes]:
        """Have the process do something.

        Parameters
        ----------
        head : object
            The request.
        deadline : float
            Monotonic time until which it may wait for its turn.

        Returns
        -------
        tuple
            What it answers, and the bytes with it.

        Raises
        ------
        ProcessEnded
            If there is no answer.
        CantStart
            If there never will be one.
        DeadlineExceeded
            If it would have to wait too long.
        CatervaError
            What the source raised.
        """
        with self._use():
            self._greet()
            stream = self._turn(deadline)
            try:
                return self._exchange(stream, head, self._patience(self._limits.call))
            finally:
                self._free.put(stream)

    def _turn(self, deadline: float) -> Stream:
        wait = min(max(deadline - time.monotonic(), 0.0), threading.TIMEOUT_MAX)
        try:
            return self._free.get(timeout=wait)
        except queue.Empty:
            raise DeadlineExceeded("other reads take too long") from None

    def scan(self, head: Any, limit: float, take: Callable[[Rows], None]) -> None:
        """Have the process list everything: one scan at a time, which may last while it goes on.

        Parameters
        ----------
        head : object
            The request.
        limit : float
            Seconds without any progress.
        take : callable
            Gets what was found, while the process goes on. It raises `BadName` if this makes no
            sense. If the scan raises in the end, all that it was given is void.
        """
        with self._use():
            self._greet()
            self._streams[0].limit(limit / SILENCES)
            until = time.monotonic() + self._limits.scan
            self._exchange(self._streams[0], head, self._patience(limit), until, take)

    def _patience(self, limit: float) -> Patience:
        return Patience(lambda: self.heard, limit, lambda: starvation(self.pid))

    def _greet(self) -> None:
        """Wait until the process has loaded what it needs."""
        if not self._greeted:
            with self._greeting:
                self._await_greeting()

    def _await_greeting(self) -> None:
        if self._greeted:
            return
        if self._error is not None:
            raise CantStart(f"can't be started: {self._error.strerror}")
        try:
            self._streams[0].receive()
        except Silent:
            self.kill("did not start in time")
            raise CantStart(self._end()) from None
        except Ended:
            raise CantStart(self._end()) from None
        self._greeted = True

    def _exchange(
        self,
        stream: Stream,
        head: Any,
        patience: Patience,
        until: float = math.inf,
        take: Callable[[Rows], None] = lambda _: None,
    ) -> tuple[Any, bytes]:
        try:
            stream.send(head)
            (kind, *reply), payload = self._reply(stream, patience, until, take)
        except Silent:
            at = self._at()
            self.kill("was ended, since it did not answer")
            raise ProcessEnded("did not answer in time", at, hung=True) from None
        except Ended:
            raise ProcessEnded(self._end(), self._at()) from None
        if kind == "memory":
            reason = f"needed more memory than ISOLATED_MEMORY, {self._limits.isolated_memory}"
            raise ProcessEnded(reason, self._at())
        if kind == "error":
            name, detail, info, after_ms = reply
            raise from_wire(name, detail, info, after_ms)
        return reply[0], payload

    def _reply(
        self, stream: Stream, patience: Patience, until: float, take: Callable[[Rows], None]
    ) -> tuple[tuple[Any, ...], bytes]:
        """Wait for the reply to a request, behind what the process says while it goes on."""
        try:
            while True:
                (kind, *reply), payload = stream.receive(patience)
                self.heard = time.monotonic()
                if kind == "entries":
                    take(*reply)
                elif kind != "alive":
                    return (kind, *reply), payload
                patience.begin()
                if time.monotonic() > until:
                    raise Silent
        except (Nonsense, BadName, TypeError, ValueError) as error:
            # What else it sends would be taken for the next reply.
            self.kill("was ended, since it sent nonsense")
            raise ProcessEnded(f"sent nonsense: {error}", self._at()) from None

    def _end(self) -> str:
        """Return the reason why the process has ended."""
        if not self._killed:
            self._keeper.join(ENDING)
        if self._killed:
            return self._killed
        code = self._code
        if code is None:
            return "closed its streams"
        return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"

    def _at(self) -> str:
        size = int.from_bytes(self._page[:2], "little")
        return bytes(self._page[2 : 2 + size]).decode(errors="replace")


def _shared_page() -> tuple[mmap.mmap, int]:
    fd = durable.unnamed("caterva2-isolated")
    os.set_inheritable(fd, True)
    os.truncate(fd, PAGE)
    return mmap.mmap(fd, PAGE), fd
