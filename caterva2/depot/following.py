"""Following: a thread that takes the subscriber's events, and knows which versions are outdated."""

from __future__ import annotations

import http.client
import json
import os
import threading
from typing import Any

from caterva2.client.http.transport import HttpResponse
from caterva2.client.transport import Response, Transport
from caterva2.errors import CatervaError
from caterva2.rest import paths
from caterva2.rest.paths import relative
from caterva2.runtime.lru import Lru

_PAUSE, _LONGEST = 0.5, 30.0  # seconds between two connections
_LINE = 2**20  # bytes of a line of the stream
_KNOWN = 10_000
_ENDING = 5.0  # seconds; a thread that connects just then ends by itself later
_CLOSED = (CatervaError, OSError, ValueError, AttributeError, http.client.HTTPException)
_NO_EVENT = (KeyError, TypeError, RecursionError)


class Following:
    """The changes of a subscriber, as its events tell them.

    After an interruption all that was confirmed before may be outdated. All methods may be called
    from any thread, and after a fork, which begins anew.

    Parameters
    ----------
    transport : Transport
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._guard = threading.Lock()
        # Changes are numbered: a description counts for all before its request.
        self._count = 0
        self._interrupted = 0
        self._changed: Lru[str, tuple[str, int]] = Lru(_KNOWN)
        self._confirmed: Lru[str, int] = Lru(_KNOWN)
        self._ended = threading.Event()
        self._response: Response | None = None
        self._thread = threading.Thread(target=self._run, name="caterva2-events", daemon=True)
        self._thread.start()

    def mark(self) -> int:
        """Return the number of changes so far, before a description is requested."""
        self._begin_if_forked()
        return self._count

    def is_outdated(self, path: str, version: str) -> bool:
        """Return whether a dataset may have another version than this one."""
        self._begin_if_forked()
        with self._guard:
            changed, confirmed = self._changed.get(path), self._confirmed.get(path, 0)
            if changed is not None and changed[0] != version:
                return True
            return confirmed < self._interrupted

    def confirm(self, path: str, mark: int) -> None:
        """Note that a description was received, which was requested at some `mark`."""
        with self._guard:
            changed = self._changed.peek(path)
            if changed is not None and changed[1] <= mark:
                self._changed.pop(path)
            self._confirmed.put(path, mark)

    def end(self) -> None:
        """End the thread."""
        if self._process != os.getpid():
            return  # thread and connection are those of the parent
        self._ended.set()
        response = self._response
        if isinstance(response, HttpResponse):
            response.interrupt()
        self._thread.join(_ENDING)

    def _begin_if_forked(self) -> None:
        if self._process != os.getpid() and not self._ended.is_set():
            self._begin()

    def _run(self) -> None:
        pause = _PAUSE
        while not self._ended.is_set():
            try:
                with self._transport.stream("GET", relative(paths.EVENTS)) as self._response:
                    self._interrupt()  # what happened before is unknown
                    pause = _PAUSE
                    self._take(self._response)
            except (*_CLOSED, *_NO_EVENT):
                pass  # closed, here or there, or no events at all: another connection follows
            self._ended.wait(pause)
            pause = min(2 * pause, _LONGEST)

    def _take(self, response: Response) -> None:
        if not isinstance(response, HttpResponse):
            return
        name = ""
        while not self._ended.is_set():
            line = response.raw.readline(_LINE)
            if not line:
                return
            kind, _, text = line.decode("utf-8", "replace").strip().partition(":")
            if kind == "event":
                name = text.strip()
            elif kind == "data":
                self._note(name, json.loads(text))

    def _note(self, name: str, event: Any) -> None:
        if name == "change":
            path, etag = f"{event['root']}/{event['path']}", str(event["etag"])
            if len(self._changed) >= _KNOWN:
                self._interrupt()  # too many to be remembered one by one
            with self._guard:
                self._count += 1
                self._changed.put(path, (etag, self._count))
        elif name == "lost":
            self._interrupt()

    def _interrupt(self) -> None:
        with self._guard:
            self._count += 1
            self._interrupted = self._count
            self._changed.clear()
