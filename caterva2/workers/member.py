"""One worker as the core sees it: the channel to it, and the connections that it has."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from caterva2.errors import CatervaError
from caterva2.names import DatasetPath, RootName, parse_full
from caterva2.web.server.lending import Lent
from caterva2.workers.channel import Channel, Message

log = logging.getLogger(__name__)
UNANSWERED = 4
"""Looks in a row that got no word from a worker, after which it is killed: its loop stands still.
They are counted, since the clock goes on where the core itself was stopped."""
LATE = 2
"""Such looks after which it is lent no more."""
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")


class Post(Protocol):
    """What a worker's messages are for."""

    def returned(self, sock: socket.socket, data: bytes, patience: int) -> None:
        """Serve a connection that came back."""

    def asked(self, member: Member, token: str, root: RootName, path: DatasetPath) -> None:
        """Judge what the worker may answer, and answer with `Member.permit`."""

    def reported(self, report: dict[str, Any]) -> None:
        """Count what the worker did."""


class Member:
    """One run of a worker.

    Parameters
    ----------
    pid : int
    sock : socket
    post : Post

    Attributes
    ----------
    ended : Event
        Set when its channel has ended.
    leaves : bool
        Whether it gives all connections back and ends, since it was asked to.
    lent : dict
        The connections that it has, by number.
    """

    def __init__(self, pid: int, sock: socket.socket, post: Post) -> None:
        self.pid, self.began = pid, time.monotonic()
        self.ended = asyncio.Event()
        self.leaves = False
        self.lent: dict[int, Lent] = {}
        self._unanswered = 0
        self._used = 0.0
        self._post, self._next = post, 0
        self._kinds: dict[str, Callable[..., None]] = {
            "back": self._back, "ask": self._ask, "report": self._reported,
            "ends": self._leave, "pong": lambda: None,
        }  # fmt: skip
        self._channel = Channel(sock, self._on_message, self._end)

    @property
    def serves(self) -> bool:
        """Whether connections can be lent to it, and it is not late with an answer."""
        return not self.leaves and not self.ended.is_set() and self._unanswered < LATE

    def lend(self, descriptor: int, patience: int, data: bytes, lent: Lent) -> bool:
        """Lend it a connection."""
        self._next += 1
        if not self._channel.send(["lend", self._next, patience, data], descriptor):
            return False
        self.lent[self._next] = lent
        lent.close = functools.partial(self._channel.send, ["close", self._next])
        return True

    def permit(self, token: str, root: RootName, path: DatasetPath, given: dict[str, Any]) -> None:
        """Answer what it asked."""
        self._channel.send(["permit", [token, root, path], given])

    def look(self) -> None:
        """Ask for a sign of life, with the level of logs; kill what has given none for long."""
        if self._unanswered >= UNANSWERED:
            log.error("worker %d does not answer: it is killed", self.pid)
            self.kill()
        else:
            self._unanswered += 1
            self._channel.send(["ping", logging.getLogger().level])

    def kill(self) -> None:
        """End the process at once."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Close the channel, at which the worker ends."""
        self._channel.close()
        self._end()

    def used(self) -> tuple[int, float]:
        """Return its bytes of memory, and its seconds of processor time, as far as is known."""
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_text().split()
            times = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except (OSError, ValueError):
            return 0, self._used
        self._used = (int(times[11]) + int(times[12])) / _TICK
        return int(pages[1]) * _PAGE, self._used

    def _end(self) -> None:
        for lent in self.lent.values():
            lent.end()
        self.lent.clear()
        self.ended.set()

    # --- what it says ---

    def _on_message(self, message: Message, descriptor: int) -> None:
        self._unanswered = 0
        kind, *given = message
        if kind == "back":
            self._back(descriptor, *given)
        else:
            self._kinds[kind](*given)

    def _back(self, descriptor: int, ident: int, patience: int, data: bytes) -> None:
        self._forget(ident)
        if descriptor >= 0:  # else this process may open no more files
            self._post.returned(socket.socket(fileno=descriptor), data, patience)

    def _forget(self, ident: int) -> None:
        lent = self.lent.pop(ident, None)
        if lent is not None:
            lent.end()

    def _ask(self, token: str, root: str, path: str) -> None:
        with contextlib.suppress(CatervaError):
            self._post.asked(self, token, *parse_full(f"{root}/{path}"))

    def _reported(self, report: dict[str, Any]) -> None:
        for ident in report["closed"]:
            self._forget(ident)
        self._post.reported(report)

    def _leave(self) -> None:
        self.leaves = True
        self._channel.send(["all"])
