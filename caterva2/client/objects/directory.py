"""Directory: what handles of roots and of their directories have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy.typing as npt

from caterva2.client.contract import GroupClient
from caterva2.client.display import human
from caterva2.client.exports import TableExports
from caterva2.client.groups import download, level, tables
from caterva2.client.groups.search import Attrs, Axes, Search
from caterva2.client.groups.tree import Tree
from caterva2.client.types import Progress
from caterva2.errors import BadRequest, CatervaError

F = TypeVar("F", covariant=True)
LIMIT = 1000
"""Files of a tree, results of a search, and completions, unless more are asked for."""


class Directory(TableExports, Generic[F]):
    """What a root and a directory of it have in common: trees, searches, transfers.

    Parameters
    ----------
    client : GroupClient
    place : str
        The path, with the root.
    """

    _opened: Callable[[str, dict[str, Any]], F]
    """Makes the object of a file from its path and description."""

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
    ) -> list[F]:  # fmt: skip
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
        search, found = Search(dtype, shape, ndim, name, attr), list[F]()
        for page in level.pages(self._client.transport, self._place):
            for path, meta in page.items():
                if search.fits(path, meta):
                    found.append(self._opened(f"{self._place}/{path}", meta))
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

    def take(
        self, key: Any = None, *, to: str | Path | None = None, progress: Progress | None = None
    ) -> Any:
        """Take all of it into the client's cache, or as files, as `Client.take` does."""
        return self._client.take(self._place, key, to=to, progress=progress)

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
