"""Where the providers of a root are, as a broker announces them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from caterva2.model import RootInfo
from caterva2.subscriber.publishers.choice import Provider
from caterva2.subscriber.publishers.preferences import ANY, Preferences

PUBLISHER = ""
"""Name of the publisher among the providers."""


def address(endpoint: str) -> str:
    """Return ``HOST:PORT`` of an endpoint."""
    return endpoint.partition("://")[2]


def found(
    where: RootInfo | None, preferences: Preferences = ANY, own: str = "", *, beside: bool = True
) -> dict[str, RootInfo]:
    """Return where each provider is by its name; no two of them are at one place.

    Parameters
    ----------
    where : RootInfo or None
    preferences : Preferences
    own : str
        Name by which this subscriber serves the root itself. It takes the root from no mirror that
        takes it from here.
    beside : bool
        Whether that is announced at the same broker. Of two mirrors there that are not preferred,
        only one takes the root from the other: that of the higher name.
    """
    if where is None:
        return {}
    places = {} if where.away else {PUBLISHER: where}
    taken = {one.endpoints[0] for one in places.values()}
    for mirror in where.mirrors:
        name = mirror.mirror
        if own and own in (name, *mirror.path):
            continue
        if own and beside and name > own and not preferences.name(mirror):
            continue
        if mirror.endpoint not in taken and name not in places:
            taken.add(mirror.endpoint)
            at = {"endpoints": (mirror.endpoint,), "curve_key": mirror.curve_key, "mirrors": ()}
            places[name] = where.model_copy(update=at)
    return places


def described(
    where: RootInfo | None, places: Mapping[str, RootInfo], preferences: Preferences
) -> Iterator[Provider]:
    """Describe providers for the choice among them."""
    infos = {one.mirror: one for one in where.mirrors} if where else {}
    for name, place in places.items():
        at, info = address(place.endpoints[0]), infos.get(name)
        hops, load = (len(info.path) + 1, info.load) if info else (0, 0)
        yield Provider(name, at, hops, preferences.rank(name or place.mirror, at), load)
