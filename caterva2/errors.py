"""Every way in which Caterva2 says no.

::

    CatervaError
    ├── BadMessage          400  a message that breaks the protocol
    ├── BadName             400  a root or dataset name that can't be one
    ├── BadRequest          400  a parameter that makes no sense
    │   ├── BadSelection    400  a slice that the dataset does not have (422 on the wire)
    │   ├── BadUpload       400  what came is not what its name says, or can't be put there
    │   ├── BadExpression   400  not an expression, or its operands do not fit together
    │   ├── BadForm         422  a name or password is missing, or of another type
    │   ├── BadAccount      400  an address, a password or a number of users that can't be
    │   └── BadCredentials  400  not the password of that user, or no such user
    ├── LoginNeeded         401  only users may, or only superusers
    ├── NotAllowed          403
    ├── NotFound            404
    ├── Conflict            409  something else has this name already
    ├── OperandGone         409  what an expression is computed of can't be had any more
    ├── RootTaken           409  somebody else publishes a root of this name
    ├── Fenced              410  a newer holder of the root exists
    ├── StaleVersion        412  the dataset is not that version any more
    ├── TooLarge            413
    ├── CodecNotAllowed     415
    ├── VersionMismatch     426
    ├── SlowDown            429
    ├── Internal            500
    ├── SourceCorrupt       502  the publisher's file is damaged
    │   └── Damaged         502  what arrived is not what was sent
    ├── CacheFull           507  the disk takes no more, and this is too large to do without
    ├── QuotaExceeded       507  the special roots may not take more
    ├── Busy                503
    ├── RootOffline         503  nobody publishes the root now, and it is not cached
    ├── DeadlineExceeded    504
    └── local, never on the wire
        ├── ConfigError          a setting that can't be used
        └── StartError           a service that can't start

Each class carries its wire code and name, its HTTP status, and whether a retry helps.
"""

from __future__ import annotations

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
    # Over HTTP nobody can send one: it came from a publisher or a broker.
    code, name, status = 400, "bad-message", 502


class BadRequest(CatervaError):
    code, name, status = 400, "bad-request", 400


class BadName(CatervaError):
    code, name, status = 400, "bad-name", 400


class BadSelection(BadRequest, IndexError):
    code, name, status = 422, "bad-selection", 400


class BadUpload(BadRequest):
    name = "bad-upload"


class BadExpression(BadRequest):
    name = "bad-expression"


class BadForm(BadRequest):
    name, status = "bad-form", 422


class BadAccount(BadRequest):
    name = "bad-account"


class BadCredentials(BadRequest):
    name = "bad-credentials"


class LoginNeeded(CatervaError):
    code, name, status = 401, "login-needed", 401


class NotAllowed(CatervaError):
    code, name, status = 403, "not-allowed", 403


class NotFound(CatervaError):
    code, name, status = 404, "not-found", 404


class Conflict(CatervaError):
    code, name, status = 409, "conflict", 409


class OperandGone(CatervaError):
    code, name, status = 409, "operand-gone", 409


class RootTaken(CatervaError):
    code, name, status = 409, "root-taken", 409


class Fenced(CatervaError):
    code, name, status = 410, "fenced", 410


class StaleVersion(CatervaError):
    code, name, status, retry = 412, "stale-version", 409, "now"


class TooLarge(CatervaError):
    code, name, status = 413, "too-large", 413


class CodecNotAllowed(CatervaError):
    code, name, status = 415, "codec-not-allowed", 502


class VersionMismatch(CatervaError):
    code, name, status = 426, "version", 502


class SlowDown(CatervaError):
    code, name, status, retry = 429, "slow-down", 429, "later"


class Internal(CatervaError):
    code, name, status = 500, "internal", 500


class SourceCorrupt(CatervaError):
    code, name, status = 502, "source-corrupt", 502


class Damaged(SourceCorrupt):
    retry = "now"


class CacheFull(CatervaError):
    code, name, status, retry = 507, "cache-full", 507, "later"


class QuotaExceeded(CatervaError):
    code, name, status = 507, "quota-exceeded", 507


class Busy(CatervaError):
    code, name, status, retry = 503, "busy", 503, "later"


class RootOffline(CatervaError):
    code, name, status, retry = 503, "root-offline", 503, "later"


class DeadlineExceeded(CatervaError):
    code, name, status, retry = 504, "deadline", 504, "later"


class ConfigError(CatervaError):
    """A setting, in the file or on the command line, that can't be used."""

    code, name, status = 400, "bad-config", 400


class StartError(CatervaError):
    """A service that can't start: a port in use, a directory that can't be written."""

    code, name, status = 500, "start", 500


WIRE_ERRORS: dict[str, type[CatervaError]] = {
    kind.name: kind
    for kind in (
        BadMessage, BadRequest, BadName, BadSelection, NotAllowed, NotFound, RootTaken, Fenced,
        StaleVersion, TooLarge, CodecNotAllowed, VersionMismatch, SlowDown, Internal,
        SourceCorrupt, CacheFull, Busy, RootOffline, DeadlineExceeded,
    )
}  # fmt: skip


def from_wire(
    name: str,
    detail: str,
    info: dict[str, object] | None = None,
    after_ms: int = 0,
    *,
    subject: str = "",
) -> CatervaError:
    """Return the exception that an ``error`` message stands for.

    Parameters
    ----------
    name : str
        Wire name of the error; an unknown one becomes `Internal`.
    detail : str
        Text of the message.
    info : dict, optional
        Plain values for programs.
    after_ms : int, optional
        Pause before a retry.
    subject : str, optional
        Dataset that was requested. The protocol has no field for the subject of an error: it is
        the beginning of the text.
    """
    kind = WIRE_ERRORS.get(name, Internal)
    named = f"{subject}: "
    if not subject or not detail.startswith(named):
        return kind(detail, info=info, after_ms=after_ms)
    return kind(detail[len(named) :], subject=subject, info=info, after_ms=after_ms)
