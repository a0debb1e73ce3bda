"""Records that are kept apart from the log, in a file or among its lines, by a thread."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import queue
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Protocol

from caterva2.errors import StartError
from caterva2.runtime.logs.lines import time_of

log = logging.getLogger(__name__)
OFF, LOG = "off", "-"
WAITING = 10_000
"""Records that wait for the disk; others are dropped, and counted."""
_END_S = 2.0
"""Seconds for those that wait at the end."""
Fields = Mapping[str, str | int | float | None]


class Records(Protocol):
    """The contract of what keeps records. No method but `close` waits for anything."""

    kept: bool

    def add(self, fields: Fields) -> None:
        """Keep a record."""

    def reopen(self) -> None:
        """Open the file anew before the next record: the one of before has another name now."""

    def close(self) -> None:
        """Write what waits, within a limit."""


class NoRecords:
    """Null object: keeps nothing."""

    kept = False

    def add(self, fields: Fields) -> None:
        """Do nothing."""

    def reopen(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class KeptRecords:
    """Records as lines of JSON in a file, or as events of the log.

    Parameters
    ----------
    name : str
        Of the logger, below ``caterva2``.
    where : str
        A path, or ``-`` for the log.

    Raises
    ------
    StartError
        If the file can't be opened.
    """

    kept = True

    def __init__(self, name: str, where: str) -> None:
        self._name = name
        self._path = None if where == LOG else Path(where)
        self._file: IO[str] | None = None
        self._open()
        self._queue: queue.Queue[Fields | None] = queue.Queue(WAITING)
        self._stale = threading.Event()
        self._lock = threading.Lock()
        self._dropped, self._failure = 0, ""
        self._thread = threading.Thread(target=self._run, name=f"{name} log", daemon=True)
        self._thread.start()

    def add(self, fields: Fields) -> None:
        try:
            self._queue.put_nowait({"time": time_of(time.time()), **fields})
        except queue.Full:
            with self._lock:
                self._dropped += 1

    def reopen(self) -> None:
        self._stale.set()

    def close(self) -> None:
        try:
            self._queue.put(None, timeout=_END_S)
        except queue.Full:
            return
        self._thread.join(_END_S)

    def _open(self) -> None:
        if self._path is None:
            return
        try:
            # To open a FIFO without a reader would wait for one.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
            descriptor = os.open(self._path, flags, 0o640)
            os.set_blocking(descriptor, True)
            opened = open(descriptor, "a", encoding="ascii")  # noqa: SIM115
        except OSError as error:
            why = "no program reads it" if error.errno == errno.ENXIO else error.strerror
            raise StartError(f"{self._path} can't be written: {why}") from None
        before, self._file = self._file, opened
        _close(before)

    def _run(self) -> None:
        while (fields := self._queue.get()) is not None:
            try:
                if self._stale.is_set():
                    self._stale.clear()
                    self._open()
                self._write(fields)
            except (OSError, StartError) as error:
                if str(error) != self._failure:  # once, not for each record
                    self._failure = str(error)
                    log.error("records of the %s log are lost: %s", self._name, error)
            self._say_dropped()
        self._say_dropped()
        _close(self._file)

    def _say_dropped(self) -> None:
        with self._lock:
            dropped, self._dropped = self._dropped, 0
        if dropped:
            log.warning("%d records of the %s log were dropped", dropped, self._name)

    def _write(self, fields: Fields) -> None:
        if self._file is None:
            text = " ".join(str(value) for key, value in fields.items() if key != "time")
            logging.getLogger(f"caterva2.{self._name}").info("%s", text, extra=dict(fields))
            return
        self._file.write(json.dumps(fields) + "\n")
        if self._queue.empty():
            self._file.flush()
            self._failure = ""


def _close(file: IO[str] | None) -> None:
    """Close a file, also one whose disk is full: it is closed then, and has lost what waited."""
    with contextlib.suppress(OSError):
        if file is not None:
            file.close()


def records(name: str, where: str) -> Records:
    """Return what keeps records at a place of the settings: ``off``, ``-`` or a path."""
    return NoRecords() if where in ("", OFF) else KeptRecords(name, where)
