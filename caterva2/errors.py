"""All errors of the package: one class for each kind.

::

    CatervaError
    ├── BadMessage          400  a message breaks the protocol
    ├── BadName             400  not a name of a root or a dataset
    ├── BadRequest          400  a parameter makes no sense
    │   ├── BadSelection    400  a slice that the dataset does not have (422 on the wire)
    │   ├── BadUpload       400  an upload does not match its name, or can't be stored there
    │   ├── BadExpression   400  not an expression, or its operands do not fit together
    │   ├── BadForm         422  a name or password is missing, or has another type
    │   ├── BadAccount      400  an address, password or number of users is not allowed
    │   └── BadCredentials  400  wrong password, or unknown user
    ├── LoginNeeded         401  only for users, or only for superusers
    ├── NotAllowed          403  this user may not do it
    ├── NotFound            404  the root or dataset does not exist
    ├── Conflict            409  the name is in use
    ├── OperandGone         409  an operand of an expression is not available any more
    ├── RootTaken           409  another publisher has a root of this name
    ├── Fenced              410  a newer holder of the root exists
    ├── Gone                410  a version is neither current nor cached
    ├── StaleVersion        412  the dataset has another version now (409 over HTTP)
    ├── TooLarge            413  more than a limit allows
    ├── CodecNotAllowed     415  a codec or filter outside of the allow-list (502 over HTTP)
    ├── VersionMismatch     426  a peer speaks another version of the protocol (502 over HTTP)
    ├── SlowDown            429  too many requests at once
    ├── Internal            500  a bug
    ├── SourceCorrupt       502  the publisher's file is damaged
    │   └── Damaged         502  data was damaged on its way
    ├── CacheFull           507  the disk is full, and the data too large for memory
    ├── QuotaExceeded       507  the quota of the special roots is used up
    ├── Busy                503  no capacity now
    ├── RootOffline         503  the root has no publisher now, and the data is not cached
    ├── DeadlineExceeded    504  no answer in time
    ├── Loop                508  a mirror would serve what it gets from itself, or from too far away
    └── local, never on the wire
        ├── ConfigError          a setting or option can't be used
        └── StartError           a service can't start

Each class has its wire code and name, its HTTP status, and whether a retry helps.
"""

from __future__ import annotations

import re
from typing import ClassVar, Literal, Self

Retry = Literal["no", "now", "later"]


class CatervaError(Exception):
    """Base of all errors of this package.

    Parameters
    ----------
    reason : str
        What is wrong, in one line. It names the thing, unless `subject` does.
    subject : str, optional
        Dataset or root that the error is about: ``PATH`` where the root is not known, ``ROOT/PATH``
        where it is.
    info : dict, optional
        Plain values for programs, such as the new etag of a stale version.
    after_ms : int, optional
        Pause before a retry, where a retry helps.

    Attributes
    ----------
    detail : str
        ``SUBJECT: REASON``, or the reason alone. This is what users and other services see.
    """

    code: ClassVar[int] = 500
    name: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    retry: ClassVar[Retry] = "no"
    exit_code: ClassVar[int] = 1  # of a command; 2 where another start would end alike

    def __init__(
        self,
        reason: str,
        *,
        subject: str = "",
        info: dict[str, object] | None = None,
        after_ms: int = 0,
    ) -> None:
        self.detail = f"{subject}: {reason}" if subject else reason
        super().__init__(self.detail)
        self.subject = subject
        self.info = info or {}
        self.after_ms = after_ms
        self._reason = reason

    def about(self, subject: str) -> Self:
        """Return this error with another subject.

        It stays as it is if the reason names that subject already.
        """
        if subject == self.subject or (not self.subject and subject in self._reason):
            return self
        return type(self)(
            self._reason, subject=subject, info=self.info, after_ms=self.after_ms
        ).with_traceback(self.__traceback__)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self._reason, self.subject, self.info, self.after_ms))


def _rebuild(
    kind: type[CatervaError], reason: str, subject: str, info: dict[str, object], after_ms: int
) -> CatervaError:
    return kind(reason, subject=subject, info=info, after_ms=after_ms)


class BadMessage(CatervaError):
    """A message breaks the protocol."""

    # HTTP has no such messages: it is the fault of a publisher or a broker.
    code, name, status = 400, "bad-message", 502


class BadRequest(CatervaError):
    """A parameter makes no sense."""

    code, name, status = 400, "bad-request", 400


class BadName(CatervaError):
    """A text is not the name of a root or a dataset."""

    code, name, status, exit_code = 400, "bad-name", 400, 2


class BadSelection(BadRequest, IndexError):
    """A selection does not fit the dataset."""

    code, name, status = 422, "bad-selection", 400


class BadUpload(BadRequest):
    """An upload does not match its name, or can't be stored there."""

    name = "bad-upload"


class BadExpression(BadRequest):
    """A text is not an expression, or its operands do not fit together."""

    name = "bad-expression"


class BadForm(BadRequest):
    """A name or password is missing, or has another type."""

    name, status = "bad-form", 422


class BadAccount(BadRequest):
    """An address, a password or a number of users is not allowed."""

    name = "bad-account"


class BadCredentials(BadRequest):
    """The password is wrong, or the user unknown."""

    name = "bad-credentials"


class LoginNeeded(CatervaError):
    """Only users, or only superusers, may do it."""

    code, name, status = 401, "login-needed", 401


class NotAllowed(CatervaError):
    """The user may not do it."""

    code, name, status = 403, "not-allowed", 403


class NotFound(CatervaError):
    """The root, directory or dataset does not exist."""

    code, name, status = 404, "not-found", 404


class Conflict(CatervaError):
    """The name is in use."""

    code, name, status = 409, "conflict", 409


class OperandGone(CatervaError):
    """An operand of an expression is not available any more."""

    code, name, status = 409, "operand-gone", 409


class RootTaken(CatervaError):
    """Another publisher holds the root."""

    code, name, status = 409, "root-taken", 409


class Fenced(CatervaError):
    """A newer holder of the root exists."""

    code, name, status = 410, "fenced", 410


class Gone(CatervaError):
    """A version of a dataset, or the dataset, is not available any more."""

    code, name, status = 410, "gone", 410


class StaleVersion(CatervaError):
    """The dataset has another version now; ``info`` may have its etag."""

    code, name, status, retry = 412, "stale-version", 409, "now"


class TooLarge(CatervaError):
    """The request needs more than a limit allows."""

    code, name, status = 413, "too-large", 413


class CodecNotAllowed(CatervaError):
    """A chunk needs a codec or filter outside of the allow-list."""

    code, name, status = 415, "codec-not-allowed", 502


class VersionMismatch(CatervaError):
    """The peer speaks another version of the protocol."""

    code, name, status = 426, "version", 502


class SlowDown(CatervaError):
    """There are too many requests at once."""

    code, name, status, retry = 429, "slow-down", 429, "later"


class Internal(CatervaError):
    """An unexpected error occurred."""

    code, name, status = 500, "internal", 500


class SourceCorrupt(CatervaError):
    """A file or frame is damaged, or can't be served."""

    code, name, status = 502, "source-corrupt", 502


class Damaged(SourceCorrupt):
    """Data was damaged on its way."""

    retry = "now"


class CacheFull(CatervaError):
    """The disk is full, and the data is too large to be held in memory."""

    code, name, status, retry = 507, "cache-full", 507, "later"


class QuotaExceeded(CatervaError):
    """The quota of the special roots is used up."""

    code, name, status = 507, "quota-exceeded", 507


class Busy(CatervaError):
    """There is no capacity now."""

    code, name, status, retry = 503, "busy", 503, "later"


class RootOffline(CatervaError):
    """The root has no publisher now, and the data is not cached."""

    code, name, status, retry = 503, "root-offline", 503, "later"


class DeadlineExceeded(CatervaError):
    """There was no answer in time."""

    code, name, status, retry = 504, "deadline", 504, "later"


class Loop(CatervaError):
    """A mirror's data would come by the mirror itself, or by too many others."""

    code, name, status = 508, "loop", 502


class ConfigError(CatervaError):
    """A setting of the file or the command line can't be used."""

    code, name, status, exit_code = 400, "bad-config", 400, 2


class StartError(CatervaError):
    """A service can't start, for example because its port is in use."""

    code, name, status = 500, "start", 500


WIRE_ERRORS: dict[str, type[CatervaError]] = {
    kind.name: kind
    for kind in (
        BadMessage, BadRequest, BadName, BadSelection, NotAllowed, NotFound, RootTaken, Fenced,
        StaleVersion, TooLarge, CodecNotAllowed, VersionMismatch, SlowDown, Internal,
        SourceCorrupt, CacheFull, Busy, RootOffline, DeadlineExceeded, Loop,
    )
}  # fmt: skip
_MARKUP = re.compile(r"<(?=[A-Za-z/!?])(?![biufcmMSUV][0-9]+(?:['\",)\[\]]|$))")
"""What begins a tag, but for the byte order of a dtype such as ``<f8``."""


def printable(text: str) -> str:
    """Replace what would control a terminal, a page or the order of writing in a foreign text."""
    shown = (c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in text)
    return _MARKUP.sub("\u2039", "".join(shown))


def from_wire(
    name: str, detail: str, info: dict[str, object] | None = None, after_ms: int = 0, *,
    subject: str = "",
) -> CatervaError:  # fmt: skip
    """Return the exception that an ``error`` message stands for.

    An unknown name becomes `Internal`. The protocol has no field for the subject, the dataset that
    was requested: it is the beginning of the text.
    """
    kind = WIRE_ERRORS.get(name, Internal)
    detail = printable(detail)
    info = {
        printable(k): printable(v) if isinstance(v, str) else v for k, v in (info or {}).items()
    }
    named = printable(f"{subject}: ")
    if not subject or not detail.startswith(named):
        return kind(detail, info=info, after_ms=after_ms)
    return kind(detail[len(named) :], subject=subject, info=info, after_ms=after_ms)
