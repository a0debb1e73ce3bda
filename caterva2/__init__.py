"""Caterva2: on-demand access to Blosc2 and HDF5 data repositories.

>>> import caterva2
>>> client = caterva2.Client("http://localhost:8002")
>>> client.get("foo/dir1/ds-2d.b2nd")[2:4, 5]
array([45, 65], dtype=uint16)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caterva2.version import __version__

if TYPE_CHECKING:
    from caterva2.client import (
        AsyncClient,
        AsyncContainer,
        AsyncDataset,
        AsyncExpression,
        AsyncFile,
        AsyncGroup,
        AsyncRoot,
        BadKey,
        BadName,
        BadRequest,
        BadSelection,
        CatervaError,
        Client,
        Container,
        Dataset,
        Expression,
        Field,
        File,
        Group,
        HttpError,
        LoginFailed,
        LoginNeeded,
        Missing,
        OfflineWarning,
        PreconditionFailed,
        Reference,
        Root,
        StaleVersion,
        Unreachable,
        Unreadable,
    )

__all__ = [
    "AsyncClient", "AsyncContainer", "AsyncDataset", "AsyncExpression", "AsyncFile", "AsyncGroup",
    "AsyncRoot", "BadKey", "BadName", "BadRequest", "BadSelection", "CatervaError", "Client",
    "Container", "Dataset", "Expression", "Field", "File", "Group", "HttpError", "LoginFailed",
    "LoginNeeded", "Missing", "OfflineWarning", "PreconditionFailed", "Reference", "Root",
    "StaleVersion", "Unreachable", "Unreadable", "__version__",
]  # fmt: skip


def __dir__() -> list[str]:
    """List the names of the package, those that are imported when they are used too."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> object:
    """Import the client when it is first used: services do not need it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from caterva2 import client

    return getattr(client, name)
