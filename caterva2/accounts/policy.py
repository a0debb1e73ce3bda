"""Who may read which root, and who may write to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from caterva2.accounts.identity import Email
from caterva2.model import User
from caterva2.names import RootName

Readers = Literal["public", "users"] | frozenset[Email]
"""Everybody, whoever has logged in, or just these."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may do what; the special roots have rules of their own.

    ``@public`` is read by everybody and written by users; ``@shared`` and ``@personal`` (of
    which each user has one) are read and written by users. A superuser reads no more than
    others: what a list names is what may be.

    Parameters
    ----------
    default : Readers
        Of the published roots that ``roots`` does not name.
    roots : mapping
    """

    default: Readers = "public"
    roots: Mapping[RootName, Readers] = field(default_factory=dict)

    @property
    def hides(self) -> bool:
        """Whether there may be published roots that not everybody sees."""
        return self.default != "public" or any(who != "public" for who in self.roots.values())

    def may_read(self, user: User | None, root: RootName) -> bool:
        """Whether somebody may know of a root and what is in it."""
        if root.is_special:
            return user is not None or root == "@public"
        readers = self.roots.get(root, self.default)
        if readers == "public":
            return True
        if user is None:
            return False
        return readers == "users" or user.email in readers

    def may_write(self, user: User | None, root: RootName) -> bool:
        """Whether somebody may change a root."""
        return user is not None and root.is_special

    def names(self, email: Email) -> bool:
        """Whether some root is for this address by name."""
        lists = (self.default, *self.roots.values())
        return any(isinstance(readers, frozenset) and email in readers for readers in lists)
