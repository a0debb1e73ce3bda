"""The Python client of a subscriber."""

from __future__ import annotations

from caterva2.client.asynchronous import AsyncClient, AsyncDataset, AsyncFile, AsyncRoot
from caterva2.client.client import Client
from caterva2.client.connections import Unreachable
from caterva2.client.objects import Dataset, Field, File, Root
from caterva2.client.transport import BadKey, HttpError, LoginFailed, Missing
from caterva2.errors import CatervaError

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
