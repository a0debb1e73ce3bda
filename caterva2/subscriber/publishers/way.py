"""The way of a root: by which mirrors its data comes, and as of when. Pure."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from caterva2.model import Way
from caterva2.subscriber.publishers.providers import Providers

State = Literal["used", "ready", "avoided", "away"]


@dataclass(frozen=True, slots=True)
class Standing:
    """A provider as its operators see it.

    Parameters
    ----------
    name : str
        ``publisher``, or that of the mirror.
    place : str
        ``HOST:PORT``.
    hops : int
    state : str
        Whether it is used, could be, is avoided since it failed, or does not answer.
    trip : float or None
        Its round trip in seconds; None before it was measured.
    """

    name: str
    place: str
    hops: int
    state: State
    trip: float | None


def of(providers: Providers, heard: float | None) -> Way:
    """Return the way of a root whose provider was heard at a time in seconds since 1970."""
    name, where = providers.current, providers.where
    one = providers.choice.providers.get(name) if name is not None else None
    via = one.place if one else ""
    away = is_origin_away(providers)
    if name is None or where is None or not providers.is_mirror(name):
        return Way("away" if away else "up", (), via, heard)
    hello = providers.hellos.get(name)
    origin = hello.origin if hello else None
    path = origin.path if origin else (*_path(providers, name), name or where.mirror)
    as_of = origin.as_of if origin and away else heard
    return Way("away" if away else "up", path, via, as_of)


def is_origin_away(providers: Providers) -> bool:
    """Return whether the publisher can't be reached by anything on the way of its data."""
    name, where = providers.current, providers.where
    if where is None or where.away or providers.offline:
        return True
    hello = providers.hellos.get(name) if name is not None and providers.is_mirror(name) else None
    return hello is not None and hello.origin is not None and hello.origin.away


def _path(providers: Providers, name: str) -> tuple[str, ...]:
    mirrors = providers.where.mirrors if providers.where else ()
    return next((one.path for one in mirrors if one.mirror == name), ())


def standings(providers: Providers) -> Iterator[Standing]:
    """Yield all providers of a root."""
    now = time.monotonic()
    for name, one in list(providers.choice.providers.items()):
        trip = providers.choice.trips.of(one.place)
        state: State = "used" if name == providers.current else "ready"
        if providers.is_gone(name):
            state = "away"
        elif providers.choice.is_avoided(name, now):
            state = "avoided"
        shown = None if math.isinf(trip) else trip
        yield Standing(name or "publisher", one.place, one.hops, state, shown)
