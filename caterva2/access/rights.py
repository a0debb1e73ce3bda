"""The rights to read published roots: what the subscriber's policy and the publishers permit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from caterva2.accounts.identity import Email
from caterva2.accounts.policy import ReadRights
from caterva2.accounts.readers import Readers
from caterva2.model import User
from caterva2.names import RootName


class Published(Protocol):
    """Knows whom publishers name as readers of their roots."""

    def readers(self, root: RootName, /) -> Readers: ...

    def named(self) -> Iterable[str]: ...


class EffectiveRights:
    """The rights that a policy gives, of which publishers may take some away: `ReadRights`.

    Parameters
    ----------
    policy : ReadRights
    published : Published
    """

    def __init__(self, policy: ReadRights, published: Published) -> None:
        self._policy = policy
        self._published = published

    def may_read(self, user: User | None, root: RootName) -> bool:
        """Whether a user, or a reader without login (None), may see a root and its content."""
        if not self._policy.may_read(user, root):
            return False
        return root.is_special or self._policy.is_among(user, self._published.readers(root))

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
        """Whether the policy, or the publisher of a root, lists an address."""
        return self._policy.lists(email) or email in self._published.named()
