"""The Python client of a subscriber."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from caterva2.client.asynchronous import AsyncClient, AsyncDataset, AsyncFile, AsyncRoot
    from caterva2.client.client import Client
    from caterva2.client.http.connections import Unreachable
    from caterva2.client.http.transport import BadKey, HttpError, LoginFailed, Missing
    from caterva2.client.objects import Dataset, Field, File, Root
    from caterva2.errors import CatervaError

_HOMES = {
    "asynchronous": ("AsyncClient", "AsyncDataset", "AsyncFile", "AsyncRoot"),
    "client": ("Client",),
    "http.connections": ("Unreachable",),
    "objects": ("Dataset", "Field", "File", "Root"),
    "http.transport": ("BadKey", "CatervaError", "HttpError", "LoginFailed", "Missing"),
}
__all__ = [
    "AsyncClient",
    "AsyncDataset",
    "AsyncFile",
    "AsyncRoot",
    "BadKey",
    "CatervaError",
    "Client",
    "Dataset",
    "Field",
    "File",
    "HttpError",
    "LoginFailed",
    "Missing",
    "Root",
    "Unreachable",
]


def __getattr__(name: str) -> object:
    """Import what is asked for: a catalogue and its errors need no numpy."""
    home = next((module for module, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
