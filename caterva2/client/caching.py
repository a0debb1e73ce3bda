"""Caching: the client's own cache, which is loaded only where one is asked for."""

from __future__ import annotations

import os

from caterva2.client.transport import Transport

CACHE = "CATERVA2_CACHE"
"""The cache of the environment: a directory, or ``1`` for the user's own."""
Cache = bool | str | os.PathLike[str] | None
_OFF, _ON = ("", "0"), "1"


def cached(transport: Transport, cache: Cache, quota: str | int | None, follow: bool) -> Transport:
    """Return a transport with a cache, if one is asked for, here or by the environment."""
    if cache is None:
        named = os.environ.get(CACHE, "")
        cache = False if named in _OFF else True if named == _ON else named
    if cache is False:
        return transport
    from caterva2.depot import opening

    return opening.over(transport, cache, quota, follow)
