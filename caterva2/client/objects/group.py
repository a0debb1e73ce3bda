"""Group and Container: directories, and files that hold datasets, as mappings of one level."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from caterva2.client.attributes import known
from caterva2.client.contract import GroupClient
from caterva2.client.display import Named
from caterva2.client.errors import Missing
from caterva2.client.groups import level, tables
from caterva2.client.objects.dataset import Dataset
from caterva2.client.objects.directory import Directory
from caterva2.client.objects.file import File
from caterva2.client.types import Progress
from caterva2.runtime.printable import printable

if TYPE_CHECKING:
    import blosc2

KINDS = ("group", "table")
"""The kinds of descriptions of directories."""


class OneLevel(Directory["File | Dataset"], Mapping[str, "Group | File | Dataset"]):
    """A mapping of one level of a directory.

    Its keys are the names of directories and files right below it. A deeper path opens what it
    names, too, and is in it.
    """

    def _opened(self, path: str, meta: dict[str, Any]) -> File | Dataset:
        return opened(self._client, path, meta)

    def __getitem__(self, path: str) -> Group | File | Dataset:
        """Open a name, or a path relative to it."""
        return open_below(self._client, self._place, path)

    def __iter__(self) -> Iterator[str]:
        return iter(level.names(self.list()))

    def __len__(self) -> int:
        return len(level.names(self.list()))

    def __contains__(self, path: object) -> bool:
        return is_among(path, self.list())

    def items(self) -> ItemsView[str, Group | File | Dataset]:
        """Open all names of the level, with these, in few requests."""
        return _Items(self)

    def values(self) -> ValuesView[Group | File | Dataset]:
        """Open all names of the level in few requests."""
        return _Values(self)

    def _open_all(self) -> Iterator[tuple[str, Group | File | Dataset]]:
        listing = self._client.get_list(self._place)
        below = level.names(listing)
        for name, meta in level.described(self._client.transport, self._place, listing):
            path = f"{self._place}/{name}"
            if meta is None:
                yield name, Group(self._client, path)
            else:
                yield name, opened(self._client, path, meta, holds=below[name] > 0)

    def list(self) -> list[str]:
        """Return the paths of all files below it, relative to it."""
        return self._client.get_list(self._place)


class Group(OneLevel, Named):
    """A directory of a root, such as a group of an HDF5 file; a mapping of one level of it.

    Parameters
    ----------
    client : GroupClient
    path : str
        With the root.
    meta : dict, optional
        As the subscriber returns it; requested when it is needed if it is not given.

    Attributes
    ----------
    path : PurePosixPath
        With the root.
    root : str
    name : str
        Path relative to the root.
    """

    def __init__(self, client: GroupClient, path: str, meta: dict[str, Any] | None = None) -> None:
        Directory.__init__(self, client, path)
        Named.__init__(self, path, meta or {})

    @property
    def meta(self) -> dict[str, Any]:
        """All metadata from the subscriber."""
        if not self._meta:
            self.refresh()
        return self._meta

    @property
    def is_described(self) -> bool:
        """Whether its metadata are known, so that neither they nor `attrs` take a request."""
        return bool(self._meta)

    @property
    def attrs(self) -> Mapping[str, Any]:
        """Typed attributes, read only."""
        return attributes(self.path, self.meta)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of a table's columns in their order; none where it is no table."""
        return tuple(self.meta.get("columns", ()))

    def refresh(self) -> None:
        """Request the metadata again."""
        self._meta = self._client.get_info(self.path)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Group):
            return NotImplemented
        return (self._client.urlbase, self.path) == (other._client.urlbase, other.path)

    def __hash__(self) -> int:
        return hash((self._client.urlbase, self.path))

    def __repr__(self) -> str:
        return f"<Group: {printable(str(self.path))}>"


class Container(OneLevel, File):
    """A file that holds datasets, such as an HDF5 file: a mapping of them, and a file.

    Names open what is in it, as in a `Group`, and its length is that of the mapping. Any other key
    gives bytes of the file; `fetch`, `slice`, `download`, `prefetch`, `nbytes` and `meta` are the
    file's.
    """

    _client: GroupClient

    def __init__(
        self, client: GroupClient, path: str, meta: dict[str, Any], *, pinned: bool = False
    ) -> None:
        Directory.__init__(self, client, path)
        File.__init__(self, client, path, meta, pinned=pinned)

    def __getitem__(self, key: Any) -> Any:
        """Open a name, or a path relative to it; or read the bytes of a slice."""
        if isinstance(key, str):
            return OneLevel.__getitem__(self, key)
        return File.__getitem__(self, key)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Container):
            return NotImplemented
        return (self.urlbase, self.path) == (other.urlbase, other.path)

    def __hash__(self) -> int:
        return hash((self.urlbase, self.path))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of a table's columns in their order; none where it is no table."""
        return tuple(self.meta.get("columns", ()))

    def download(  # type: ignore[override]
        self, localpath: str | Path | BinaryIO | None = None, progress: Progress | None = None,
        *, key: Any = None,
    ) -> Path | None:  # fmt: skip
        """Save the file, by default as ``ROOT/PATH`` below the current directory."""
        return File.download(self, localpath, progress, key=key)

    def prefetch(self, key: Any = None) -> dict[str, Any]:
        """Start to fetch the file and what is in it, or a part of the file."""
        return File.prefetch(self, key)

    def __repr__(self) -> str:
        return f"<Container: {printable(str(self.path))}>"

    def _repr_html_(self) -> str:
        return tables.of_directory(self._client, "Container", self._place)


class Unreadable(File):
    """A file or dataset whose metadata can't be read, such as a damaged one.

    ``meta["error"]`` says why. Its size and attributes raise that error. Reading it opens the
    path again: it raises the error of now, or gives the values if the file has been replaced.
    """

    _client: GroupClient

    def __getitem__(self, key: Any) -> Any:
        """Read the values of a slice of the file that is there now."""
        return self._now()[key]

    def slice(self, slice_: Any = None) -> blosc2.NDArray | blosc2.SChunk:
        """Read a slice of the file that is there now as a Blosc2 object."""
        return self._now().slice(slice_)

    def _now(self) -> File | Dataset:
        return opened(self._client, str(self.path), self._client.get_info(self.path))


class _Items(ItemsView[str, "Group | File | Dataset"]):
    """Names and objects of a level, opened together when they are iterated over."""

    _mapping: OneLevel

    def __iter__(self) -> Iterator[tuple[str, Group | File | Dataset]]:
        return self._mapping._open_all()


class _Values(ValuesView["Group | File | Dataset"]):
    """Objects of a level, opened together when they are iterated over."""

    _mapping: OneLevel

    def __iter__(self) -> Iterator[Group | File | Dataset]:
        return (found for _, found in self._mapping._open_all())


def attributes(path: object, meta: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the attributes of a directory or root; none where the subscriber is an older one.

    Raises
    ------
    RootOffline
        If the subscriber does not know them now.
    """
    return known(path, meta.get("attrs", {}))


def opened(
    client: GroupClient, path: str, meta: dict[str, Any], *, holds: bool = False
) -> File | Dataset:
    """Return the object of a file's description, which may say that the file holds datasets."""
    if "error" in meta:
        return Unreadable(client, path, meta)
    if holds or meta.get("nfiles"):
        return Container(client, path, meta)
    return (Dataset if "shape" in meta else File)(client, path, meta)


def open_below(client: GroupClient, place: str, path: str) -> Group | File | Dataset:
    """Open a directory, file or dataset by its path below a root or directory.

    Raises
    ------
    Missing
        If it does not exist.
    """
    if not isinstance(path, str) or not path.strip("/"):
        raise Missing(404, "Not Found", f"{path!r} names nothing in {place}", "not-found")
    full = f"{place}/{path.strip('/')}"
    meta = client.get_info(full)
    if meta.get("kind") in KINDS:
        return Group(client, full, meta)
    return opened(client, full, meta)


def is_among(path: object, listing: list[str]) -> bool:
    """Return whether a path is that of a file of a list, or of a directory above one."""
    if not isinstance(path, str) or not path:
        return False
    return any(path == one or one.startswith(f"{path}/") for one in listing)
