"""Records of requests: of all for access, of changes and of accounts for audits.

What is recorded of a request are its path and who sent it; never its query, headers or body, which
may hold passwords and tokens.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Self

from caterva2.runtime.logs.lines import time_of
from caterva2.runtime.logs.records import Fields, Records, records

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
App = Callable[
    [Scope, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]
_READING = ("GET", "HEAD", "OPTIONS")
_TEXT = 2048
"""Characters of a path that are recorded."""
_ADDRESS = 64
_ACCOUNTS = "caterva2.accounts"
"""The logger of what happens to accounts: logins, refused ones, changes, tokens."""
_ABORTED = 499
"""Status of a request without an answer."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request in the log; ``client`` is empty for one through a Unix socket."""

    method: str
    path: str
    user: str | None
    client: str

    @classmethod
    def of(cls, scope: Scope) -> Self:
        """Return that of a request to an application of ASGI."""
        user = getattr((scope.get("state") or {}).get("user"), "email", None)
        client = scope.get("client")
        return cls(
            str(scope["method"]), str(scope["path"]), None if user is None else str(user),
            str(client[0]) if client else "",
        )  # fmt: skip


class _AccountEvents(logging.Handler):
    def __init__(self, audit: Records) -> None:
        super().__init__(logging.INFO)
        self._audit = audit

    def emit(self, record: logging.LogRecord) -> None:
        self._audit.add({"event": record.getMessage()[:_TEXT]})


class RequestRecords:
    """The access log and the audit log of a server.

    Parameters
    ----------
    access, audit : str
        Where each is kept: ``off``, ``-`` for the log, or a path.
    """

    def __init__(self, access: str = "off", audit: str = "off") -> None:
        self._access, self._audit = records("access", access), records("audit", audit)
        self._events = _AccountEvents(self._audit)
        if self._audit.kept:
            accounts = logging.getLogger(_ACCOUNTS)
            accounts.addHandler(self._events)
            accounts.setLevel(logging.INFO)

    @property
    def all(self) -> bool:
        """Whether every request is recorded."""
        return self._access.kept

    def reopen(self) -> None:
        """Open the files anew, for programs that rename them."""
        self._access.reopen()
        self._audit.reopen()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger(_ACCOUNTS).removeHandler(self._events)
        self._access.close()
        self._audit.close()

    def around(self, app: App) -> App:
        """Return an application of ASGI whose requests are recorded."""
        if not (self._access.kept or self._audit.kept):
            return app

        async def recorded(
            scope: Scope,
            receive: Callable[[], Awaitable[Message]],
            send: Callable[[Message], Awaitable[None]],
        ) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            began, status, sent = time.perf_counter(), _ABORTED, 0

            async def noted(message: Message) -> None:
                nonlocal status, sent
                if message["type"] == "http.response.start":
                    status = message["status"]
                sent += len(message.get("body", b""))
                await send(message)

            try:
                await app(scope, receive, noted)
            finally:
                self.add(Request.of(scope), status, sent, time.perf_counter() - began)

        return recorded

    def add(self, request: Request, status: int, sent: int, seconds: float) -> None:
        """Record a request that was answered."""
        fields: Fields = {
            "time": time_of(time.time()),
            "user": request.user,
            "client": request.client[:_ADDRESS] or "unix",
            "method": request.method[:_ADDRESS],
            "route": "/".join(request.path.split("/", 3)[:3])[:_ADDRESS],
            "path": request.path[:_TEXT],
            "status": status, "bytes": sent, "seconds": round(seconds, 6),
        }  # fmt: skip
        self._access.add(fields)
        if request.method not in _READING:
            self._audit.add(fields)
