"""The errors of the client; each is a `CatervaError`.

::

    CatervaError
    ├── Unreachable        no answer, or one that ends early or makes no sense
    └── HttpError          the subscriber refused: a status of 300 or more
        ├── Missing        404; a KeyError too
        ├── BadKey         400, the key selects nothing of the dataset; an IndexError too
        ├── LoginFailed    wrong name or password, or no accounts there
        └── SessionOver    the session has ended; the client logs in again by itself
"""

from __future__ import annotations

from caterva2.errors import CatervaError


class Unreachable(CatervaError):
    """The subscriber can't be reached, or its answer ends early or makes no sense."""

    code, name, status = 503, "unreachable", 503


class HttpError(CatervaError):
    """The subscriber refused a request.

    Attributes
    ----------
    status_code : int
        HTTP status.
    reason : str
        The status in words, such as ``Not Found``.
    detail : str
        What was wrong, in the subscriber's words.
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
        kind: str = "http",
        put_off: float | None = None,
    ) -> None:
        super().__init__(f"{status_code} {reason}: {detail}")
        self.status_code = status_code
        self.reason = reason
        self.detail = detail
        self.kind = kind
        self.put_off = put_off

    def __str__(self) -> str:
        return f"{self.status_code} {self.reason}: {self.detail}"

    def __reduce__(self) -> tuple[object, ...]:
        given = self.status_code, self.reason, self.detail, self.kind, self.put_off
        return (type(self), given)


class Missing(HttpError, KeyError):
    """404: the root, directory or dataset does not exist."""


class BadKey(HttpError, IndexError):
    """400: the key is outside of the dataset, or invalid."""


class LoginFailed(HttpError):
    """The name or password is wrong, or the subscriber has no accounts."""


class SessionOver(HttpError):
    """Refused because the session has ended."""
