"""The accounts of a subscriber: logging in and out, and what administers them."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import secrets
import sqlite3
import time
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from caterva2 import limits
from caterva2.accounts.attempts import Attempts
from caterva2.accounts.hashing import Hashing
from caterva2.accounts.identity import Email, Password, as_bytes
from caterva2.accounts.policy import Policy
from caterva2.accounts.store import Account, AccountStore, NoSuchUser
from caterva2.errors import BadAccount, BadCredentials, Busy, NotAllowed
from caterva2.model import User

T = TypeVar("T")
Deleted = Callable[[User], Awaitable[None]]
log = logging.getLogger(__name__)
TOKEN_BYTES = 32
TOKEN_LENGTH = 128
"""Characters above which nothing is a token."""


@dataclass(frozen=True, slots=True)
class AccountOptions:
    """The secret of sessions, whether people register by themselves, how many there may be."""

    secret: bytes
    register: bool = False
    maxusers: int = limits.USERS

    def __repr__(self) -> str:
        return f"AccountOptions(register={self.register}, maxusers={self.maxusers})"


class Accounts:
    """Knows users by their passwords, and by the tokens that they got for these.

    Parameters
    ----------
    store : AccountStore
        It is this object's from now on.
    options : AccountOptions
    policy : Policy
        Nobody registers by an address that it names: it is for an administrator to add.
    clock : callable
        Seconds since 1970.
    """

    def __init__(
        self,
        store: AccountStore,
        options: AccountOptions,
        policy: Policy,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.deleted: list[Deleted] = []
        """Told of each user who was deleted, to remove what belongs to that user."""
        self.registering = options.register
        self._store, self._options, self._policy, self._clock = store, options, policy, clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="accounts")
        self._hashing = Hashing()
        self._near = Attempts(limits.LOGINS)
        self._anywhere = Attempts(limits.LOGINS_ANYWHERE)
        self._registrations = Attempts(limits.REGISTRATIONS)
        self._turns: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._known: dict[bytes, tuple[User, float, float]] = {}
        self._changes = 0

    async def _stored(self, work: Callable[[AccountStore], T]) -> T:
        """Ask the database, in the one thread that does."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, work, self._store)
        except sqlite3.Error as error:
            log.error("the accounts can't be used: %s", error)
            raise Busy("the accounts can't be used now", after_ms=2000) from None

    def close(self) -> None:
        """Forget all that waits; the accounts can't be used any more."""
        self._hashing.close()
        self._thread.shutdown(cancel_futures=True)
        self._store.close()

    # --- sessions ---

    async def login(self, name: str, password: str, address: str) -> str:
        """A token for a name and a password that are right.

        Whether there is such a user can't be told from the answer, nor from its time.

        Raises
        ------
        BadCredentials
        SlowDown
            After too many failures.
        """
        account = await self._verified(name, password, address)
        token = await self._begin(account)
        log.info("%s logged in from %s", account.user.email, address)
        return token

    async def _verified(self, name: str, password: str, address: str) -> Account:
        email = None
        with contextlib.suppress(BadAccount):
            email = Email(name)
        # One after the other, so that who tries many at once gets no more tries by it.
        async with self._turn(f"{email} {address}"):
            self._near.check((email, address))
            self._anywhere.check(email)
            account = None if email is None else await self._stored(lambda db: db.find(email))
            try:
                data = as_bytes(password)
            except BadAccount:
                account, data = None, b""
            stored = None if account is None else account.password
            if not await self._hashing.is_of(stored, data) or account is None:
                self._near.note((email, address))
                self._anywhere.note(email)
                log.warning("refused a login as %s from %s", email or "nobody", address)
                raise BadCredentials("LOGIN_BAD_CREDENTIALS")
        return account

    def _turn(self, who: str) -> asyncio.Lock:
        return self._turns.setdefault(who, asyncio.Lock())

    async def _begin(self, account: Account) -> str:
        token = secrets.token_urlsafe(TOKEN_BYTES)
        now = self._clock()
        digest, expires = self._digest(token), now + limits.SESSION
        if not await self._stored(lambda db: db.begin_session(digest, account, expires, now)):
            raise BadCredentials("LOGIN_BAD_CREDENTIALS")  # the password changed in between
        return token

    def _digest(self, token: str) -> bytes:
        return hmac.digest(self._options.secret, token.encode(), "sha256")

    async def user_of(self, token: str) -> User | None:
        """Whose token this is; None if it is nobody's, or not any more.

        What was found is believed for a few seconds without asking the database.
        """
        if len(token) > TOKEN_LENGTH:
            return None
        digest, now = self._digest(token), self._clock()
        known = self._known.get(digest)
        if known is not None and now < known[1] and now < known[2]:
            return known[0]
        changes = self._changes
        found = await self._stored(lambda db: db.session(digest))
        if found is None or found[1] <= now:
            self._known.pop(digest, None)
            return None
        if changes == self._changes:
            self._remember(digest, (*found, now + limits.KNOWN_FOR))
        return found[0]

    def _remember(self, digest: bytes, known: tuple[User, float, float]) -> None:
        self._known.pop(digest, None)
        self._known[digest] = known
        if len(self._known) > limits.KNOWN_SESSIONS:
            del self._known[next(iter(self._known))]

    async def _changed(self, work: Callable[[AccountStore], T]) -> T:
        """Change the database, and believe nothing that was known of sessions before."""
        try:
            return await self._stored(work)
        finally:
            self._changes += 1
            self._known.clear()

    async def logout(self, token: str) -> None:
        """End a session."""
        digest = self._digest(token)
        await self._changed(lambda db: db.end_session(digest))

    # --- accounts ---

    async def register(self, name: str, password: str, address: str) -> User:
        """A new account that somebody makes for himself.

        Raises
        ------
        BadAccount
            If the name or the password can't be, or the name is taken.
        NotAllowed
            If a root is for this address by name.
        SlowDown
        """
        email = Email(name)
        Password(password)
        self._registrations.check(address)
        self._registrations.note(address)
        if self._policy.names(email):
            raise NotAllowed("this address is for an administrator to add")
        return await self.add(email, password)

    async def add(self, name: str, password: str, superuser: bool = False) -> User:
        """A new account; `BadAccount` if it can't be, `UserExists` if the name is taken."""
        email, data = Email(name), Password(password).bytes
        stored = await self._hashing.hashed(data)
        most = self._options.maxusers
        user = await self._stored(lambda db: db.add(email, stored, superuser, most))
        log.info("added %s%s", email, ", a superuser" if superuser else "")
        return user

    async def delete(self, name: str) -> User:
        """Remove an account and what belongs to its user; `NoSuchUser` if there is none."""
        email = Email(name)
        user = await self._changed(lambda db: db.delete(email))
        log.info("deleted %s", email)
        for told in self.deleted:
            await told(user)
        return user

    async def find(self, name: str) -> User:
        """A user by address; `NoSuchUser` if there is none."""
        email = Email(name)
        account = await self._stored(lambda db: db.find(email))
        if account is None:
            raise NoSuchUser(f"{email} is no user")
        return account.user

    async def users(self) -> list[User]:
        """All users, by their addresses."""
        return await self._stored(lambda db: db.users())

    async def change_password(self, user: User, old: str, new: str, address: str) -> str:
        """Set another password; all sessions of the user end, and the token is of a new one.

        Raises
        ------
        BadCredentials
            If the old one is not right; it counts as a failed login.
        BadAccount
            If the new one can't be.
        """
        data = Password(new).bytes
        account = await self._verified(user.email, old, address)
        stored = await self._hashing.hashed(data)
        await self._changed(lambda db: db.change(Email(user.email), stored))
        log.info("%s has another password", user.email)
        return await self._begin(Account(account.user, stored))
