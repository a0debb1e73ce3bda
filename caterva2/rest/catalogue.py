"""Roots and directories."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from caterva2.rest.attributes import Attributes
from caterva2.rest.datasets import Member, TableParts
from caterva2.rest.shapes import Count, Time, closed


@closed
class Way(TypedDict):
    """How the data of a root comes to this subscriber."""

    origin: Literal["up", "away"]
    """Whether the publisher can be reached by anything on the way."""
    hops: Count
    """Mirrors on the way."""
    path: list[str]
    """Their names, in the order in which data passes them."""
    via: str
    """``HOST:PORT`` of the last one, or of the publisher; empty if none is used."""
    as_of: Time | None
    """When the publisher was last in step with what is read here; null if that is not known."""


@closed
class RootDetail(TypedDict):
    """Number of datasets, sizes and state of a root."""

    datasets: Count
    size: Count
    """Their stored bytes at the publisher."""
    cached: Count
    """Bytes that this subscriber has of them; they may be those of some seconds ago."""
    state: Literal["live", "stale", "offline"]
    """Whether all changes are followed, or are not, or the root is not published now."""
    heard: Time | None
    """When its publisher was last heard; null before the first time since the start."""
    way: Way | None
    """Null of special roots."""


@closed
class Root(TypedDict):
    """A root."""

    name: str
    http: str
    """The publisher's ``HOST:PORT``, empty when it is offline."""
    subscribed: Literal[True] | None
    offline: NotRequired[Literal[True]]
    """The root is not published now."""
    detail: NotRequired[RootDetail | None]
    """What is known of it as a whole, where that was asked for; null before its first catalog."""


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


@closed
class Listed(TypedDict):
    """A dataset, or a directory with all that lies below it, as a list shows it."""

    kind: Literal["array", "frame", "file", "group"]
    size: Count
    """Stored bytes at the publisher."""
    mtime: Time
    etag: NotRequired[str]
    """The version of a dataset."""


@closed
class Level(TypedDict):
    """The members of a root or directory, without those of directories in it."""

    own: Listed | None
    """The dataset that has this path; null where it is only a directory."""
    entries: dict[str, Listed]
    """By their names. What a file holds, such as an HDF5 file, are not members of its directory."""


@closed
class Found(TypedDict):
    """The datasets that a search found."""

    found: dict[str, Member]
    """By ``ROOT/PATH``, in order."""
    total: Count | None
    """Number of all that fit in the roots that were searched; null while some are not known."""
    unknown: Count
    """Datasets of which it is not known yet whether they fit: ask again later."""
    describing: bool
    """Whether these are described in the meantime."""
    skipped: list[str]
    """Roots that were not searched, since they are not subscribed to or not available now."""
    more: bool
    """Whether others follow."""
    after: str | None
    """The parameter ``after`` of the next page; null on the last one."""


Roots = dict[str, Root]
