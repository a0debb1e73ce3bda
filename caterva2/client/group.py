"""Group: a directory of a root."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Protocol

from caterva2.client.attributes import known
from caterva2.client.types import RemotePath
from caterva2.runtime.printable import printable

KINDS = ("group", "table")
"""The kinds of descriptions of directories."""


class GroupClient(Protocol):
    """The part of a client that directories use."""

    def get_info(self, path: RemotePath) -> dict[str, Any]: ...
    def get_list(self, path: RemotePath) -> list[str]: ...


def attributes(path: object, meta: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the attributes of a directory or root; none where the subscriber is an older one.

    Raises
    ------
    RootOffline
        If the subscriber does not know them now.
    """
    return known(path, meta.get("attrs", {}))


class Group:
    """A directory of a root, such as a group of an HDF5 file.

    Parameters
    ----------
    client : GroupClient
    path : str
        With the root.
    meta : dict
        As the subscriber returns it.

    Attributes
    ----------
    path : PurePosixPath
        With the root.
    root : str
    name : str
        Path relative to the root.
    """

    def __init__(self, client: GroupClient, path: str, meta: dict[str, Any]) -> None:
        self.path = PurePosixPath(path)
        self.root, _, self.name = path.partition("/")
        self._client = client
        self._meta = meta

    @property
    def meta(self) -> dict[str, Any]:
        """All metadata from the subscriber."""
        return self._meta

    @property
    def attrs(self) -> Mapping[str, Any]:
        """Typed attributes, read only."""
        return attributes(self.path, self._meta)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of a table's columns in their order; none where it is no table."""
        return tuple(self._meta.get("columns", ()))

    def list(self) -> list[str]:
        """Return the paths of all files below it, relative to it."""
        return self._client.get_list(self.path)

    def refresh(self) -> None:
        """Request the metadata again."""
        self._meta = self._client.get_info(self.path)

    def __repr__(self) -> str:
        return f"<Group: {printable(str(self.path))}>"
