"""Root: a mapping from paths to the files and datasets of a root."""

from __future__ import annotations

import os
from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from pathlib import Path
from typing import Any

from caterva2.client.contract import RootClient
from caterva2.client.objects.dataset import Dataset
from caterva2.client.objects.directory import Directory
from caterva2.client.objects.file import File
from caterva2.client.objects.group import (
    Group,
    attributes,
    is_among,
    open_below,
    opened,
)
from caterva2.client.types import Progress
from caterva2.errors import BadName
from caterva2.names import containers
from caterva2.runtime.printable import printable


class Root(Directory["File | Dataset"], Mapping[str, "Group | File | Dataset"]):
    """A root: a mapping from relative paths to its files and datasets, of all levels.

    A directory is opened by its path too, and is in it, but is not among the keys.

    Attributes
    ----------
    name : str
    urlbase : str
    """

    def __init__(self, client: RootClient, name: str) -> None:
        super().__init__(client, name)
        self._client: RootClient = client
        self.name = name
        self.urlbase = client.urlbase

    def _opened(self, path: str, meta: dict[str, Any]) -> File | Dataset:
        return opened(self._client, path, meta)

    @property
    def file_list(self) -> list[str]:
        """Relative paths of all files, requested anew each time."""
        return self._client.get_list(self.name)

    def __getitem__(self, path: str) -> Group | File | Dataset:
        """Open a file, dataset or directory by its path."""
        return open_below(self._client, self.name, path)

    @property
    def attrs(self) -> Mapping[str, Any]:
        """Typed attributes, read only, such as those of an HDF5 file; requested anew each time."""
        return attributes(self.name, self._client.get_info(self.name))

    def items(self) -> ItemsView[str, File | Dataset]:
        """Open all files and datasets, with their paths, in few requests.

        One whose metadata can't be read is an `Unreadable`, which raises when it is read.
        """
        return _Items(self)  # type: ignore[arg-type]  # its keys are those of files

    def values(self) -> ValuesView[File | Dataset]:
        """Open all files and datasets in few requests."""
        return _Values(self)  # type: ignore[arg-type]

    def _open_all(self) -> Iterator[tuple[str, File | Dataset]]:
        members = self._client.get_members(self.name)
        holding = containers(members.keys())
        for path, meta in members.items():
            holds = path in holding
            yield path, opened(self._client, f"{self.name}/{path}", meta, holds=holds)

    def upload(
        self, localpath: str | os.PathLike[str], path: str | None = None,
        progress: Progress | None = None,
    ) -> File | Dataset:  # fmt: skip
        """Put a file into this root, which must be a special one, and open it.

        Parameters
        ----------
        localpath : path
        path : str, optional
            In this root; by default the name of the local file.
        progress : callable, optional
            Called with the bytes sent and, if known, the bytes in total.
        """
        remote = f"{self.name}/{Path(localpath).name if path is None else path}"
        return open_file(self._client, str(self._client.upload(localpath, remote, progress)))

    def __contains__(self, path: object) -> bool:
        return is_among(path, self.file_list)

    def __iter__(self) -> Iterator[str]:
        return iter(self.file_list)

    def __len__(self) -> int:
        return len(self.file_list)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Root):
            return NotImplemented
        return (self.urlbase, self.name) == (other.urlbase, other.name)

    def __hash__(self) -> int:
        return hash((self.urlbase, self.name))

    def __repr__(self) -> str:
        return f"<Root: {printable(self.name)}>"


class _Items(ItemsView[str, "File | Dataset"]):
    """The paths and objects of a root, opened together when they are iterated over."""

    _mapping: Root

    def __iter__(self) -> Iterator[tuple[str, File | Dataset]]:
        return self._mapping._open_all()


class _Values(ValuesView["File | Dataset"]):
    """The objects of a root, opened together when they are iterated over."""

    _mapping: Root

    def __iter__(self) -> Iterator[File | Dataset]:
        return (found for _, found in self._mapping._open_all())


def open_path(client: RootClient, path: str) -> Root | Group | File | Dataset:
    """Open a root by its name, or a directory, file or dataset by its path."""
    if "/" not in path:
        client.subscribe(path)
        return Root(client, path)
    return open_below(client, *path.split("/", 1))


def open_file(client: RootClient, path: str) -> File | Dataset:
    """Open a file or dataset by its path."""
    found = open_path(client, path)
    if isinstance(found, Root | Group):
        what = "root" if isinstance(found, Root) else "directory"
        raise BadName(f"{path} is a {what}: name a file in it")
    return found
