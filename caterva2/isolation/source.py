"""A source that runs in a process of its own, so that no file can end or block this one."""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from caterva2.errors import (
    Busy,
    CatervaError,
    NotFound,
    SourceCorrupt,
    StaleVersion,
    StartError,
)
from caterva2.frames.raw import Cut, Run
from caterva2.isolation.damage import WHOLE, Damage
from caterva2.isolation.process import CantStart, ProcessEnded, ReadingProcess, Rows, Target
from caterva2.isolation.shared_lock import SharedLock
from caterva2.limits import DEFAULTS, IsolationLimits
from caterva2.model import DatasetInfo, Entry
from caterva2.names import DatasetPath
from caterva2.runtime.memory import promote_all
from caterva2.sources.base import ALL, NEVER, Source
from caterva2.sources.watched_file import WatchedFile

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
HASTE = 4
"""How much shorter the others may take."""


class IsolatedSource(Source):
    """Serves a file through a process that may die, hang or run out of memory.

    A call whose process died is repeated once, alone, in a new one. If that dies too, the dataset
    is damaged: it is not read again until the file changes or some minutes have passed, and the
    others are served. While a file can't be listed, the list of its last good version stands.

    Parameters
    ----------
    target : Target
        What the process reads. Its source is given by name, since this process does not load it.
    limits : IsolationLimits, optional
    room : int, optional
        Bytes of chunks that are read together.
    """

    def __init__(
        self,
        target: Target,
        limits: IsolationLimits = DEFAULTS.isolation,
        room: int = DEFAULTS.publisher.reply_bytes,
    ) -> None:
        self._target = target
        self._limits = limits
        self._room = room
        self._watched = WatchedFile(target.path)
        self._damage = Damage(limits.retry)
        self._calls = SharedLock()
        self._lock = threading.Lock()
        self._scanning = threading.Lock()
        self._listed: dict[DatasetPath, Entry] | None = None
        self._last_failure = ""
        self._closed = False
        self._process: ReadingProcess | None = ReadingProcess(target, limits)

    @property
    def pid(self) -> int:
        """The process that reads now."""
        return self._running().pid

    def close(self) -> None:
        with self._lock:
            self._closed = True
            process, self._process = self._process, None
        if process is not None:
            process.close()
            process.join()

    # --- listing ---

    def scan(self, scope: str = ALL) -> dict[DatasetPath, Entry]:
        with self._scanning:
            stamp = self._watched.stamp()
            if scope == ALL or not self._is_listed(stamp):
                self._list(stamp)
            below = scope + "/"
            return {
                path: entry
                for path, entry in (self._listed or {}).items()
                if not scope or path == scope or path.startswith(below)
            }

    def _is_listed(self, stamp: tuple[int, ...]) -> bool:
        return self._listed is not None and self._watched.is_scanned(stamp)

    def _list(self, stamp: tuple[int, ...]) -> None:
        """Bring the list in step with the file; on failure keep it, and try again later."""
        try:
            self._listed = self._found(stamp)
        except NotFound:
            self._listed = {}
        except StartError:
            if self._listed is None:
                raise
            self._watched.scanned(stamp, failed=True)
            return
        except CatervaError as error:
            # It is likely to be written just now: what was there is not gone for good.
            if self._last_failure != error.detail:
                log.warning("%s can't be listed: %s", self._target.path, error)
            self._last_failure = error.detail
            self._listed = self._listed or {}
            self._watched.scanned(stamp, failed=True)
            return
        self._last_failure = ""
        self._watched.scanned(stamp)

    def _found(self, stamp: tuple[int, ...]) -> dict[DatasetPath, Entry]:
        """List the file; once more if it was written meanwhile."""
        for _ in range(LISTINGS):
            with contextlib.suppress(StaleVersion):
                return self._listing(stamp)
        raise Busy("the file is being written", after_ms=AGAIN_MS)

    def _listing(self, stamp: tuple[int, ...]) -> dict[DatasetPath, Entry]:
        """List the file, without what ends or hangs the process."""
        # Before a first list there is nothing to be read, so the listing itself is to blame.
        held, hung = self._calls.alone if self._listed is None else self._calls.together, 0
        for _ in range(BAD_NAMES):
            now = time.monotonic()
            if reason := self._damage.of(stamp, WHOLE, now):
                raise SourceCorrupt(f"the process that read it {reason}")
            if hung > HUNG_NAMES:
                break
            avoided = self._damage.subjects(stamp, now)
            try:
                with held():
                    limit = self._limits.call / (HASTE if hung else 1)
                    return self._attempt(functools.partial(_scan, avoided, limit))
            except ProcessEnded as ended:
                hung += ended.hung
                if held == self._calls.alone:  # else another call may be to blame
                    self._blame(stamp, ended.at, str(ended))
            held = self._calls.alone
        self._blame(stamp, WHOLE, "ended or hung too often")
        raise SourceCorrupt("the process that read it ended or hung too often")

    # --- reading ---

    def info(self, path: DatasetPath, deadline: float = NEVER) -> DatasetInfo:
        fields, _ = self._call(path, ["info", path], deadline)
        try:
            return DatasetInfo.model_validate(fields)
        except ValidationError:
            raise SourceCorrupt("its description makes no sense", subject=path) from None

    def chunks(
        self, path: DatasetPath, etag: str, ids: Sequence[int], deadline: float = NEVER
    ) -> Iterator[Run]:
        from caterva2.isolation import extents
        from caterva2.sources.located import Located

        left = list(ids)
        if packed := self._call(path, ["located", path, etag, left], deadline)[0]:
            located = Located.unpack(packed)
            for run in extents.runs(self._target.path, located, tuple(left), self._room):
                del left[: len(run.ids)]
                yield run
                del run
        while left:
            (found, sizes), payload = self._call(path, ["chunks", path, etag, left], deadline)
            del left[: len(found)]
            yield Run(list(found), list(sizes), payload)
            del payload

    def blocks(
        self, path: DatasetPath, etag: str, n: int, ids: Sequence[int], deadline: float = NEVER
    ) -> Cut:
        (found, sizes), payload = self._call(path, ["blocks", path, etag, n, list(ids)], deadline)
        return Cut(tuple(found), tuple(sizes), payload)

    def read_bytes(
        self, path: DatasetPath, etag: str, start: int, stop: int, deadline: float = NEVER
    ) -> Iterator[bytes]:
        at = start
        while True:
            _, piece = self._call(path, ["bytes", path, etag, at, stop], deadline)
            if piece:
                yield piece
            at += len(piece)
            if at >= stop or not piece:
                return
            del piece

    def warm_up(self) -> None:
        from caterva2.isolation import extents  # noqa: F401 - loads numpy

    # --- the process ---

    def _call(self, path: DatasetPath, head: Any, deadline: float) -> tuple[Any, bytes]:
        """Do a call; once more, alone, if the process ends meanwhile."""
        stamp = self._watched.stamp()
        reason = ""
        for alone in (False, True):
            with self._calls.alone() if alone else self._calls.together():
                if known := self._damage.of(stamp, path, time.monotonic()):
                    raise self._damaged(path, known)
                try:
                    return self._attempt(lambda process: process.call(head, deadline))
                except StartError as error:
                    raise Busy(error.detail, subject=path, after_ms=AGAIN_MS) from None
                except ProcessEnded as ended:
                    reason = str(ended)
                    log.warning("%s: the process that reads it %s", self._target.path, reason)
                    if alone:
                        self._blame(stamp, path, reason)
        raise self._damaged(path, reason)

    def _attempt(self, work: Callable[[ReadingProcess], T]) -> T:
        process = self._running()
        try:
            return work(process)
        except ProcessEnded:
            self._drop(process)
            raise
        except CantStart as error:
            self._drop(process)
            raise StartError(f"{self._target.path}: the process that reads it {error}") from None

    def _running(self) -> ReadingProcess:
        with self._lock:
            if self._closed:
                raise Busy("the source is closed", after_ms=AGAIN_MS)
            if self._process is None:
                self._process = ReadingProcess(self._target, self._limits)
            return self._process

    def _drop(self, process: ReadingProcess) -> None:
        """Let a process go that can't be used any more; the next call starts another."""
        with self._lock:
            if self._process is not process:
                return
            self._process = None
        process.close()

    def _blame(self, stamp: tuple[int, ...], subject: str, reason: str) -> None:
        what = subject or "the file"
        log.error("%s: %s is damaged: the process that read it %s", self._target.path, what, reason)
        self._damage.add(stamp, subject, reason, time.monotonic())

    def _damaged(self, path: DatasetPath, reason: str) -> SourceCorrupt:
        name = self._target.path.name
        return SourceCorrupt(f"{path} can't be read from {name}: the process that read it {reason}")

    # --- watching ---

    def changes(self, stop: threading.Event) -> Iterator[set[str]]:
        return self._watched.changes(stop)


def _scan(
    avoided: dict[str, str], limit: float, process: ReadingProcess
) -> dict[DatasetPath, Entry]:
    found: dict[DatasetPath, Entry] = {}

    def take(rows: Rows) -> None:
        found.update((entry.path, entry) for entry in map(Entry.of, rows))
        promote_all()

    process.scan(["scan", avoided], limit, take)
    return found
