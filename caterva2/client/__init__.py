"""The Python client of a subscriber."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from caterva2.arrays.attributes import Reference
    from caterva2.client.async_client import AsyncClient
    from caterva2.client.awaited.directories import AsyncContainer, AsyncGroup, AsyncRoot
    from caterva2.client.awaited.objects import AsyncDataset, AsyncFile
    from caterva2.client.client import Client
    from caterva2.client.errors import (
        BadKey,
        HttpError,
        LoginFailed,
        Missing,
        OfflineWarning,
        PreconditionFailed,
        Unreachable,
    )
    from caterva2.client.lazy.expression import AsyncExpression, Expression
    from caterva2.client.objects.dataset import Dataset, Field
    from caterva2.client.objects.file import File
    from caterva2.client.objects.group import Container, Group, Unreadable
    from caterva2.client.objects.root import Root
    from caterva2.errors import (
        BadName,
        BadRequest,
        BadSelection,
        CatervaError,
        LoginNeeded,
        StaleVersion,
    )

_HOMES = {
    "arrays.attributes": ("Reference",),
    "client.async_client": ("AsyncClient",),
    "client.awaited.directories": ("AsyncContainer", "AsyncGroup", "AsyncRoot"),
    "client.awaited.objects": ("AsyncDataset", "AsyncFile"),
    "client.client": ("Client",),
    "client.errors": (
        "BadKey", "HttpError", "LoginFailed", "Missing", "OfflineWarning", "PreconditionFailed",
        "Unreachable",
    ),
    "client.lazy.expression": ("AsyncExpression", "Expression"),
    "client.objects.dataset": ("Dataset", "Field"),
    "client.objects.file": ("File",),
    "client.objects.group": ("Container", "Group", "Unreadable"),
    "client.objects.root": ("Root",),
    "errors": (
        "BadName", "BadRequest", "BadSelection", "CatervaError", "LoginNeeded", "StaleVersion",
    ),
}  # fmt: skip
__all__ = [
    "AsyncClient", "AsyncContainer", "AsyncDataset", "AsyncExpression", "AsyncFile", "AsyncGroup",
    "AsyncRoot", "BadKey", "BadName", "BadRequest", "BadSelection", "CatervaError", "Client",
    "Container", "Dataset", "Expression", "Field", "File", "Group", "HttpError", "LoginFailed",
    "LoginNeeded", "Missing", "OfflineWarning", "PreconditionFailed", "Reference", "Root",
    "StaleVersion", "Unreachable", "Unreadable",
]  # fmt: skip


def __dir__() -> list[str]:
    """List the names of the package, those that are imported when they are used too."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> object:
    """Import a name when it is first used: a catalogue and its errors need no numpy."""
    home = next((module for module, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"caterva2.{home}"), name)
