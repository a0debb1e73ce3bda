"""The contract of an authenticator: which keys may connect, and in which role."""

from __future__ import annotations

from enum import Flag, auto
from typing import Protocol


class Role(Flag):
    """Rights of the holder of a key."""

    READ = auto()
    """Ask for roots, catalogs and data, as subscribers do."""
    PUBLISH = auto()
    """Register roots at a broker and announce their changes."""
    ANY = READ | PUBLISH


class Authenticator(Protocol):
    """Decides in which role the holder of a key is admitted.

    Called for each connection or message, possibly from several threads at once. It answers
    from memory, never blocks and never raises: a key list that can't be read is an error of
    whatever loads it, and the last list that could be read stays in force.
    """

    def role(self, key: str) -> Role | None:
        """Return the role of a key, or None if it is not admitted.

        Parameters
        ----------
        key : str
            The authenticated key of a connection; empty for one without authentication.
        """


class AdmitAll:
    """Null object: admits every connection in any role."""

    def role(self, key: str) -> Role | None:
        """Return `Role.ANY`, whatever the key."""
        return Role.ANY


ADMIT_ALL: Authenticator = AdmitAll()
