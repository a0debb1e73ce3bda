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
