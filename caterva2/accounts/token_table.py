"""The table of API tokens in the database of accounts."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from caterva2.accounts.scopes import Scope, TokenUser
from caterva2.errors import BadAccount
from caterva2.model import User

TABLE = """
    CREATE TABLE tokens (
        token TEXT PRIMARY KEY, digest BLOB NOT NULL UNIQUE, name TEXT NOT NULL,
        roots TEXT NOT NULL, write INTEGER NOT NULL, manage INTEGER NOT NULL,
        created REAL NOT NULL, expires REAL NOT NULL, used REAL,
        parent TEXT REFERENCES tokens ON DELETE CASCADE,
        ident TEXT NOT NULL REFERENCES users ON DELETE CASCADE
    ) WITHOUT ROWID;
    CREATE INDEX tokens_of ON tokens (ident);
    CREATE INDEX tokens_made_by ON tokens (parent);
    """
_USED_S = 60.0
"""Seconds within which a second use is not written."""
_COLUMNS = "token, name, roots, write, manage, created, expires, used"


class TooManyTokens(BadAccount):
    """The user has as many tokens as there may be."""

    name = "too-many-tokens"


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token as its user sees it; the secret itself is known to none but its holder."""

    token: str
    """Its public name, to revoke it by."""
    name: str
    scope: Scope
    created: float
    expires: float
    used: float | None = None


class TokenTable:
    """The tokens of all users; for one thread at a time.

    Parameters
    ----------
    db : sqlite3.Connection
    change : callable
        Makes the context of a transaction.
    """

    def __init__(
        self, db: sqlite3.Connection, change: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._db = db
        self._change = change

    def add(self, user: User, digest: bytes, made: ApiToken, parent: str, most: int) -> None:
        """Add a token; `TooManyTokens` if the user has ``most`` that have not expired."""
        scope = made.scope
        with self._change():
            self._db.execute("DELETE FROM tokens WHERE expires <= ?", (made.created,))
            row = self._db.execute("SELECT count(*) FROM tokens WHERE ident = ?", (user.ident,))
            if row.fetchone()[0] >= most:
                raise TooManyTokens(f"there are {most} tokens of this user: revoke one first")
            self._db.execute(
                f"INSERT INTO tokens ({_COLUMNS}, digest, ident, parent)"  # noqa: S608
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (made.token, made.name, " ".join(scope.roots), scope.write, scope.manage,
                 made.created, made.expires, None, digest, user.ident, parent or None),
            )  # fmt: skip

    def of(self, ident: str, now: float) -> list[ApiToken]:
        """Return the tokens of a user that have not expired, the oldest first."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM tokens WHERE ident = ? AND expires > ?"  # noqa: S608
            " ORDER BY created, token",
            (ident, now),
        )
        return [_token(*row) for row in rows]

    def revoke(self, token: str, ident: str = "") -> bool:
        """Remove a token, of a certain user if one is given; return whether there was one."""
        with self._change():
            done = self._db.execute(
                "DELETE FROM tokens WHERE token = ?1 AND (?2 = '' OR ident = ?2)", (token, ident)
            )
        return done.rowcount > 0

    def user(self, digest: bytes, now: float) -> tuple[TokenUser, float] | None:
        """Return a token's user and expiry time, and note its use."""
        row = self._db.execute(
            "SELECT ident, email, superuser, roots, write, manage, token, expires, used, member_of"
            " FROM tokens JOIN users USING (ident) WHERE digest = ? AND NOT disabled",
            (digest,),
        ).fetchone()
        if row is None:
            return None
        ident, email, superuser, roots, write, manage, token, expires, used, member_of = row
        if now < expires and (used is None or not 0 <= now - used < _USED_S):
            with contextlib.suppress(sqlite3.OperationalError):  # a full disk refuses no reader
                self._db.execute("UPDATE tokens SET used = ? WHERE token = ?", (now, token))
        scope = Scope(tuple(roots.split()), bool(write), bool(manage))
        groups = frozenset(member_of.split())
        given = scope, token, expires
        return TokenUser(ident, email, bool(superuser), *given, groups=groups), expires


def _token(
    token: str, name: str, roots: str, write: int, manage: int,
    created: float, expires: float, used: float | None,
) -> ApiToken:  # fmt: skip
    scope = Scope(tuple(roots.split()), bool(write), bool(manage))
    return ApiToken(token, name, scope, created, expires, used)
