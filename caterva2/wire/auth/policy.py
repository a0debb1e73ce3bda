"""Which key may do what: the contract, and the rights of one key. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Flag, auto
from fnmatch import fnmatchcase
from typing import Protocol

KEY = re.compile(r"[0-9a-f]{64}")
"""A public key as it is written everywhere: hexadecimal, so that no shell gives it a meaning."""


class Role(Flag):
    """Rights of the holder of a key."""

    READ = auto()
    """Ask for roots, catalogs and data, as subscribers do."""
    PUBLISH = auto()
    """Register roots at a broker and announce their changes."""
    MIRROR = auto()
    """Announce that a root is served beside its publisher."""
    BOTH = READ | PUBLISH
    ANY = BOTH | MIRROR


@dataclass(frozen=True, slots=True)
class Grant:
    """The rights of a key.

    ``name`` is its holder: two keys of one name have the authority over what either of them
    registered. ``roots`` are patterns of names, in which ``*`` stands for any characters.
    """

    name: str
    role: Role
    roots: tuple[str, ...]

    def covers(self, role: Role, root: str) -> bool:
        """Return whether the holder has a role for a root."""
        return role in self.role and any(fnmatchcase(root, pattern) for pattern in self.roots)


ANYBODY = Grant("", Role.ANY, ("*",))
"""The rights of every connection where there are no keys."""


class Authenticator(Protocol):
    """Knows the rights of keys.

    Called for each message, possibly from several threads at once. It answers from memory, never
    blocks and never raises: a list that can't be read is an error of what loads it, and never
    admits more than the last one that could be read.
    """

    def grant(self, key: str) -> Grant | None:
        """Return the rights of a key, or None if it is not admitted.

        Parameters
        ----------
        key : str
            The authenticated key of a connection; empty for one without authentication.
        """

    def holder(self, key: str) -> str:
        """Return the name of a key's holder; empty if it has none."""


class AdmitAll:
    """Null object: admits every connection, and tells none of them apart."""

    def grant(self, key: str) -> Grant | None:
        """Return `ANYBODY`, whatever the key."""
        return ANYBODY

    def holder(self, key: str) -> str:
        """Return an empty name."""
        return ""


ADMIT_ALL: Authenticator = AdmitAll()


@dataclass(frozen=True, slots=True)
class AtSocket:
    """Knows the keys whose rights are enough for one of a service's sockets, as an `Authenticator`.

    Asked with each message: a key may lose rights while a connection exists.
    """

    everywhere: Authenticator
    admits: Callable[[Grant], bool]

    def grant(self, key: str) -> Grant | None:
        """Return the rights of a key, or None if they are not enough."""
        grant = self.everywhere.grant(key)
        return grant if grant is not None and self.admits(grant) else None

    def holder(self, key: str) -> str:
        """Return the name of a key's holder; empty if it has none."""
        return self.everywhere.holder(key)
