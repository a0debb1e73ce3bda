"""The readers of a root as its publisher names them, in words that travel to subscribers. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from typing import TypeGuard

from caterva2.accounts.identity import Email
from caterva2.errors import BadAccount, ConfigError
from caterva2.limits import constants

Readers = frozenset[str]
PUBLIC, USERS, GROUP, KEY = "public", "users", "group:", "key:"
"""Everybody; all users; users of a group of the subscriber; everybody at the holder of a key."""
EVERYBODY: Readers = frozenset({PUBLIC})
NOBODY: Readers = frozenset()
_NAME = re.compile(r"[^\s,*\x00-\x1f\x7f]{1,64}")
_RIGHTS_BYTES = 12


def parse(given: str | Iterable[str], where: str) -> Readers:
    """Return the readers that a setting names.

    Raises
    ------
    ConfigError
        If one of them is neither ``public``, ``users``, an address, ``group:NAME`` nor
        ``key:NAME``, or there are too many.
    """
    words = [given] if isinstance(given, str) else list(given)
    if len(words) > constants.READERS:
        raise ConfigError(f"{where}: {len(words)} readers are more than READERS, name groups")
    return frozenset(_word(text, where) for text in words)


def _word(text: str, where: str) -> str:
    if text in (PUBLIC, USERS):
        return text
    for kind in (GROUP, KEY):
        if text.startswith(kind) and _NAME.fullmatch(text.removeprefix(kind)):
            return text
    try:
        return Email(text)
    except BadAccount:
        raise ConfigError(
            f"{where}: {text[:80]!r} names no reader: write public, users, an address, group:NAME"
            " or key:NAME"
        ) from None


def is_group(name: object) -> TypeGuard[str]:
    """Return whether something may be the name of a group."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def rights_of(readers: Readers, keys: Callable[[str], Iterable[str]]) -> str:
    """Return the name of rights: another one with each change; empty where everybody may read.

    Parameters
    ----------
    readers : frozenset of str
    keys : callable
        Gives the keys of a holder's name: ``key:NAME`` stands for them.
    """
    if PUBLIC in readers:
        return ""
    parts = sorted(readers)
    for word in parts[:]:
        if word.startswith(KEY):
            parts += sorted(keys(word.removeprefix(KEY)))
    digest = hashlib.blake2b("\n".join(parts).encode(), digest_size=_RIGHTS_BYTES)
    return digest.hexdigest()


def shown_to(readers: Readers, holder: str) -> tuple[str, ...]:
    """Return the readers at the subscriber with a key of a holder; without a key that is empty."""
    if holder and KEY + holder in readers:
        return (PUBLIC,)
    return tuple(sorted(word for word in readers if not word.startswith(KEY)))
