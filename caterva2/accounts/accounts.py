"""User accounts of a subscriber: login, sessions, passwords and administration."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
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

from caterva2.accounts.attempts import Attempts, Pace
from caterva2.accounts.hashing import Hashing
from caterva2.accounts.identity import Email, Password, as_bytes
from caterva2.accounts.oidc import OidcOptions
from caterva2.accounts.policy import ReadRights
from caterva2.accounts.store import Account, AccountStore, NoSuchUser, UserExists
from caterva2.accounts.tokens import Tokens, digest, is_token
from caterva2.errors import BadAccount, BadCredentials, Busy, CatervaError, NotAllowed
from caterva2.limits import DEFAULTS, AccountLimits
from caterva2.model import User
from caterva2.runtime.fair_shares import share_of
from caterva2.runtime.lru import Lru
from caterva2.runtime.uncancellable import run_to_completion

T = TypeVar("T")
OnDelete = Callable[[User], Awaitable[None]]
log = logging.getLogger(__name__)
TOKEN_BYTES = 32
TOKEN_LENGTH = 128
"""Characters above which a text can't be a token."""


@dataclass(frozen=True, slots=True)
class AccountOptions:
    """Secret of the sessions, whether registration is open, and the maximum number of users."""

    secret: bytes
    register: bool = False
    maxusers: int = DEFAULTS.accounts.users
    oidc: OidcOptions | None = None

    def __repr__(self) -> str:
        return f"AccountOptions(register={self.register}, maxusers={self.maxusers})"


class Accounts:
    """Authenticate users by password or session token, and administer them.

    Parameters
    ----------
    store : AccountStore
        Closed by this object.
    options : AccountOptions
    policy : ReadRights
        An address that it lists can't be registered: an administrator has to add it.
    clock : callable
        Seconds since 1970.
    hashing : Hashing, optional
    limits : AccountLimits
    """

    def __init__(
        self,
        store: AccountStore,
        options: AccountOptions,
        policy: ReadRights,
        clock: Callable[[], float] = time.time,
        hashing: Hashing | None = None,
        limits: AccountLimits = DEFAULTS.accounts,
    ) -> None:
        self.on_delete: list[OnDelete] = []
        """Called with each deleted user, to remove that user's data."""
        self.on_disable: list[OnDelete] = []
        """Called with each user whose account is disabled."""
        self.on_change: list[Callable[[], None]] = []
        """Called when sessions or tokens may have ended."""
        self.registering = options.register
        self.oidc = options.oidc
        self._store, self._options, self._policy, self._clock = store, options, policy, clock
        self._limits = limits
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="accounts")
        self._hashing = hashing or Hashing(limits.hashes_waiting)
        self._logins = Attempts(limits.logins, max_keys=limits.attempts)
        self._logins_anywhere = Attempts(limits.logins_anywhere, max_keys=limits.attempts)
        self._pace = Pace(limits.logins_anywhere, limits.login_wait, max_keys=limits.attempts)
        self._good: Lru[tuple[str | None, str], bool] = Lru(limits.attempts)
        """Users and networks from which one of them has logged in."""
        self._registrations = Attempts(limits.registrations, max_keys=limits.attempts)
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._known: Lru[bytes, tuple[User, float]] = Lru(limits.known_sessions)
        self._keyed = hashlib.blake2b(key=secrets.token_bytes(32), digest_size=16)
        self._changes = 0
        self.tokens = Tokens(self._query, self._change, clock, limits)

    async def _query(self, work: Callable[[AccountStore], T]) -> T:
        """Run work on the database, in its one thread."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, work, self._store)
        except sqlite3.Error as error:
            log.error("account database: %s", error)
            raise Busy("the accounts can't be used now", after_ms=2000) from None

    def close(self) -> None:
        """Cancel waiting work and close the database."""
        self._hashing.close()
        self._thread.shutdown(cancel_futures=True)
        self._store.close()

    # --- sessions ---

    async def login(self, name: str, password: str, address: str) -> str:
        """Begin a session with a name and password, and return its token.

        Neither the error nor the response time reveals whether the user exists.

        Raises
        ------
        BadCredentials
        SlowDown
            After too many failures from this network. After those from others a login has to
            wait for its turn, unless the user has logged in from this network before: so no
            stranger locks a user out.
        """
        account = await self._verified(name, password, address)
        token = await self._begin(account)
        log.info("%s logged in from %s", account.user.email, address)
        return token

    async def _verified(self, name: str, password: str, address: str) -> Account:
        email, network = None, share_of(address)
        with contextlib.suppress(BadAccount):
            email = Email(name)
        # One at a time, so that parallel requests get no more attempts.
        async with self._locks.setdefault(f"{email} {network}", asyncio.Lock()):
            self._logins.check((email, network))
            if (email, network) not in self._good and self._logins_anywhere.pause(email):
                await asyncio.sleep(self._pace.reserve(email))
            account = None if email is None else await self._query(lambda db: db.find(email))
            try:
                data = as_bytes(password)
            except BadAccount:
                account, data = None, b""
            stored = None if account is None else account.password
            right = await self._hashing.verify(stored, data)
            if not right or account is None or not account.active:
                self._logins.add((email, network))
                self._logins_anywhere.add(email)
                log.warning("refused a login as %s from %s", email or "an unknown user", address)
                raise BadCredentials("LOGIN_BAD_CREDENTIALS")
        self._good.put((account.user.email, network), True)
        return account

    async def login_verified(self, name: str, address: str, groups: frozenset[str]) -> str:
        """Begin a session of a user whom an OpenID Connect provider has verified.

        The account has the groups until the next such login. `BadCredentials` if there is none
        and none is to be made, or it is disabled.
        """
        email, made = Email(name), self.oidc is not None and self.oidc.create
        most = self._options.maxusers
        if made:
            with contextlib.suppress(UserExists):
                await self._query(lambda db: db.add(email, "", False, most))  # no password
                log.info("added %s, of the provider", email)
        account = await self._query(lambda db: db.find(email))
        if account is None or not account.active:
            raise BadCredentials("there is no account of this address, or it is disabled")
        if (user := account.user).groups != groups:
            await self._change(lambda db: db.set_groups(user, groups))
        log.info("%s logged in from %s by the provider", email, address)
        return await self._begin(account)

    def derived(self, purpose: str) -> str:
        """Return a secret for a purpose, which tells nothing of that of the sessions."""
        return hmac.digest(self._options.secret, f"for {purpose}".encode(), "sha256").hex()

    async def _begin(self, account: Account) -> str:
        token = secrets.token_urlsafe(TOKEN_BYTES)
        now = self._clock()
        key, expires = self._digest(token), now + self._limits.session
        if not await self._query(lambda db: db.begin_session(key, account, expires, now)):
            raise BadCredentials("LOGIN_BAD_CREDENTIALS")  # the password changed in between
        return token

    def _digest(self, token: str) -> bytes:
        return hmac.digest(self._options.secret, token.encode(), "sha256")

    async def user_of(self, token: str) -> User | None:
        """Return the user of a session or an API token; None if it is invalid or has expired.

        A result is cached for KNOWN_FOR seconds.
        """
        if len(token) > TOKEN_LENGTH:
            return None
        if (known := self.known_user(token)) is not None:
            return known
        key, now = self._key(token), self._clock()
        changes = self._changes
        found = await self._query(lambda db: self._found(db, token, now))
        if found is None or found[1] <= now:
            self._known.pop(key)
            return None
        if changes == self._changes:
            self._known.put(key, (found[0], min(found[1], now + self._limits.known_for)))
        return found[0]

    def _found(self, db: AccountStore, token: str, now: float) -> tuple[User, float] | None:
        if is_token(token):
            return db.tokens.user(digest(token), now)
        return db.session(self._digest(token))

    def known_user(self, token: str) -> User | None:
        """Return the user of a token if `user_of` has its result cached."""
        return known[0] if (known := self.known(token)) else None

    def known(self, token: str) -> tuple[User, float] | None:
        """Return the `known_user`, and the seconds for which that counts."""
        found = self._known.get(self._key(token)) if len(token) <= TOKEN_LENGTH else None
        left = found[1] - self._clock() if found else 0.0  # too much if the clock was set back
        return (found[0], left) if found and 0 < left < self._limits.known_for + 1 else None

    def _key(self, token: str) -> bytes:
        keyed = self._keyed.copy()  # the HMAC takes ten times as long, a keyed digest twice
        keyed.update(token.encode())
        return keyed.digest()

    async def _change(self, work: Callable[[AccountStore], T]) -> T:
        """Change the database and drop all cached sessions."""
        try:
            return await self._query(work)
        finally:
            self._changes += 1
            self._known.clear()
            for on_change in self.on_change:
                on_change()

    async def logout(self, token: str) -> None:
        """End a session."""
        await self._change(lambda db: db.end_session(self._digest(token)))

    # --- accounts ---

    async def register(self, name: str, password: str, address: str) -> User:
        """Add the account of a person who registers without an administrator.

        Raises
        ------
        BadAccount
            If the name or the password is invalid, or the name is taken.
        NotAllowed
            If the policy lists this address.
        SlowDown
        """
        email = Email(name)
        Password(password)
        network = share_of(address)
        self._registrations.check(network)
        self._registrations.add(network)
        if self._policy.lists(email):
            raise NotAllowed("this address is for an administrator to add")
        return await self.add(email, password)

    async def add(self, name: str, password: str, superuser: bool = False) -> User:
        """Add an account; `BadAccount` if it is invalid, `UserExists` if the name is taken."""
        email, data = Email(name), Password(password).bytes
        stored = await self._hashing.hash(data)
        most = self._options.maxusers
        user = await self._query(lambda db: db.add(email, stored, superuser, most))
        log.info("added %s%s", email, ", a superuser" if superuser else "")
        return user

    async def delete(self, name: str) -> User:
        """Remove an account and the user's data; `NoSuchUser` if it does not exist.

        It is done as a whole: the request may end meanwhile, with the account that it was made by.
        """
        return await run_to_completion(self._delete(Email(name)))

    async def _delete(self, email: Email) -> User:
        user = await self._change(lambda db: db.delete(email))
        log.info("deleted %s", email)
        await self._remove_data(user)
        return user

    async def _remove_data(self, user: User) -> None:
        for on_delete in self.on_delete:
            await on_delete(user)
        await self._query(lambda db: db.end_deletion(user))

    async def end_deletions(self) -> None:
        """Remove the data of deleted users of whom a crash left some; a failure is logged."""
        for user in await self._query(lambda db: db.deleted()):
            try:
                await self._remove_data(user)
            except (OSError, CatervaError) as error:
                log.error("data of the deleted user %s can't be removed: %s", user.email, error)

    async def enable(self, name: str, active: bool) -> User:
        """Enable an account, or disable it: it has no sessions and its tokens are void then."""
        email = Email(name)
        user = await self._change(lambda db: db.enable(email, active))
        log.info("%s %s", "enabled" if active else "disabled", email)
        for on_disable in () if active else self.on_disable:
            await on_disable(user)
        return user

    async def set_password(self, name: str, password: str) -> None:
        """Set the password of an account, as an administrator; its sessions end."""
        email, data = Email(name), Password(password).bytes
        stored = await self._hashing.hash(data)
        await self._change(lambda db: db.change(email, stored))
        log.info("an administrator set the password of %s", email)

    async def find(self, name: str) -> Account:
        """Return the account of an address; `NoSuchUser` if it has none."""
        email = Email(name)
        account = await self._query(lambda db: db.find(email))
        if account is None:
            raise NoSuchUser(f"{email} is not a user")
        return account

    async def users(self) -> list[Account]:
        """Return all accounts, sorted by address, without the hashes of the passwords."""
        return await self._query(lambda db: db.users())

    async def change_password(self, user: User, old: str, new: str, address: str) -> str:
        """Set a new password, end all sessions of the user, and return the token of a new one.

        Raises
        ------
        BadCredentials
            If the old password is wrong; this counts as a failed login.
        BadAccount
            If the new password is invalid.
        """
        data = Password(new).bytes
        account = await self._verified(user.email, old, address)
        stored = await self._hashing.hash(data)
        await self._change(lambda db: db.change(Email(user.email), stored))
        log.info("%s changed the password", user.email)
        return await self._begin(Account(account.user, stored))
