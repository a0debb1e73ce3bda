"""API tokens: credentials of programs, with a scope and an end, that hold no password."""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from caterva2.accounts.scopes import Scope, TokenUser, scope_of
from caterva2.accounts.store import AccountStore
from caterva2.accounts.token_table import ApiToken
from caterva2.errors import BadRequest, NotAllowed, NotFound
from caterva2.limits import AccountLimits
from caterva2.limits.constants import TOKEN_PREFIX
from caterva2.model import User

T = TypeVar("T")
log = logging.getLogger(__name__)
_SECRET_BYTES = 32
_NAME_BYTES = 6
_LENGTH = len(TOKEN_PREFIX) + len(secrets.token_urlsafe(_SECRET_BYTES))
_DAY_S = 24 * 3600.0
NAME_LENGTH = 100
"""Characters of the name that a user gives a token."""
_CONTROLS = r"\x00-\x1f\x7f-\x9f\u200e-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_NAME = re.compile(rf"[^{_CONTROLS}]{{1,{NAME_LENGTH}}}")


class Query(Protocol):
    """Runs work on the database, in its thread."""

    def __call__(self, work: Callable[[AccountStore], T], /) -> Awaitable[T]: ...


def is_token(text: str) -> bool:
    """Return whether a text looks like an API token; that of a session has another length."""
    return len(text) == _LENGTH and text.startswith(TOKEN_PREFIX)


def digest(token: str) -> bytes:
    """Return the digest that a token is stored and found by.

    The secret has 256 random bits: nothing that is slow to compute protects it any better.
    """
    return hashlib.sha256(token.encode()).digest()


class Tokens:
    """The API tokens of users.

    Parameters
    ----------
    query : callable
        Runs work that changes nothing about who a known token is of.
    change : callable
        Runs work that may; all known tokens are looked up anew then.
    clock : callable
        Seconds since 1970.
    limits : AccountLimits
    """

    def __init__(
        self, query: Query, change: Query, clock: Callable[[], float], limits: AccountLimits
    ) -> None:
        self._query, self._change = query, change
        self._clock = clock
        self._limits = limits

    async def make(
        self, user: User, name: str, scope: Scope, days: float | None = None
    ) -> tuple[str, ApiToken]:
        """Make a token, and return it and what is known of it; it is never shown again.

        Parameters
        ----------
        user : User
            If it asks with a token itself, the new one permits no more and lasts no longer, and
            is revoked with it.
        name : str
        scope : Scope
        days : float, optional
            Until it expires; TOKEN_DAYS at most, and by default a quarter of that.
        """
        own = scope_of(user)
        if not own.manage:
            raise NotAllowed("this token may not make tokens")
        if not own.contains(scope):
            raise NotAllowed("a token can't make one that permits more")
        if not _NAME.fullmatch(name):
            raise BadRequest(f"name: between 1 and {NAME_LENGTH} printable characters are needed")
        most = self._limits.token_days
        days = most / 4 if days is None else days
        if not 0 < days <= most:
            raise BadRequest(f"days: more than 0 and up to TOKEN_DAYS, {most:g}, are possible")
        token = TOKEN_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        now = self._clock()
        expires, parent = now + days * _DAY_S, ""
        if isinstance(user, TokenUser):
            expires, parent = min(expires, user.until), user.token
        made = ApiToken(secrets.token_hex(_NAME_BYTES), name, scope, now, expires)
        key, bound = digest(token), self._limits.user_tokens
        await self._query(lambda db: db.tokens.add(user, key, made, parent, bound))
        log.info("%s made the token %s", user.email, made.token)
        return token, made

    async def of(self, user: User) -> list[ApiToken]:
        """Return the tokens of a user that have not expired, the oldest first."""
        now = self._clock()
        return await self._query(lambda db: db.tokens.of(user.ident, now))

    async def revoke(self, user: User, token: str) -> None:
        """End a token of a user, or of anybody for a superuser, with those made by it.

        Raises
        ------
        NotFound
            If there is no such token.
        """
        ident = "" if user.superuser else user.ident
        if not await self._change(lambda db: db.tokens.revoke(token, ident)):
            raise NotFound("there is no such token")
        log.info("%s revoked the token %s", user.email, token)
