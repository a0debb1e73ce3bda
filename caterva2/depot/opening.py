"""Opening of a cache for a client."""

from __future__ import annotations

import os

from caterva2.client.transport import Transport
from caterva2.config.sizes import parse_size
from caterva2.depot import place
from caterva2.depot.transport import CachingTransport
from caterva2.errors import BadRequest, ConfigError

QUOTA = "20GB"


def over(
    transport: Transport, cache: bool | str | os.PathLike[str], quota: str | int | None,
    follow: bool,
) -> CachingTransport:  # fmt: skip
    """Give a transport a cache.

    Raises
    ------
    BadRequest
        If the quota is no size, or the directory can't be used.
    """
    directory = place.directory_of(cache)
    try:
        nbytes = quota if isinstance(quota, int) else parse_size(QUOTA if quota is None else quota)
        if nbytes < 0:
            raise BadRequest(f"cache_quota is {nbytes}, it can't be negative")
        return CachingTransport(transport, directory, nbytes, follow)
    except ConfigError as error:
        raise BadRequest(f"cache_quota: {error}") from None
    except OSError as error:
        raise BadRequest(f"the cache {directory} can't be used: {error}") from None
