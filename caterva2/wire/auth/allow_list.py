"""The list of keys that are admitted: lines ``NAME KEY ROLE ROOTS``. Pure.

Empty lines, and those that begin with ``#``, are ignored. A malformed line admits no key,
so an error never admits more than was meant.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

from caterva2.errors import ConfigError
from caterva2.wire.auth.policy import KEY, Grant, Role

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,63}")
PATTERN = re.compile(r"[A-Za-z0-9_.+*-]{1,64}")
ROLES = {
    "read": Role.READ,
    "publish": Role.PUBLISH,
    "both": Role.BOTH,
    "mirror": Role.READ | Role.MIRROR,
}
LIST_BYTES = 2**20
"""Bytes of a list: some 8,000 keys."""
_SHOWN = 40
"""Characters of a wrong word that an error shows."""


@dataclass(frozen=True, slots=True)
class AllowList:
    """The rights of keys, as an `Authenticator`.

    Attributes
    ----------
    grants : mapping
        From the key.
    problems : tuple of str
        Errors of malformed lines, which admit no key.
    """

    grants: Mapping[str, Grant] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the lines of a list."""
        grants: dict[str, Grant] = {}
        problems: list[str] = []
        times: Counter[str] = Counter()
        for number, line in _lines(text):
            try:
                key, grant = entry(line)
            except ConfigError as error:
                problems.append(f"line {number}: {error.detail}")
                continue
            times[key] += 1
            grants[key] = grant
            if times[key] > 1:
                problems.append(f"line {number}: key {key} has another line: none of them counts")
        return cls({key: one for key, one in grants.items() if times[key] == 1}, tuple(problems))

    def grant(self, key: str) -> Grant | None:
        """Return the rights of a key, or None if it is not admitted."""
        return self.grants.get(key)

    def holder(self, key: str) -> str:
        """Return the name of a key's holder; empty if it has none."""
        grant = self.grants.get(key)
        return grant.name if grant else ""


def entry(line: str) -> tuple[str, Grant]:
    """Return the key of one line and its rights.

    Raises
    ------
    ConfigError
        If it is not ``NAME KEY ROLE ROOTS``.
    """
    words = line.split()
    if len(words) != 4:
        raise ConfigError(f"{len(words)} words: write NAME KEY ROLE ROOTS")
    name, key, role, roots = words
    if not NAME.fullmatch(name):
        raise ConfigError(f"{name[:_SHOWN]!r} is not a name: at most 64 of A-Z a-z 0-9 _ . @ + -")
    if not KEY.fullmatch(key):
        raise ConfigError(f"{key[:_SHOWN]!r} is not a public key: these have 64 digits of 0-9 a-f")
    if role not in ROLES:
        raise ConfigError(f"role {role[:_SHOWN]!r}: write read, publish, both or mirror")
    patterns = tuple(roots.split(","))
    for pattern in patterns:
        if not PATTERN.fullmatch(pattern):
            raise ConfigError(f"{pattern[:_SHOWN]!r} names no roots: write lab-*,climate or *")
    return key, Grant(name, ROLES[role], patterns)


def with_line(text: str, line: str) -> str:
    """Return a list with one more line.

    Raises
    ------
    ConfigError
        If the line is wrong, or its key is on the list already.
    """
    key, _ = entry(line)
    if any(key in other.split() for _, other in _lines(text)):
        raise ConfigError(f"key {key} is on the list already: revoke it first")
    before = text if not text or text.endswith("\n") else text + "\n"
    return f"{before}{' '.join(line.split())}\n"


def without(text: str, what: str) -> tuple[str, int]:
    """Return a list without the lines of a name or key, and their number."""
    meaning = {number for number, line in _lines(text) if what in line.split()[:2]}
    lines = text.splitlines(keepends=True)
    kept = [line for number, line in enumerate(lines, 1) if number not in meaning]
    return "".join(kept), len(meaning)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that have a meaning, with their numbers."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line
