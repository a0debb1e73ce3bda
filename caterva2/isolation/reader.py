"""The process that reads files, replaced when it dies; and what in these files made it die."""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from caterva2.errors import Busy, CatervaError, SourceCorrupt, StaleVersion, StartError
from caterva2.isolation.damage import WHOLE, Damage, Stamp
from caterva2.isolation.process import CantStart, ProcessEnded, ReadingProcess, Rows, Target
from caterva2.isolation.shared_lock import SharedLock
from caterva2.limits import IsolationLimits
from caterva2.model import Entry
from caterva2.names import DatasetPath
from caterva2.runtime.memory import promote_all
from caterva2.sources.versions import FilePlace

log = logging.getLogger(__name__)
T = TypeVar("T")
AGAIN_MS = 1000
LISTINGS = 5
"""Attempts to list a file that is written meanwhile."""
BAD_NAMES = 32
"""Attempts to list a file, each without one more dataset that ended the process; then it is the
file that is damaged."""
HUNG_NAMES = 3
"""Those that hung, the first one for as long as a call may last: a start waits for them."""
FORGETTING = 1.0
"""Seconds until a file that is gone is not waited for any more."""
PROMOTED = 100
"""Entries at once from which on the collector is to leave those alone that are there."""
HASTE = 4
"""How much shorter the others may take."""


class Reader:
    """Has a process read one file, or the files below a directory; may be used by many threads.

    A call whose process died is repeated once, alone, in a new one. If that dies too, the dataset
    is damaged: it is not read again until its file changes or some minutes have passed, and the
    others are served.

    Parameters
    ----------
    target : Target
        What the process reads. Its source is given by name, since this process does not load it.
    limits : IsolationLimits
    """

    def __init__(self, target: Target, limits: IsolationLimits) -> None:
        self.target = target
        self._limits = limits
        self._damage: dict[str, Damage] = {}
        self._calls = SharedLock()
        self._lock = threading.Lock()
        self._scanning = threading.Lock()
        self._read_any = False
        self._closed = False
        self._process: ReadingProcess | None = None

    def running(self) -> ReadingProcess:
        """Return the process that reads now; start it if there is none."""
        with self._lock:
            if self._closed:
                raise Busy("the source is closed", after_ms=AGAIN_MS)
            if self._process is None:
                self._process = ReadingProcess(self.target, self._limits)
            return self._process

    def rest(self) -> None:
        """End the process; the next call starts another."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.close()
            process.join()

    def close(self) -> None:
        """End the process; no call starts another."""
        with self._lock:
            self._closed = True
        self.rest()

    def forget(self, below: str) -> None:
        """Close a file that is gone, and forget what was damaged in it."""
        self._damage.pop(below, None)
        with self._lock:
            process = self._process
        if process is not None:
            # Where it is too busy, the file is closed when others are opened.
            with contextlib.suppress(ProcessEnded, CantStart, CatervaError):
                process.call(["forget", below], time.monotonic() + FORGETTING)

    # --- listing ---

    def entries(self, place: FilePlace, stamp: Stamp) -> dict[DatasetPath, Entry]:
        """List a version of a file; once more if it was written meanwhile.

        Raises
        ------
        NotFound, SourceCorrupt, Busy
            If it is gone, can't be read, or is being written all the time.
        StartError
            If the process can't start.
        """
        with self._scanning:
            for _ in range(LISTINGS):
                with contextlib.suppress(StaleVersion):
                    return self._entries(place, stamp)
        raise Busy("the file is being written", after_ms=AGAIN_MS)

    def _entries(self, place: FilePlace, stamp: Stamp) -> dict[DatasetPath, Entry]:
        """List a file, without what ends or hangs the process."""
        # Before a first call there is nothing that is read, so the listing itself is to blame.
        held, hung = self._calls.together if self._read_any else self._calls.alone, 0
        for _ in range(BAD_NAMES):
            now, damage = time.monotonic(), self._damage.get(place.below)
            if reason := damage.of(stamp, WHOLE, now) if damage else "":
                raise SourceCorrupt(f"the process that read it {reason}")
            if hung > HUNG_NAMES:
                break
            avoided = damage.subjects(stamp, now) if damage else {}
            try:
                with held():
                    limit = self._limits.call / (HASTE if hung else 1)
                    return self._attempt(functools.partial(_scan, place.below, avoided, limit))
            except ProcessEnded as ended:
                hung += ended.hung
                if held == self._calls.alone:  # else another call may be to blame
                    self._blame(place, stamp, ended.at, str(ended))
            held = self._calls.alone
        self._blame(place, stamp, WHOLE, "ended or hung too often")
        raise SourceCorrupt("the process that read it ended or hung too often")

    def avoids(self, place: FilePlace, stamp: Stamp) -> bool:
        """Whether lists of a version of a file lack what ended or hung the process."""
        damage = self._damage.get(place.below)
        return damage is not None and bool(damage.subjects(stamp, -math.inf))

    # --- reading ---

    def call(
        self, place: FilePlace, path: DatasetPath, head: list[Any], deadline: float
    ) -> tuple[Any, bytes]:
        """Have something done with a dataset; once more, alone, if the process ends meanwhile.

        Parameters
        ----------
        place : FilePlace
        path : DatasetPath
            Of the dataset in the file.
        head : list
            The request: its name, and what is given after the file.
        deadline : float
            Until which it may wait for its turn.
        """
        stamp, reason = place.stamp(), ""
        self._read_any = True
        request = [head[0], place.below, *head[1:]]
        for alone in (False, True):
            with self._calls.alone(deadline) if alone else self._calls.together(deadline):
                damage = self._damage.get(place.below)
                if known := damage.of(stamp, path, time.monotonic()) if damage else "":
                    raise _damaged(place, path, known)
                try:
                    return self._attempt(lambda process: process.call(request, deadline))
                except StartError as error:
                    raise Busy(error.detail, subject=path, after_ms=AGAIN_MS) from None
                except ProcessEnded as ended:
                    reason = str(ended)
                    log.warning("%s: the process that reads it %s", place.path, reason)
                    if alone:
                        self._blame(place, stamp, path, reason)
        raise _damaged(place, path, reason)

    # --- the process ---

    def _attempt(self, work: Callable[[ReadingProcess], T]) -> T:
        process = self.running()
        try:
            return work(process)
        except ProcessEnded:
            self._drop(process)
            raise
        except CantStart as error:
            self._drop(process)
            raise StartError(f"{self.target.path}: the process that reads it {error}") from None

    def _drop(self, process: ReadingProcess) -> None:
        """Let a process go that can't be used any more; the next call starts another."""
        with self._lock:
            if self._process is not process:
                return
            self._process = None
        process.close()

    def _blame(self, place: FilePlace, stamp: Stamp, subject: str, reason: str) -> None:
        what = subject or "the file"
        log.error("%s: %s is damaged: the process that read it %s", place.path, what, reason)
        damage = self._damage.setdefault(place.below, Damage(self._limits.retry))
        damage.add(stamp, subject, reason, time.monotonic())


def _damaged(place: FilePlace, path: DatasetPath, reason: str) -> SourceCorrupt:
    name = place.path.name
    return SourceCorrupt(f"{path} can't be read from {name}: the process that read it {reason}")


def _scan(
    below: str, avoided: dict[str, str], limit: float, process: ReadingProcess
) -> dict[DatasetPath, Entry]:
    found: dict[DatasetPath, Entry] = {}

    def take(rows: Rows) -> None:
        found.update((entry.path, entry) for entry in map(Entry.of, rows))
        if len(rows) > PROMOTED:
            promote_all()

    process.scan(["scan", below, avoided], limit, take)
    return found
