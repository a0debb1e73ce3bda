"""The Python client of a subscriber."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from caterva2.client.async_client import AsyncClient
    from caterva2.client.async_objects import AsyncDataset, AsyncFile, AsyncRoot
    from caterva2.client.client import Client
    from caterva2.client.errors import BadKey, HttpError, LoginFailed, Missing, Unreachable
    from caterva2.client.objects import Dataset, Field, File
    from caterva2.client.root import Root
    from caterva2.errors import CatervaError

_HOMES = {
    "async_client": ("AsyncClient",),
    "async_objects": ("AsyncDataset", "AsyncFile", "AsyncRoot"),
    "client": ("Client",),
    "errors": ("BadKey", "CatervaError", "HttpError", "LoginFailed", "Missing", "Unreachable"),
    "objects": ("Dataset", "Field", "File"),
    "root": ("Root",),
}
__all__ = [
    "AsyncClient", "AsyncDataset", "AsyncFile", "AsyncRoot", "BadKey", "CatervaError", "Client",
    "Dataset", "Field", "File", "HttpError", "LoginFailed", "Missing", "Root", "Unreachable",
]  # fmt: skip


def __getattr__(name: str) -> object:
    """Import a name when it is first used: a catalogue and its errors need no numpy."""
    home = next((module for module, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
