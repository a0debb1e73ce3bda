"""Events, as JSON in ``data`` of the server-sent events."""

from __future__ import annotations

from typing import Final, Literal

from typing_extensions import TypedDict

from caterva2 import model
from caterva2.rest.shapes import Count, closed


@closed
class RootEvent(TypedDict):
    """A root was published, has moved, is read by another way, or went offline."""

    root: str
    state: Literal["up", "offline"]
    http: str
    origin: Literal["up", "away"]
    """Whether its publisher can be reached; if not, mirrors may serve it."""
    hops: Count
    """Mirrors that its data passes."""


@closed
class ChangeEvent(TypedDict):
    """A dataset has a new version, or was removed; then its etag is empty."""

    root: str
    path: str
    op: Literal["put", "delete"]
    etag: str


@closed
class LostEvent(TypedDict):
    """Events of this root, and maybe of others, were dropped: read the state anew."""

    root: str


NAMES: Final[dict[type, str]] = {
    model.RootEvent: "roots",
    model.ChangeEvent: "change",
    model.Lost: "lost",
}
"""Names of the events in the stream, by the classes of the model."""
