"""What users are, and what they send."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class User:
    """A user who logs in with ``email``, and the groups that an OpenID Connect provider named.

    ``ident`` never changes and is never used again, so it names the user's data.
    """

    ident: str
    email: str
    superuser: bool
    groups: frozenset[str] = field(default=frozenset(), kw_only=True)


@dataclass(frozen=True, slots=True)
class Expression:
    """Definition of a computed dataset; operands map names in the text to ``ROOT/PATH``."""

    text: str
    operands: dict[str, str]


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file: the name given by its sender, and its bytes."""

    name: str
    pieces: AsyncIterator[bytes]


JSON = dict[str, Any]
"""Body of a REST answer; the REST contract fixes its keys."""
