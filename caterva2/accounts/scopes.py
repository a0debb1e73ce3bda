"""Scopes: what a token may do of what its user may do."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from caterva2.errors import BadRequest
from caterva2.limits import constants
from caterva2.model import User
from caterva2.names import RootName

PATTERNS = 64
"""Patterns of one scope."""
_PATTERN = re.compile(rf"[@A-Za-z0-9_.+*-]{{1,{constants.ROOT_NAME}}}")
_ALL = ("*",)


@dataclass(frozen=True, slots=True)
class Scope:
    """The part of a user's rights that a token has; it adds none.

    Parameters
    ----------
    roots : tuple of str
        Names of roots; ``*`` in them stands for any characters.
    write : bool
        Whether special roots and subscriptions may be changed.
    manage : bool
        Whether accounts and tokens may be administered.
    """

    roots: tuple[str, ...] = _ALL
    write: bool = False
    manage: bool = False

    @classmethod
    def of(cls, roots: Iterable[str], write: bool, manage: bool) -> Self:
        """Return a scope; `BadRequest` if it covers no root, or a pattern is none."""
        given = tuple(dict.fromkeys(roots))
        for pattern in given:
            if not _PATTERN.fullmatch(pattern):
                raise BadRequest(
                    "roots: each is the name of a root, or a pattern of names such as climate-*"
                )
        if not 0 < len(given) <= PATTERNS:
            raise BadRequest(f"roots: between 1 and {PATTERNS} patterns are needed")
        return cls(given, write, manage)

    def covers(self, root: str) -> bool:
        """Return whether a root may be seen at all."""
        return self.roots == _ALL or _covers(self.roots, root)

    def contains(self, other: Scope) -> bool:
        """Return whether another scope permits nothing that this one does not."""
        known = all(
            pattern in self.roots or ("*" not in pattern and self.covers(pattern))
            for pattern in other.roots
        )
        roots = "*" in self.roots or known
        return roots and self.write >= other.write and self.manage >= other.manage


@functools.lru_cache(maxsize=4096)
def _covers(roots: tuple[str, ...], root: str) -> bool:
    return any(fnmatch.fnmatchcase(root, pattern) for pattern in roots)


WHOLE = Scope(write=True, manage=True)
"""Of a session: everything that its user may do."""


@dataclass(frozen=True, slots=True)
class TokenUser(User):
    """A user whose requests have a token with a scope."""

    scope: Scope = WHOLE
    token: str = ""
    """The token's public name."""
    until: float = 0.0

    @property
    def user(self) -> User:
        """The user without the token."""
        return User(self.ident, self.email, self.superuser, groups=self.groups)


def scope_of(user: User | None) -> Scope:
    """Return what a user may do with the credentials of a request."""
    return user.scope if isinstance(user, TokenUser) else WHOLE


def may_see(user: User | None, root: RootName) -> bool:
    """Return whether the scope of a request covers a root, whatever the policy says."""
    return not isinstance(user, TokenUser) or user.scope.covers(root)
