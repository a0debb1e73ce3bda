"""Following: a thread that takes the subscriber's events, and knows which versions are outdated."""

from __future__ import annotations

import json
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


class Following:
    """The changes of a subscriber, as its events tell them.

    After an interruption all that was confirmed before may be outdated.

    Parameters
    ----------
    transport : Transport
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._changed: Lru[str, str] = Lru(_KNOWN)
        self._confirmed: Lru[str, int] = Lru(_KNOWN)
        self._epoch = 0
        self._ended = threading.Event()
        self._response: Response | None = None
        self._thread = threading.Thread(target=self._run, name="caterva2-events", daemon=True)
        self._thread.start()

    def is_outdated(self, path: str, version: str) -> bool:
        """Return whether a dataset may have another version than this one."""
        if self._changed.get(path, version) != version:
            return True
        return self._confirmed.get(path, 0) != self._epoch

    def confirm(self, path: str) -> None:
        """Note that a description was just received."""
        self._changed.pop(path)
        self._confirmed.put(path, self._epoch)

    def end(self) -> None:
        """End the thread."""
        self._ended.set()
        response = self._response
        if isinstance(response, HttpResponse):
            response.interrupt()
        self._thread.join(_ENDING)

    def _run(self) -> None:
        pause = _PAUSE
        while not self._ended.is_set():
            try:
                with self._transport.stream("GET", relative(paths.EVENTS)) as self._response:
                    self._epoch += 1  # what happened before is unknown
                    pause = _PAUSE
                    self._take(self._response)
            except (CatervaError, OSError, ValueError, AttributeError):
                pass  # closed, here or there: another connection follows
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
            self._changed.put(f"{event['root']}/{event['path']}", str(event["etag"]))
        elif name == "lost":
            self._epoch += 1
