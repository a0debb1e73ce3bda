"""SQLite database of accounts and sessions, readable for its owner only.

It holds Argon2id hashes of passwords and digests of tokens, so a copy of the file gives no access
to accounts or sessions.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from caterva2.accounts.identity import Email
from caterva2.accounts.token_table import TABLE as TOKENS
from caterva2.accounts.token_table import TokenTable
from caterva2.errors import BadAccount, StartError
from caterva2.limits import DEFAULTS
from caterva2.model import User
from caterva2.runtime import durable

FILE = "accounts.sqlite"
BUSY_S = 5.0
"""Seconds to wait for another process that writes."""
MIGRATIONS = (
    """
    CREATE TABLE users (
        ident TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, password TEXT NOT NULL,
        superuser INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE sessions (
        number INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, expires REAL NOT NULL,
        ident TEXT NOT NULL REFERENCES users ON DELETE CASCADE
    );
    CREATE INDEX sessions_of ON sessions (ident);
    CREATE INDEX sessions_by_end ON sessions (expires);
    """,
    TOKENS,
    "ALTER TABLE users ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0",
    "CREATE TABLE deleted (ident TEXT PRIMARY KEY, email TEXT NOT NULL) WITHOUT ROWID",
    "ALTER TABLE users ADD COLUMN member_of TEXT NOT NULL DEFAULT ''",
)
"""Each makes the next version of the file; ``user_version`` counts those applied."""
_USER = "ident, email, superuser, member_of"


class UserExists(BadAccount):
    """The address has an account already."""

    name = "user-exists"


class NoSuchUser(BadAccount):
    """The address has no account."""

    name = "no-such-user"


class TooManyUsers(BadAccount):
    """The maximum number of users is reached."""

    name = "too-many-users"


@dataclass(frozen=True, slots=True)
class Account:
    """A user and the hash of the password, which repr hides; a disabled user can't log in."""

    user: User
    password: str
    active: bool = True

    def __repr__(self) -> str:
        return f"Account({self.user})"


class AccountStore:
    """The open database; for one thread at a time. Other processes may use the file too.

    Parameters
    ----------
    path : Path
        Created with its directory if missing.
    max_sessions : int
        Sessions of one user.

    Raises
    ------
    StartError
        If it can't be used, is damaged, or a newer version of this program wrote it. An empty file
        is damaged: accounts never start anew where there were some.

    Attributes
    ----------
    created : bool
        Whether there was no database before.
    tokens : TokenTable
        The API tokens in it.
    """

    def __init__(self, path: Path, max_sessions: int = DEFAULTS.accounts.user_sessions) -> None:
        self._max_sessions = max_sessions
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.created = not path.exists() and _create(path)
            if path.stat().st_size == 0:
                raise StartError(f"{path} is empty: {_remedy(path)}")
            path.chmod(0o600)  # SQLite gives its other files the same mode
            self._db = sqlite3.connect(
                path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare(path)
            except BaseException:
                self._db.close()
                raise
        except PermissionError as error:
            wrong = f"{path} can't be used: {error.strerror}"
            raise StartError(f"{wrong}: it has to belong to the user of the service") from None
        except (OSError, sqlite3.OperationalError) as error:
            raise StartError(f"{path} can't be used: {error}") from None
        except sqlite3.Error as error:  # OperationalError, above, is no damage
            raise StartError(f"{path} can't be used: {error}: {_remedy(path)}") from None
        self.tokens = TokenTable(self._db, self._change)

    def _prepare(self, path: Path) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise StartError(
                f"{path} has format {version}, and this version of caterva2 reads up to "
                f"{len(MIGRATIONS)}: start the newer version that wrote it"
            )
        if version < 1:
            raise StartError(f"{path} has no accounts in it: {_remedy(path)}")
        (problem,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if problem != "ok":
            raise StartError(f"{path} is damaged: {' '.join(problem.split())}: {_remedy(path)}")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA foreign_keys = ON")
        with self._change():
            _migrate(self._db)

    @contextlib.contextmanager
    def _change(self) -> Iterator[None]:
        """Run the block in a transaction that excludes other writers."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    # --- users ---

    def find(self, email: Email) -> Account | None:
        """Return the account of an address."""
        row = self._db.execute(
            f"SELECT {_USER}, password, disabled FROM users WHERE email = ?",  # noqa: S608
            (email,),
        ).fetchone()
        return Account(_user(*row[:4]), row[4], not row[5]) if row else None

    def users(self) -> list[Account]:
        """Return all accounts without the hashes, sorted by address."""
        rows = self._db.execute(
            f"SELECT {_USER}, disabled FROM users ORDER BY email"  # noqa: S608
        )
        return [Account(_user(*row[:4]), "", not row[4]) for row in rows]

    def add(self, email: Email, password: str, superuser: bool, max_users: int) -> User:
        """Add a user.

        Parameters
        ----------
        email : Email
        password : str
            Its hash.
        superuser : bool
        max_users : int
            Maximum number of users, this one included.

        Raises
        ------
        UserExists
        TooManyUsers
        """
        user = User(str(uuid.uuid4()), email, superuser)
        with self._change():
            if self.find(email) is not None:
                raise UserExists(f"{email} exists already")
            (count,) = self._db.execute("SELECT count(*) FROM users").fetchone()
            if count >= max_users:
                raise TooManyUsers(f"Only a maximum of {max_users} users are allowed")
            self._db.execute(
                "INSERT INTO users (ident, email, password, superuser) VALUES (?, ?, ?, ?)",
                (user.ident, user.email, password, user.superuser),
            )
        return user

    def delete(self, email: Email) -> User:
        """Remove a user and all sessions; `NoSuchUser` if the address has no account.

        The user is among `deleted` until `end_deletion`, so that a crash leaves no data behind.
        """
        with self._change():
            account = self.find(email)
            if account is None:
                raise NoSuchUser(f"{email} is not a user")
            ident = account.user.ident
            self._db.execute("DELETE FROM users WHERE ident = ?", (ident,))
            self._db.execute("INSERT INTO deleted VALUES (?, ?)", (ident, email))
        return account.user

    def deleted(self) -> list[User]:
        """Return the users without an account who may have data still."""
        rows = self._db.execute("SELECT ident, email, 0, '' FROM deleted")
        return [_user(*row) for row in rows]

    def end_deletion(self, user: User) -> None:
        """Note that a deleted user has no data any more."""
        self._db.execute("DELETE FROM deleted WHERE ident = ?", (user.ident,))

    def change(self, email: Email, password: str, superuser: bool = False) -> None:
        """Set a new password and end all sessions of the user.

        ``superuser`` grants this right; False leaves it unchanged.
        """
        with self._change():
            account = self.find(email)
            if account is None:
                raise NoSuchUser(f"{email} is not a user")
            self._db.execute(
                "UPDATE users SET password = ?, superuser = superuser OR ? WHERE ident = ?",
                (password, superuser, account.user.ident),
            )
            self._db.execute("DELETE FROM sessions WHERE ident = ?", (account.user.ident,))

    def enable(self, email: Email, active: bool) -> User:
        """Enable an account, or disable it, which ends its sessions; `NoSuchUser` without one."""
        with self._change():
            account = self.find(email)
            if account is None:
                raise NoSuchUser(f"{email} is not a user")
            ident = account.user.ident
            self._db.execute("UPDATE users SET disabled = ? WHERE ident = ?", (not active, ident))
            if not active:
                self._db.execute("DELETE FROM sessions WHERE ident = ?", (ident,))
        return account.user

    def set_groups(self, user: User, groups: frozenset[str]) -> None:
        """Replace the groups of a user; there is no white space in their names."""
        given = " ".join(sorted(groups)), user.ident
        self._db.execute("UPDATE users SET member_of = ? WHERE ident = ?", given)

    # --- sessions ---

    def begin_session(self, digest: bytes, account: Account, expires: float, now: float) -> bool:
        """Store a session until it expires; False if the account has changed since it was read."""
        ident = account.user.ident
        with self._change():
            known = self.find(Email(account.user.email))
            if known is None or known.password != account.password or not known.active:
                return False
            self._db.execute("DELETE FROM sessions WHERE expires <= ?", (now,))
            self._db.execute(
                "DELETE FROM sessions WHERE ident = ?1 AND number NOT IN (SELECT number FROM"
                " sessions WHERE ident = ?1 ORDER BY number DESC LIMIT ?2)",
                (ident, self._max_sessions - 1),
            )
            self._db.execute(
                "INSERT INTO sessions (digest, expires, ident) VALUES (?, ?, ?)",
                (digest, expires, ident),
            )
        return True

    def session(self, digest: bytes) -> tuple[User, float] | None:
        """Return a session's user and expiry time, which may lie in the past."""
        row = self._db.execute(
            f"SELECT {_USER}, expires FROM sessions JOIN users USING (ident)"  # noqa: S608
            " WHERE digest = ? AND NOT disabled",
            (digest,),
        ).fetchone()
        return (_user(*row[:4]), row[4]) if row else None

    def end_session(self, digest: bytes) -> None:
        """Remove a session."""
        self._db.execute("DELETE FROM sessions WHERE digest = ?", (digest,))


def _create(path: Path) -> bool:
    """Make a database where there is none, such that it appears as a whole.

    Return whether it was made: another process may be quicker.
    """
    changes = path.with_name(f"{path.name}-wal")
    if changes.exists():
        raise StartError(f"{path} is missing, but not {changes.name}: {_remedy(changes)}")
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        with contextlib.closing(sqlite3.connect(temporary, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            _migrate(db)
            db.execute("COMMIT")
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(temporary)
    durable.sync_directory(path.parent)
    return True


def _migrate(db: sqlite3.Connection) -> None:
    """Bring the tables to the current version, in a transaction of the caller."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    for script in MIGRATIONS[version:]:
        for statement in filter(str.strip, script.split(";")):
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _remedy(path: Path) -> str:
    return f"restore the accounts from a backup; to start without any, remove {path}"


def _user(ident: str, email: str, superuser: int, member_of: str) -> User:
    return User(ident, email, bool(superuser), groups=frozenset(member_of.split()))
