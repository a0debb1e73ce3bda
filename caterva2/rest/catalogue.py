"""Roots and directories."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from caterva2.rest.attributes import Attributes
from caterva2.rest.datasets import TableParts
from caterva2.rest.shapes import Count, Time, closed


@closed
class Root(TypedDict):
    """A root."""

    name: str
    http: str
    """The publisher's ``HOST:PORT``, empty when it is offline."""
    subscribed: Literal[True] | None
    offline: NotRequired[Literal[True]]
    """The root is not published now."""


@closed
class Group(TableParts):
    """A directory, or a root as a whole."""

    kind: Literal["group", "table"]
    name: str
    nfiles: Count
    """Datasets below it."""
    size: Count
    """Their stored bytes."""
    mtime: Time
    attrs: Attributes | None
    """Null while the publisher is offline and they are not cached."""


Roots = dict[str, Root]
