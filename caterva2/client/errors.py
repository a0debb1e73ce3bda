"""The errors of the client; each is a `CatervaError`.

::

    CatervaError
    ├── Unreachable        no answer, or one that ends early or makes no sense
    │   └── Undecodable    a chunk of a stream can't be decoded
    └── HttpError          the subscriber refused: a status of 300 or more
        ├── Missing        404; a KeyError too
        ├── BadKey         400, the key selects nothing of the dataset; an IndexError too
        ├── PreconditionFailed  412, what was to be changed has another version
        ├── LoginFailed    wrong name or password, or no accounts there
        └── SessionOver    the session has ended; the client logs in again by itself
"""

from __future__ import annotations

import contextlib
import json
from email.message import Message
from http import HTTPStatus
from typing import Any, Self

from caterva2.client.session import NONE, token_of
from caterva2.errors import WIRE_ERRORS, CatervaError, SourceCorrupt, printable

FOREIGN = "http"
"""Kind of an error that names none: something between client and subscriber made it."""
_SHOWN = 200  # bytes of a body that is not JSON


class OfflineWarning(UserWarning):
    """The subscriber can't be reached: what is shown is of the cache, as of an earlier time."""


class Unreachable(CatervaError):
    """The subscriber can't be reached, or its answer ends early or makes no sense."""

    code, name, status = 503, "unreachable", 503


class Undecodable(Unreachable):
    """A chunk that the subscriber sent can't be decoded; ``info`` has its number."""


class HttpError(CatervaError):
    """The subscriber refused a request.

    Attributes
    ----------
    status_code : int
        HTTP status.
    reason : str
        The status in words, such as ``Not Found``.
    detail : str
        What was wrong, in the subscriber's words, without characters that control a terminal.
    kind : str
        Name of the error for programs, such as ``root-offline``.
    put_off : float or None
        Seconds after which another try may succeed.
    """

    def __init__(
        self,
        status_code: int,
        reason: str,
        detail: str,
        kind: str = FOREIGN,
        put_off: float | None = None,
    ) -> None:
        reason, detail, kind = printable(reason), printable(detail), printable(kind)
        super().__init__(f"{status_code} {reason}: {detail}")
        self.status_code = status_code
        self.reason = reason
        self.detail = detail
        self.kind = kind
        self.put_off = put_off

    @property
    def is_foreign(self) -> bool:
        """Whether the answer is not one of the subscriber, which names all its errors."""
        return self.kind == FOREIGN

    def __str__(self) -> str:
        return f"{self.status_code} {self.reason}: {self.detail}"

    def about(self, subject: str) -> Self:
        """Return this error unchanged: its detail is the subscriber's and names the subject."""
        return self

    def __reduce__(self) -> tuple[object, ...]:
        given = self.status_code, self.reason, self.detail, self.kind, self.put_off
        return (type(self), given)


class Missing(HttpError, KeyError):
    """404: the root, directory or dataset does not exist."""


class BadKey(HttpError, IndexError):
    """400: the key is outside of the dataset, or invalid."""


class PreconditionFailed(HttpError):
    """412: what was to be changed has another version than the request names, or is not there."""


class LoginFailed(HttpError):
    """The name or password is wrong, or the subscriber has no accounts."""


class SessionOver(HttpError):
    """Refused because the session has ended."""


def error_of(status: int, reason: str, headers: Message, body: bytes) -> HttpError:
    """Return the error that an answer describes."""
    fields: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        fields = json.loads(body)
    if not isinstance(fields, dict):
        fields = {}
    detail = str(fields.get("detail") or body[:_SHOWN].decode("utf-8", "replace"))
    name = str(fields.get("name", FOREIGN))
    kind: type[HttpError] = HttpError
    if token_of(headers) is NONE:
        kind = SessionOver
    elif status == 404:
        kind = Missing
    elif status == 412:
        kind = PreconditionFailed
    elif name == "bad-selection":
        kind = BadKey
    return kind(status, reason, detail, name, _put_off(status, headers, fields))


def unreadable(fields: dict[str, Any]) -> HttpError:
    """Return the error that the subscriber gives in place of a dataset's metadata."""
    name = str(fields.get("name", FOREIGN))
    status = WIRE_ERRORS.get(name, SourceCorrupt).status
    kind = Missing if status == 404 else HttpError
    return kind(status, HTTPStatus(status).phrase, str(fields.get("detail", "")), name)


def _put_off(status: int, headers: Message, fields: dict[str, Any]) -> float | None:
    """Return the seconds that the subscriber asks to wait before another try, if it does."""
    if status not in (429, 503) or fields.get("retry") != "later":
        return None
    if fields.get("name") == "root-offline":
        return None
    text = headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else 1.0
