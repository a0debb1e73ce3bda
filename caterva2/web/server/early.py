"""Answers that are made while a request is parsed, without a task and an application.

An empty application takes 87 us of processor time for a request, which is as much as a small slice
itself. Most clients send one head again and again, with other targets and ranges: such a head is
compared with the last one of its connection, and not parsed either.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, Self
from urllib.parse import unquote

from caterva2.limits import WebLimits
from caterva2.runtime.logs.requests import Request, RequestRecords
from caterva2.web.server.hosts import Served
from caterva2.web.server.prefix import NO_PREFIX, Prefix
from caterva2.web.server.requests import BoundedProtocol, Stage

Headers = list[tuple[bytes, bytes]]
_LEFT = frozenset((
    b"content-length", b"expect", b"if-modified-since", b"if-none-match",
    b"if-range", b"if-unmodified-since", b"origin", b"transfer-encoding", b"upgrade",
))  # fmt: skip
"""Headers of requests that are left to the application: all that middleware or routes look at, but
for those of `Asked`."""
_KNOWN = frozenset((
    b"accept", b"authorization", b"connection", b"cookie", b"if-match", b"range",
    b"x-forwarded-for",
))  # fmt: skip
_TARGET = re.compile(rb"/[!-\"$-~]*")
_LINE = re.compile(rb"GET (/[!-\"$-~]*)")
_HEAD = re.compile(rb"GET /[!-~]*( HTTP/1\.1\r\n(?:[!-9;-~]+:[^\r\n\0]*\r\n)*\r\n)")
_RANGE = re.compile(rb"\r\nrange:[ \t]*(bytes=[0-9]*-[0-9]*)\r\n", re.IGNORECASE)
_SPAN = re.compile(rb"bytes=[0-9]{0,19}-[0-9]{0,19}")
_LONGEST = 4096
"""Bytes of a head that is kept, and compared with the next one."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the headers of a request say; empty where there is no such header."""

    accept: bytes = b""
    cookie: bytes = b""
    range: bytes = b""
    tag: bytes = b""
    """If-Match."""
    authorization: bytes = b""
    forwarded: bytes = b""
    """X-Forwarded-For."""

    @classmethod
    def of(cls, headers: Headers) -> Self | None:
        """Return what headers say; None if an application has to look at them."""
        found: dict[bytes, bytes] = {}
        for name, value in headers:
            if name in _LEFT or name in found:
                return None
            if name in _KNOWN:
                found[name] = value
        if found.get(b"connection", b"keep-alive").lower() != b"keep-alive":
            return None
        names = (b"accept", b"cookie", b"range", b"if-match", b"authorization", b"x-forwarded-for")
        return cls(*[found.get(name, b"") for name in names])


@dataclass(frozen=True, slots=True)
class KnownHead:
    """A head that was answered early: what stands around its target and its range.

    Nothing stands behind the range if the head has none, or more than one span.
    """

    before: bytes
    after: bytes
    asked: Asked

    @classmethod
    def of(cls, data: bytes, asked: Asked) -> Self | None:
        """Return the head of a request without a body; None if others can't be compared with it."""
        head = _HEAD.fullmatch(data) if len(data) <= _LONGEST else None
        if head is None:
            return None
        span = _RANGE.search(head[1]) if asked.range else None
        if span is None:
            return cls(head[1], b"", asked)
        return cls(head[1][: span.start(1)], head[1][span.end(1) :], asked)

    def repeated(self, data: bytes) -> tuple[bytes, Asked] | None:
        """Return target and headers of a request if its head differs in target and range only."""
        if len(data) > _LONGEST or not data.endswith(self.after or self.before):
            return None
        at = data.find(self.before) if self.after else len(data) - len(self.before)
        line = _LINE.fullmatch(data, 0, at) if at > 0 else None
        if line is None:
            return None
        if not self.after:
            return line[1], self.asked
        span = data[at + len(self.before) : len(data) - len(self.after)]
        if not _SPAN.fullmatch(span):
            return None
        return line[1], self.asked if span == self.asked.range else replace(self.asked, range=span)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: its first line, its headers, each with its end of line, its body, and its user.

    ``lends`` says whether workers answer such requests, too.
    """

    start: bytes
    headers: bytes
    body: bytes | memoryview
    user: str | None = None
    lends: bool = False


class Early(Protocol):
    """The contract of what answers early."""

    def answer(self, target: bytes, asked: Asked) -> Answer | None:
        """Answer a GET at once, or leave it to the application; never block, raise nothing."""
        ...

    def answered(self, target: bytes, answer: Answer, client: str) -> None:
        """Note that an answer was sent to the address of a client."""
        ...

    def refused(self, reason: str) -> None:
        """Note that a client was refused for using up a limit."""
        ...


class NothingEarly:
    """Null object: leaves everything to the application."""

    def answer(self, target: bytes, asked: Asked) -> Answer | None:
        """Return None."""

    def answered(self, target: bytes, answer: Answer, client: str) -> None:
        """Do nothing."""

    def refused(self, reason: str) -> None:
        """Do nothing."""


class Recorded:
    """Answers early, and records each answer.

    Parameters
    ----------
    early : Early
        What answers.
    records : RequestRecords
    """

    def __init__(self, early: Early, records: RequestRecords) -> None:
        self._early = early
        self._records = records
        self._began = 0.0
        self.refused = early.refused

    def answer(self, target: bytes, asked: Asked) -> Answer | None:
        if asked.forwarded:  # the application judges whose word on the client counts
            return None
        self._began = time.perf_counter()
        return self._early.answer(target, asked)

    def answered(self, target: bytes, answer: Answer, client: str) -> None:
        seconds = time.perf_counter() - self._began
        path = unquote(target.partition(b"?")[0].decode("ascii"))
        status, sent = int(answer.start.split(b" ", 2)[1]), memoryview(answer.body).nbytes
        self._records.add(Request("GET", path, answer.user, client), status, sent, seconds)


class EarlyProtocol(BoundedProtocol):
    """HTTP whose simplest requests are answered while they are parsed.

    Of the requests that arrive in one piece only the first one is: others wait for their turn, so
    that a client that sends many at once does not hold up the rest.
    """

    early: ClassVar[Early] = NothingEarly()
    prefix: ClassVar[Prefix] = NO_PREFIX
    _fresh: bytes = b""
    """What was received, until its first request was seen; nothing where it continues one."""
    _known: KnownHead | None = None
    """The last head that was parsed and answered early."""
    _answered_at: float = 0.0
    _lends: bool = False
    """Whether the last request was one that a worker may answer."""

    @classmethod
    def answering(
        cls, limits: WebLimits, early: Early, hosts: Served, prefix: Prefix
    ) -> type[Self]:
        """Return this class with limits of its own, what answers early, hosts and a prefix."""
        made = cls.limited(limits)
        made.early, made.hosts, made.prefix = early, hosts, prefix
        return made

    def data_received(self, data: bytes) -> None:
        idle = self._idle
        if idle and self._is_repeated(data):
            self._rest()
            return
        self._fresh = data if idle else b""
        super().data_received(data)
        self._fresh = b""

    @property
    def _idle(self) -> bool:
        """Whether no request is under way, so that the next bytes begin one."""
        waiting = self._held or self.pipeline or self._answering()
        return self._stage is Stage.NOTHING and not waiting

    def _is_repeated(self, data: bytes) -> bool:
        """Answer a request whose head differs from an earlier one in target and range only."""
        found = None if self._known is None else self._known.repeated(data)
        return found is not None and self._answer_early(*found)

    def _begin_request(self) -> None:
        fresh, self._fresh = self._fresh, b""
        usual = self.parser.get_method() == b"GET" and self.parser.get_http_version() == "1.1"
        asked = Asked.of(self.headers) if fresh and usual else None
        if asked is None or not _TARGET.fullmatch(self.url):
            super()._begin_request()
        elif self._answer_early(self.url, asked):
            self._known = KnownHead.of(fresh, asked)
            self.loop.call_soon(self._end_early)
        else:
            super()._begin_request()

    def _answer_early(self, target: bytes, asked: Asked) -> bool:
        if self.flow.write_paused or self.transport.is_closing():
            return False
        target = self.prefix.without(target)
        answer = self.early.answer(target, asked)
        if answer is None:
            return False
        lines = [answer.start]
        for name, value in self.server_state.default_headers:
            lines += (name, b": ", value, b"\r\n")
        lines += (answer.headers, b"\r\n")
        self._coalescing.send(b"".join(lines), answer.body)
        self.early.answered(target, answer, self.client[0] if self.client else "")
        self.server_state.total_requests += 1
        self._lends = answer.lends
        return True

    def note_refusal(self, reason: str) -> None:
        self.early.refused(reason)

    def _end_early(self) -> None:
        if self._idle:
            self._rest()

    def _rest(self) -> None:
        """Wait for the next request, as after any other answer, but keep a timer that runs."""
        self._answered_at = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._wait_for_next(self.timeout_keep_alive)
        self.connections_open.used(self)

    def timeout_keep_alive_handler(self) -> None:
        left = self._answered_at + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._wait_for_next(left)
        else:
            super().timeout_keep_alive_handler()

    def _wait_for_next(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )
