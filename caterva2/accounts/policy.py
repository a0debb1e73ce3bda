"""Access policy: which users may read which root."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from caterva2.accounts import readers
from caterva2.accounts.identity import Email
from caterva2.accounts.readers import Readers
from caterva2.accounts.scopes import may_see, scope_of
from caterva2.model import User
from caterva2.names import PUBLIC, RootName

Audience = Literal["public", "users"] | frozenset[str]
"""Everybody, all users who have logged in, or addresses, and ``group:NAME`` of the provider's."""


class ReadRights(Protocol):
    """Decides who may read what."""

    def may_read(self, user: User | None, root: RootName) -> bool:
        """Whether a user, or a reader without login (None), may see a root and its content."""
        ...

    def is_among(self, user: User | None, named: Readers) -> bool:
        """Whether a user, or a reader without login, is among those that a publisher names."""
        ...

    def may_write(self, user: User) -> bool:
        """Whether a user may change special roots."""
        ...

    def may_watch(self, user: User | None) -> bool:
        """Whether a user may see what the whole service does, whichever roots that is about."""
        ...

    def lists(self, email: Email) -> bool:
        """Whether a group, the audience of a root, or the writers list an address."""
        ...


@dataclass(frozen=True, slots=True)
class Policy:
    """Audience of each root.

    Special roots have fixed rules: ``@public`` is readable without login; ``@shared`` and the
    user's own ``@personal`` are readable for users; users write to all three. Superusers have no
    additional read rights. A token sees the roots of its scope only.

    Parameters
    ----------
    default : Audience
        Of the published roots that ``roots`` does not name.
    roots : mapping
    writers : frozenset of str, optional
        Users who may change special roots, and groups; None for all.
    watched : "superusers" or "public"
        Who may see metrics, and the faults of all roots. Tokens have to be for all roots.
    groups : mapping
        Users by the names of groups.
    claimed : bool
        Whether the groups count that users have of an OpenID Connect provider.
    """

    default: Audience = "public"
    roots: Mapping[RootName, Audience] = field(default_factory=dict)
    writers: frozenset[str] | None = None
    watched: Literal["superusers", "public"] = "superusers"
    groups: Mapping[str, frozenset[Email]] = field(default_factory=dict)
    claimed: bool = False

    def may_read(self, user: User | None, root: RootName) -> bool:
        """Whether a user, or a reader without login (None), may see a root and its content."""
        if not may_see(user, root):
            return False
        if root.is_special:
            return user is not None or root == PUBLIC
        audience = self.roots.get(root, self.default)
        if audience == "public":
            return True
        if user is None:
            return False
        return audience == "users" or self._names(user, audience)

    def _names(self, user: User, words: frozenset[str]) -> bool:
        """Whether words name a user, or a group that the provider says the user is of."""
        if user.email in words:
            return True
        return self.claimed and any(readers.GROUP + name in words for name in user.groups)

    def is_among(self, user: User | None, named: Readers) -> bool:
        """Whether a user, or a reader without login, is among those that a publisher names."""
        if user is None or readers.PUBLIC in named:
            return readers.PUBLIC in named
        if readers.USERS in named or self._names(user, named):
            return True
        groups = [name for name, users in self.groups.items() if user.email in users]
        return any(readers.GROUP + name in named for name in groups)

    def may_write(self, user: User) -> bool:
        """Whether a user may change special roots."""
        return self.writers is None or self._names(user, self.writers)

    def may_watch(self, user: User | None) -> bool:
        """Whether a user may see what the whole service does, whichever roots that is about."""
        if self.watched == "public":
            return True
        return user is not None and user.superuser and "*" in scope_of(user).roots

    def lists(self, email: Email) -> bool:
        """Whether a group, the audience of a root, or the writers list an address."""
        audiences = (self.default, *self.roots.values(), self.writers, *self.groups.values())
        return any(isinstance(audience, frozenset) and email in audience for audience in audiences)


class CurrentPolicy:
    """The policy in force, which can be replaced at any time, by any thread.

    Parameters
    ----------
    policy : Policy

    Attributes
    ----------
    on_replace : list of callable
        Called when another policy is in force, by any thread.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.on_replace: list[Callable[[], None]] = []

    def replace(self, policy: Policy) -> None:
        """Put another policy in force, for requests and event streams under way too."""
        self._policy = policy
        for on_replace in self.on_replace:
            on_replace()

    def may_read(self, user: User | None, root: RootName) -> bool:
        """Whether a user, or a reader without login (None), may see a root and its content."""
        return self._policy.may_read(user, root)

    def is_among(self, user: User | None, named: Readers) -> bool:
        """Whether a user, or a reader without login, is among those that a publisher names."""
        return self._policy.is_among(user, named)

    def may_write(self, user: User) -> bool:
        """Whether a user may change special roots."""
        return self._policy.may_write(user)

    def may_watch(self, user: User | None) -> bool:
        """Whether a user may see what the whole service does, whichever roots that is about."""
        return self._policy.may_watch(user)

    def lists(self, email: Email) -> bool:
        """Whether a group, the audience of a root, or the writers list an address."""
        return self._policy.lists(email)
