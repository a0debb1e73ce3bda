"""A subscriber, seen from Python."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, overload

import blosc2

from caterva2.arrays import selection
from caterva2.client.arranging import RemotePath
from caterva2.client.catalogue import Catalogue
from caterva2.client.http.transport import HttpError
from caterva2.client.objects import VERSION_TRIES, Dataset, File, Root
from caterva2.client.read import download as downloading
from caterva2.client.read import values
from caterva2.client.read.download import Progress
from caterva2.client.writing import Writing
from caterva2.errors import BadName, BadSelection, StaleVersion


class Client(Catalogue, Writing):
    """Access to the roots of a subscriber; usable from several threads, and after a fork.

    Parameters
    ----------
    urlbase : str, optional
        The subscriber; by default ``CATERVA2_URL`` of the environment, or this machine's.
        ``unix:/PATH`` is a Unix socket.
    auth : tuple of str, optional
        Name and password. The client logs in when it first asks for something, and again when
        its session is over.
    timeout : float
        Seconds without any byte after which a request fails.

    Examples
    --------
    >>> client = caterva2.Client("http://localhost:8002")
    >>> client.get("foo/dir1/ds-2d.b2nd")[2:4, 5]
    array([45, 65], dtype=uint16)
    """

    def get(self, path: RemotePath) -> Root | File | Dataset:
        """A root by its name, or a file or dataset by its path.

        Raises
        ------
        Missing
            If there is no such thing.
        BadName
            If it is a directory.
        """
        text = str(path).strip("/")
        if "/" not in text:
            self.subscribe(text)
            return Root(self, text)
        meta = self.get_info(text)
        if meta.get("kind") == "group":
            raise BadName(f"{text} is a directory: name a file in it")
        return (Dataset if "shape" in meta else File)(self, text, meta)

    # --- data ---

    def fetch(self, path: RemotePath, slice_: Any = None) -> Any:
        """Values of a slice: a numpy array, or bytes of a file.

        Parameters
        ----------
        path : str
        slice_ : numpy key, optional
            None is everything. Integers, slices and ``...`` take a single request.
        """
        try:
            found = self._unseen(str(path), slice_)
        except (BadSelection, TypeError, HttpError) as error:
            if not _needs_geometry(error, slice_):
                raise
            return self._open(path)[slice_]
        if isinstance(found, bytes) or found.shape or _has_ellipsis(slice_):
            return found
        return found[()]  # a scalar, as numpy gives it

    def slice(self, path: RemotePath, slice_: Any = None) -> blosc2.NDArray | blosc2.SChunk:
        """A slice as a Blosc2 object: an NDArray, or an SChunk of a file's bytes."""
        try:
            return self._frame(path, slice_)
        except (BadSelection, TypeError, HttpError) as error:
            if not _needs_geometry(error, slice_):
                raise
            return self._open(path).slice(slice_)

    def get_chunk(self, path: RemotePath, nchunk: int) -> bytes:
        """Raw chunk ``nchunk``, compressed as it is stored."""
        query = {"nchunk": str(nchunk)}
        return bytes(self._transport.request("GET", f"api/chunk/{path}", query).body)

    @overload
    def download(
        self,
        path: RemotePath,
        localpath: str | Path | None = None,
        progress: Progress | None = None,
    ) -> Path: ...

    @overload
    def download(
        self, path: RemotePath, localpath: BinaryIO, progress: Progress | None = None
    ) -> None: ...

    @overload
    def download(
        self,
        path: RemotePath,
        localpath: str | Path | BinaryIO | None,
        progress: Progress | None = None,
    ) -> Path | None: ...

    def download(
        self,
        path: RemotePath,
        localpath: str | Path | BinaryIO | None = None,
        progress: Progress | None = None,
    ) -> Path | None:
        """Save a whole file or dataset.

        A download that broke off is resumed by the next one to the same place.

        Parameters
        ----------
        path : str
        localpath : path or binary file, optional
            A file, or a directory to put it into; ``ROOT/PATH`` below the current directory
            by default. Into an open file it is written as it comes.
        progress : callable, optional
            Called as bytes come, with their number and that of all, if it is known.

        Returns
        -------
        Path or None
            Where it is now; it appears there only when it is complete and was verified.
        """
        if "/" not in str(path).strip("/"):
            raise BadName(f"{path} is a root: name a file in it")
        told = progress or _silent
        if localpath is not None and not isinstance(localpath, str | os.PathLike):
            downloading.pour(self._transport, str(path), localpath.write, told)
            return None
        target = _local_target(PurePosixPath(path), localpath)
        downloading.save(self._transport, str(path), lambda: self._open(path).meta, target, told)
        return target

    def _open(self, path: RemotePath) -> File | Dataset:
        found = self.get(path)
        if isinstance(found, Root):
            raise BadName(f"{path} is a root: name a file in it")
        return found

    def _unseen(self, path: str, key: Any) -> Any:
        """Read one version; start over on the new one if there is one."""
        for _ in range(VERSION_TRIES - 1):
            # No error is kept: it would keep what its attempt holds.
            with contextlib.suppress(StaleVersion):
                return values.unseen(self._transport, path, key)
        return values.unseen(self._transport, path, key)

    def _frame(self, path: RemotePath, key: Any) -> values.Frame:
        text = selection.to_string(key)
        answer = values.request(self._transport, str(path), {"slice_": text} if text else {})
        return values.opened(answer)


def _needs_geometry(error: Exception, key: Any) -> bool:
    """Whether a key has to be worked out here, or its values to come in several requests."""
    return not isinstance(error, HttpError) or (error.status_code == 413 and key is not None)


def _has_ellipsis(key: Any) -> bool:
    return any(entry is Ellipsis for entry in (key if isinstance(key, tuple) else (key,)))


def _silent(_done: int, _total: int | None) -> None:
    """Nobody wants to know how far a download is."""


def _local_target(path: PurePosixPath, localpath: str | os.PathLike[str] | None) -> Path:
    if ".." in path.parts or path.is_absolute():
        raise BadName(f"{path} is not a path below a root")
    if localpath is None:
        target = Path(*path.parts)
    else:
        target = Path(localpath)
        if target.is_dir() or str(localpath).endswith("/"):
            target /= path.name
    if target.is_dir():
        raise BadName(f"{target} is a directory: it is not replaced by a file")
    return target
