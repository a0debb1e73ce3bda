"""Caching: the client's own cache, which is loaded only where one is asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caterva2.client.transport import Transport
from caterva2.client.types import Deletion, Progress

if TYPE_CHECKING:
    from caterva2.depot.taking import Report as Report

CACHE = "CATERVA2_CACHE"
"""The cache of the environment: a directory, or ``1`` for the user's own."""
Cache = bool | str | os.PathLike[str] | None
_OFF, _ON = ("", "0"), "1"


def cached(transport: Transport, cache: Cache, quota: str | int | None, follow: bool) -> Transport:
    """Return a transport with a cache, if one is asked for, here or by the environment."""
    if cache is None:
        cache = of_environment()
    if cache is False:
        return transport
    from caterva2.depot import opening

    return opening.over(transport, cache, quota, follow)


def of_environment() -> bool | str:
    """Return the cache of the environment; False if it has none."""
    named = os.environ.get(CACHE, "")
    return False if named in _OFF else True if named == _ON else named


def take(
    client: Any, path: str, key: Any, to: str | Path | None, progress: Progress | None
) -> Report:
    """Take a dataset, a part of it, a directory or a root into the cache, or as files."""
    from caterva2.depot import taking, targets

    return taking.take(client, targets.target_of(client, to), path, taking.text_of(key), progress)


def sync(
    client: Any, to: str | Path | None, delete: Deletion, progress: Progress | None
) -> Report:  # fmt: skip
    """Bring what was taken in step."""
    from caterva2.depot import taking, targets

    return taking.sync(client, targets.target_of(client, to), delete=delete, progress=progress)
