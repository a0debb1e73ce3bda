"""Early answers: the requests that they are for, their users, and their headers.

Names, policy, parameters and values are those of the general case, which goes on where one of them
refuses or can't answer at once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from starlette.exceptions import HTTPException

from caterva2.errors import Busy, CatervaError
from caterva2.runtime.metrics import MemoryMetrics
from caterva2.web.early.kind import Found, Kind, Readers, Sessions
from caterva2.web.middleware import sessions
from caterva2.web.middleware.latency import REQUESTS
from caterva2.web.server.early import Answer, Asked

log = logging.getLogger(__name__)


class EarlyAnswers:
    """Answer what takes neither I/O nor much work.

    Parameters
    ----------
    readers : Readers
    sessions : Sessions or None
        The users, where there are accounts.
    kinds : iterable of Kind
    metrics : MemoryMetrics
    """

    def __init__(
        self,
        readers: Readers,
        sessions: Sessions | None,
        kinds: Iterable[Kind],
        metrics: MemoryMetrics,
    ) -> None:
        self._readers = readers
        self._accounts = sessions
        self._kinds = [
            (
                kind,
                metrics.observer(REQUESTS, call=kind.call, method="GET", status=str(kind.status)),
            )
            for kind in kinds
        ]

    def answer(self, target: bytes, asked: Asked) -> Answer | None:
        path, _, query = target.partition(b"?")
        for kind, observe in self._kinds:
            if path.startswith(kind.prefix) and kind.takes(asked):
                return self._answer(kind, observe, path, query, asked)
        return None

    def answered(self, target: bytes, answer: Answer, client: str) -> None:
        """Do nothing: it is observed when it is made."""

    def refused(self, reason: str) -> None:
        self._readers.for_user(None).answered(Busy(reason))

    def _answer(
        self, kind: Kind, observe: Callable[[float], None], path: bytes, query: bytes, asked: Asked
    ) -> Answer | None:
        began = time.perf_counter()
        try:
            found = self._find(kind, path, query, asked)
        except (CatervaError, HTTPException, UnicodeError):  # the general case says what is wrong
            return None
        except Exception:
            log.exception("%r could not be answered early", path)
            return None
        if found is not None:
            observe(time.perf_counter() - began)
        return found

    def _find(self, kind: Kind, path: bytes, query: bytes, asked: Asked) -> Answer | None:
        user, token = None, sessions.token_of((asked.cookie,)) if self._accounts else ""
        if asked.authorization:
            token = sessions.api_token(asked.authorization)
            if not self._accounts or not token:
                return None  # that of a grant, or nothing that is known here
        if self._accounts and token:
            user = self._accounts.known_user(token)
            if user is None:
                return None
        found = kind.find(self._readers.for_user(user), path, query, asked)
        if found is None:
            return None
        more = sessions.LINES[bool(self._accounts), user is not None]
        email = None if user is None else user.email
        return Answer(kind.start, _headers(found, more), found.body, email, kind.lends)


def _headers(found: Found, more: bytes) -> bytes:
    return b"content-length: %d\r\n%b%b" % (len(found.body), found.headers, more)
