"""Resumed: a file that is sent by several requests, each of which goes on where one ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from caterva2.client.errors import HttpError, Missing, Unreachable
from caterva2.client.http.content import Content
from caterva2.client.transport import Headers, Transport, checked
from caterva2.client.types import Progress, RemotePath
from caterva2.errors import StaleVersion
from caterva2.rest import media, paths

_FIRST_PAUSE = 0.1
_OFFSET = StaleVersion.name
_NOT_THERE = (404, 405)


@dataclass(frozen=True)
class _Rest:
    """The rest of a content; iterating over it again sends it again."""

    content: Content
    at: int
    progress: Progress | None

    def __iter__(self) -> Iterator[bytes]:
        done = self.at
        for piece in self.content.pieces(done):
            yield piece
            done += len(piece)
            if self.progress is not None:
                self.progress(done, self.content.size)


class Resumed:
    """An upload that goes on after a lost connection, and in another process.

    Parameters
    ----------
    transport : Transport
    content : Content
        Of a known size.
    progress : callable, optional
    """

    def __init__(
        self, transport: Transport, content: Content, progress: Progress | None = None
    ) -> None:
        self._transport = transport
        self._content = content
        self._progress = progress
        self._tag = content.tag()

    def send(self, path: RemotePath, *, unpack: bool, headers: Headers) -> str | None:
        """Send it to a path, and return where it was stored.

        The result is None if the subscriber knows no such uploads.

        Raises
        ------
        Unreachable
            If nothing more could be sent for `ClientLimits.patience`.
        """
        plan = {
            "path": str(path), "name": self._content.name, "size": self._content.size,
            "tag": self._tag, "unpack": unpack,
        }  # fmt: skip
        try:
            state = self._begin(plan, headers)
        except HttpError as error:
            if error.status_code in _NOT_THERE:
                return None
            raise
        pauses, asked = _Pauses(self._transport), True
        while not state["complete"]:
            try:
                if not asked or (state["active"] and pauses.pause()):
                    state, asked = self._look(state, plan, headers), True
                else:
                    state = self._go_on(state)
            except (HttpError, Unreachable) as error:
                pauses.after(error)
                asked = False
            pauses.reached(state["offset"])
        return str(state["path"])

    def _begin(self, plan: dict[str, Any], headers: Headers) -> dict[str, Any]:
        return self._transport.json(
            dict, "POST", paths.relative(paths.UPLOADS), None, plan, repeatable=True,
            headers=headers,
        )  # fmt: skip

    def _go_on(self, state: dict[str, Any]) -> dict[str, Any]:
        at, size, target = state["offset"], self._content.size or 0, _target(state)
        headers = {
            "Content-Type": media.BINARY, "Content-Length": str(size - at), "Upload-Offset": str(at)
        }  # fmt: skip
        rest = _Rest(self._content, at, self._progress)
        found = self._transport.request("PATCH", target, None, headers, rest).json()
        return checked(found, dict, self._transport.url(target))

    def _look(
        self, state: dict[str, Any], plan: dict[str, Any], headers: Headers
    ) -> dict[str, Any]:
        """Ask how far it is; begin anew if the subscriber has forgotten it."""
        try:
            return self._transport.json(dict, "GET", _target(state))
        except Missing:
            return self._begin(plan, headers)


def _target(state: dict[str, Any]) -> str:
    return paths.UNFINISHED.format(upload=state["id"])[1:]


class _Pauses:
    """Pauses between tries, longer each time, until there was no progress for too long."""

    def __init__(self, transport: Transport) -> None:
        self._limits = transport.limits
        self._offset = -1
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._pause = _FIRST_PAUSE
        self._until = time.monotonic() + self._limits.patience

    def reached(self, offset: int) -> None:
        """Note how far it is."""
        if offset > self._offset:
            self._offset = offset
            self._begin_anew()

    def pause(self) -> bool:
        """Pause; return False at once if there was no progress for too long."""
        if time.monotonic() + self._pause > self._until:
            return False
        time.sleep(self._pause)
        self._pause = min(2 * self._pause, self._limits.pause)
        return True

    def after(self, error: HttpError | Unreachable) -> None:
        """Pause after an error, or raise it if another try is of no use."""
        if isinstance(error, HttpError) and error.put_off is None and error.kind != _OFFSET:
            raise error
        if not self.pause():
            raise error
