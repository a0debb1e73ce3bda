"""Group: a directory of a root, a mapping of the names right below it."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from caterva2.client.attributes import known
from caterva2.client.contract import GroupClient
from caterva2.client.display import Named, human
from caterva2.client.errors import Missing
from caterva2.client.exports import TableExports
from caterva2.client.groups import download, level, tables
from caterva2.client.groups.search import Attrs, Axes, Search
from caterva2.client.groups.tree import Tree
from caterva2.client.objects import Dataset, File
from caterva2.client.types import Progress
from caterva2.errors import BadRequest, CatervaError
from caterva2.runtime.printable import printable

if TYPE_CHECKING:
    import blosc2

KINDS = ("group", "table")
"""The kinds of descriptions of directories."""
LIMIT = 1000
"""Files of a tree, results of a search, and completions, unless more are asked for."""


class Directory(TableExports):
    """What a root and a directory of it have in common: trees, searches, transfers.

    Parameters
    ----------
    client : GroupClient
    place : str
        The path, with the root.
    """

    def __init__(self, client: GroupClient, place: str) -> None:
        self._client = client
        self._place = place

    def tree(self, limit: int = LIMIT) -> Tree:
        """Return the files below it by levels, with shapes and dtypes, in few requests.

        Parameters
        ----------
        limit : int
            Files that are shown, the first ones in the order of their paths.
        """
        notes: dict[str, str] = {}
        for page in level.pages(self._client.transport, self._place):
            for path, meta in page.items():
                if len(notes) >= _positive(limit):
                    return Tree(self._place, notes, more=True)
                notes[path] = _note(meta)
        return Tree(self._place, notes)

    def find(
        self, *, dtype: npt.DTypeLike | None = None, shape: Axes | None = None,
        ndim: int | None = None, name: str | None = None, attr: Attrs | None = None,
        limit: int = LIMIT,
    ) -> list[File | Dataset]:  # fmt: skip
        """Find files and datasets below it, a request for each thousand of them.

        Parameters
        ----------
        dtype : dtype, optional
        shape : int or sequence, optional
            In which None stands for any size: ``(None, 100)``.
        ndim : int, optional
        name : str, optional
            A pattern for the relative path, such as ``"*/t2m*"``: ``*`` includes slashes.
        attr : str or mapping, optional
            The name of an attribute, or values by names: ``{"units": "K"}``.
        limit : int
            Most results, the first ones in the order of their paths.

        Raises
        ------
        BadRequest
            If a criterion is of another type.
        """
        search, found = Search(dtype, shape, ndim, name, attr), list[File | Dataset]()
        for page in level.pages(self._client.transport, self._place):
            for path, meta in page.items():
                if search.fits(path, meta):
                    found.append(opened(self._client, f"{self._place}/{path}", meta))
                    if len(found) == _positive(limit):
                        return found
        return found

    def download(
        self, localpath: str | Path | None = None, progress: Progress | None = None
    ) -> Path:
        """Save all files below it, by default at its path below the current directory.

        Parameters
        ----------
        localpath : path, optional
            The local directory, which may exist.
        progress : callable, optional
            Called with the files that are saved and their number.
        """
        return download.download(self._client, self._place, localpath, progress)

    def prefetch(self) -> dict[str, Any]:
        """Start to fetch all of it into the subscriber's cache, as `Client.prefetch` does."""
        return self._client.prefetch(self._place)

    def _ipython_key_completions_(self) -> list[str]:
        """Return names to complete a key by: all paths if they are few, else one level."""
        try:
            listing = self._client.get_list(self._place)
        except CatervaError:
            return []
        names = dict.fromkeys((*level.names(listing), *(listing if len(listing) < LIMIT else ())))
        return list(names)[:LIMIT]

    def _repr_html_(self) -> str:
        return tables.of_directory(self._client, type(self).__name__, self._place)


class Group(Directory, Named, Mapping[str, "Group | File | Dataset"]):
    """A directory of a root, such as a group of an HDF5 file; a mapping of one level of it.

    Its keys are the names of directories and files right below it. A deeper path opens what it
    names, too, and is in it.

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
        for name, meta in level.described(self._client.transport, self._place, listing):
            path = f"{self._place}/{name}"
            if meta is None:
                yield name, Group(self._client, path)
            else:
                yield name, opened(self._client, path, meta)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Group):
            return NotImplemented
        return (self._client.urlbase, self.path) == (other._client.urlbase, other.path)

    def __hash__(self) -> int:
        return hash((self._client.urlbase, self.path))

    def __repr__(self) -> str:
        return f"<Group: {printable(str(self.path))}>"

    def list(self) -> list[str]:
        """Return the paths of all files below it, relative to it."""
        return self._client.get_list(self.path)


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

    _mapping: Group

    def __iter__(self) -> Iterator[tuple[str, Group | File | Dataset]]:
        return self._mapping._open_all()


class _Values(ValuesView["Group | File | Dataset"]):
    """Objects of a level, opened together when they are iterated over."""

    _mapping: Group

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


def opened(client: GroupClient, path: str, meta: dict[str, Any]) -> File | Dataset:
    """Return the object of a file's description."""
    if "error" in meta:
        return Unreadable(client, path, meta)
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


def _positive(limit: int) -> int:
    if limit < 1:
        raise BadRequest(f"limit is {limit}, it has to be 1 at least")
    return limit


def _note(meta: Mapping[str, Any]) -> str:
    """Return what a tree shows of a file."""
    if "error" in meta:
        return "(unreadable)"
    if "shape" in meta:
        return f"{tuple(meta['shape'])} {meta['dtype']}"
    return human(int(meta["nbytes"]))
