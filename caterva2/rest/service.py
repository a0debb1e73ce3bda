"""The service itself: its start page and its health."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from caterva2.rest.shapes import Count, closed


@closed
class Start(TypedDict):
    """The start page."""

    name: str
    version: str
    roots: str
    openapi: str


@closed
class Health(TypedDict):
    """The health of a subscriber."""

    status: Literal["ok"]
    broker: bool
    """Whether the broker was heard lately."""
    roots: Count
    """Roots that are published now, as far as the broker said."""


@closed
class Ready(TypedDict):
    """Whether a service can serve requests now."""

    status: Literal["ready", "unready"]
    reason: str
    """Why it can't; empty if it can."""


@closed
class Quota(TypedDict):
    """Bytes of all files in the special roots."""

    used: Count
    limit: Count | None
    """Null if there is none."""


@closed
class Me(TypedDict):
    """Who asks, and what that user may do."""

    user: str | None
    """The address to log in with; null without a session."""
    superuser: bool
    """Whether the user may administer accounts."""
    accounts: bool
    """Whether there are accounts, so that users can log in."""
    register: bool
    """Whether users make accounts themselves."""
    quota: Quota | None
    """Null for those who may not write."""
    special: bool
    """Whether the user may write to special roots, expressions too."""
    compute: bool
    """Whether the user may compute without storing."""
