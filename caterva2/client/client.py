"""A subscriber, seen from Python."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Self, overload

import blosc2

from caterva2 import selection
from caterva2.client import downloading, fetching
from caterva2.client.administration import Administration
from caterva2.client.connections import Unreachable
from caterva2.client.downloading import Progress
from caterva2.client.objects import VERSION_TRIES, Dataset, File, Root
from caterva2.client.session import Auth
from caterva2.client.transport import TIMEOUT, HttpError, Transport
from caterva2.client.writing import RemotePath, Writing
from caterva2.errors import BadName, BadSelection, StaleVersion

DEFAULT_URL = "http://127.0.0.1:8002"


class Client(Administration, Writing):
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

    def __init__(
        self, urlbase: str | None = None, auth: Auth | None = None, timeout: float = TIMEOUT
    ) -> None:
        chosen = urlbase or os.environ.get("CATERVA2_URL") or DEFAULT_URL
        self._transport = Transport(chosen, timeout, auth)

    @property
    def urlbase(self) -> str:
        return self._transport.urlbase

    def close(self) -> None:
        """Close the connections that are kept open for the next request."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client: {self.urlbase}>"

    # --- catalogue ---

    def get_roots(self) -> dict[str, dict[str, Any]]:
        """All roots by name, with ``http`` (the publisher) and ``subscribed``."""
        roots: dict[str, dict[str, Any]] = self._json(dict, "GET", "api/roots")
        return roots

    def subscribe(self, root: str) -> str:
        """Have the subscriber follow a root; ``"Ok"``."""
        answer: str = self._json(str, "POST", f"api/subscribe/{root}")
        return answer

    def unsubscribe(self, root: str) -> str:
        """Have the subscriber follow a root no more, and keep what is cached; ``"Ok"``."""
        answer: str = self._json(str, "DELETE", f"api/subscribe/{root}")
        return answer

    def get_list(self, path: RemotePath) -> list[str]:
        """Paths of the files below a root or directory, relative to it."""
        names: list[str] = self._json(list, "GET", f"api/list/{path}")
        return names

    def get_info(self, path: RemotePath) -> dict[str, Any]:
        """All that the subscriber tells about a dataset, a file or a directory."""
        info: dict[str, Any] = self._json(dict, "GET", f"api/info/{path}")
        return info

    def get_members(self, path: RemotePath) -> dict[str, dict[str, Any]]:
        """What `get_info` tells of all datasets below a root or directory, in few requests.

        Paths are relative to it. A dataset that can't be described has only the key ``error``.
        """
        members: dict[str, dict[str, Any]] = {}
        after: str | None = ""
        while after is not None:
            query = {"after": after} if after else {}
            page = self._json(dict, "GET", f"api/members/{path}", query)
            members |= page["members"]
            after = page["after"]
        return members

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

    def prefetch(self, path: RemotePath) -> dict[str, Any]:
        """Have the subscriber fetch a dataset, directory or root as a whole, and not wait for it.

        Returns
        -------
        dict
            The job: its ``state`` (``waiting``, ``running``, ``done``, ``failed`` or
            ``cancelled``), the number of ``datasets`` and how many are ``done`` or ``failed``,
            and how many of ``nchunks`` are ``cached``.
        """
        job: dict[str, Any] = self._json(dict, "POST", f"api/prefetch/{path}")
        return job

    def get_prefetch(self, path: RemotePath) -> dict[str, Any]:
        """How far a prefetch is, as `prefetch` tells it."""
        job: dict[str, Any] = self._json(dict, "GET", f"api/prefetch/{path}")
        return job

    def cancel_prefetch(self, path: RemotePath) -> dict[str, Any]:
        """End a prefetch; what it fetched stays."""
        job: dict[str, Any] = self._json(dict, "DELETE", f"api/prefetch/{path}")
        return job

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

    def get_download_url(self, path: RemotePath) -> str:
        """Where a browser gets the whole file."""
        return self._transport.url(f"api/download/{path}")

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
                return fetching.unseen(self._transport, path, key)
        return fetching.unseen(self._transport, path, key)

    def _frame(self, path: RemotePath, key: Any) -> fetching.Frame:
        text = selection.to_string(key)
        answer = fetching.request(self._transport, str(path), {"slice_": text} if text else {})
        return fetching.opened(answer)

    def _json(
        self, kind: type[Any], method: str, path: str,
        query: dict[str, str] | None = None, body: bytes | None = None,
    ) -> Any:  # fmt: skip
        # What we ask for without a body may be asked twice.
        repeatable = body is None
        found = self._transport.request(
            method, path, query, body=body, repeatable=repeatable
        ).json()
        if not isinstance(found, kind):
            raise Unreachable(f"{self.urlbase} answered {path} by {type(found).__name__}")
        return found


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
