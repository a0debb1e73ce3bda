"""Grants: rights to read a few datasets as a user, for programs that work for this user a while."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from caterva2.errors import Busy, LoginNeeded, NotAllowed
from caterva2.model import User

TOKEN_BYTES = 32
TOKEN_LENGTH = 128
"""Characters above which a text can't be a token."""
_MARK = "g"
"""What a token begins with, so that none looks like an API token."""
MOST = 10_000
"""Grants at a time; each belongs to a computation, and these are bounded themselves."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token permits: to read these datasets (``ROOT/PATH``) as a user, until a time."""

    user: User | None
    paths: frozenset[str]
    until: float

    def check(self, path: str) -> None:
        """Raise `NotAllowed` unless it permits to read a dataset."""
        if path not in self.paths:
            raise NotAllowed("this token is for other datasets")


class Grants:
    """The grants in force, in memory only: none outlives the process.

    A grant adds no right. What it names is read as the user, by the policy at the time of each
    request, so a right that the user loses is lost for the holder of the token too.

    Parameters
    ----------
    clock : callable
        Seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[bytes, Grant] = {}

    def __len__(self) -> int:
        return len(self._known)

    @contextlib.contextmanager
    def issue(self, user: User | None, paths: Iterable[str], seconds: float) -> Iterator[str]:
        """Return a token, which ends with the context, and after some seconds at the latest."""
        if len(self._known) >= MOST:
            raise Busy("too many grants", after_ms=1000)
        token = _MARK + secrets.token_urlsafe(TOKEN_BYTES)
        key = _digest(token)
        self._known[key] = Grant(user, frozenset(paths), self._clock() + seconds)
        try:
            yield token
        finally:
            self._known.pop(key, None)

    def find(self, token: str) -> Grant:
        """Return the grant of a token; `LoginNeeded` if there is none, or it has ended."""
        found = self._known.get(_digest(token)) if len(token) <= TOKEN_LENGTH else None
        if found is None or found.until <= self._clock():
            raise LoginNeeded("this token is not valid any more")
        return found

    async def forget(self, user: User) -> None:
        """End the grants of a deleted user."""
        for key, grant in list(self._known.items()):
            if grant.user is not None and grant.user.ident == user.ident:
                del self._known[key]


def _digest(token: str) -> bytes:
    return hashlib.blake2b(token.encode(), digest_size=16).digest()
