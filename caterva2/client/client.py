"""Client: a subscriber's roots, data, accounts and special roots, by blocking calls.

Importing it loads neither numpy nor Blosc2; a method that needs them imports them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self, overload

from caterva2.client import caching, login, tokens
from caterva2.client.caching import Cache
from caterva2.client.calls.accounts import Accounts
from caterva2.client.calls.editing import Editing
from caterva2.client.calls.exploring import Exploring
from caterva2.client.calls.prefetching import Prefetching
from caterva2.client.calls.taking import Taking
from caterva2.client.groups import level
from caterva2.client.http.transport import TIMEOUT, HttpTransport
from caterva2.client.login import SessionTransport
from caterva2.client.tokens import TokenTransport
from caterva2.client.transport import Transport
from caterva2.client.types import Auth, Progress, RemotePath
from caterva2.errors import BadRequest, CatervaError
from caterva2.limits import DEFAULTS, ClientLimits
from caterva2.rest import paths
from caterva2.rest.paths import relative

if TYPE_CHECKING:
    import blosc2

    from caterva2.client.objects.dataset import Dataset
    from caterva2.client.objects.file import File
    from caterva2.client.objects.group import Group
    from caterva2.client.objects.root import Root

DEFAULT_URL = "http://127.0.0.1:8002"


class Client(Editing, Prefetching, Taking, Exploring, Accounts):
    """Access to the roots of a subscriber; usable from several threads, and after a fork.

    Parameters
    ----------
    urlbase : str, optional
        The subscriber; by default ``CATERVA2_URL`` of the environment, or this machine's.
        ``unix:/PATH`` is a Unix socket.
    auth : tuple of str, optional
        Name and password. The client logs in with its first request, and again when its session
        is over.
    timeout : float
        Seconds without any byte after which a request fails.
    limits : ClientLimits
        Sizes of requests, tries and pauses.
    token : str, optional
        An API token, instead of name and password; by default ``CATERVA2_TOKEN`` of the
        environment, which is for the subscriber of ``CATERVA2_URL``, or this machine's, only.
    cache : bool or path, optional
        A directory for what this client reads, which its processes share, or True for the user's
        own; by default ``CATERVA2_CACHE`` of the environment. An opened dataset is of the version
        that it had when it was opened or refreshed, and is read without a request where the cache
        has its chunks; without network too.
    cache_quota : str or int, optional
        Bytes of the cache for this user and subscriber, such as ``"500MB"``; ``"20GB"`` by
        default, 0 for no limit. The least recently read are evicted first.
    cache_follow : bool
        Have a thread take the subscriber's events, so that a dataset that has changed is refreshed
        by the next read.
    """

    def __init__(
        self, urlbase: str | None = None, auth: Auth | None = None, timeout: float = TIMEOUT,
        *, limits: ClientLimits = DEFAULTS.client, token: str | None = None,
        cache: Cache = None, cache_quota: str | int | None = None, cache_follow: bool = False,
    ) -> None:  # fmt: skip
        if auth is not None and token is not None:
            raise BadRequest("a client has a token, or a name and a password, and not both")
        url = urlbase or os.environ.get(login.URL) or DEFAULT_URL
        self.transport: Transport = HttpTransport(url, timeout, limits)
        if auth is not None:
            self.transport = SessionTransport(self.transport, auth)
        elif token or (token := tokens.of_environment(url, DEFAULT_URL)):
            self.transport = TokenTransport(self.transport, token)
        self.transport = caching.cached(self.transport, cache, cache_quota, cache_follow)

    @classmethod
    def over(cls, transport: Transport) -> Self:
        """Make a client that sends its requests over a given transport."""
        made = cls.__new__(cls)
        made.transport = transport
        return made

    @property
    def urlbase(self) -> str:
        """The subscriber's URL."""
        return self.transport.urlbase

    def close(self) -> None:
        """Close the connections that are kept open for the next request."""
        self.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.urlbase}>"

    def _repr_html_(self) -> str:
        from caterva2.client.groups import tables

        return tables.of_roots(self)

    # --- catalogue ---

    def __getitem__(self, path: RemotePath) -> Root | Group | File | Dataset:
        """Open a root, directory, file or dataset, as `get` does."""
        return self.get(path)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the roots."""
        return iter(sorted(self.get_roots()))

    def __contains__(self, name: object) -> bool:
        """Return whether there is a root of this name."""
        return name in self.get_roots()

    def _ipython_key_completions_(self) -> list[str]:
        try:
            return list(self)
        except CatervaError:
            return []

    def get_roots(self) -> dict[str, dict[str, Any]]:
        """Return all roots by name, with ``http`` (the publisher) and ``subscribed``."""
        return self.transport.json(dict, "GET", relative(paths.ROOTS))

    def subscribe(self, root: str) -> str:
        """Subscribe to a root; return ``"Ok"``."""
        return self.transport.json(str, "POST", relative(paths.SUBSCRIBE, root), repeatable=True)

    def unsubscribe(self, root: str) -> str:
        """Unsubscribe from a root, whose cached data stays; return ``"Ok"``."""
        return self.transport.json(str, "DELETE", relative(paths.SUBSCRIBE, root))

    def get_list(self, path: RemotePath) -> list[str]:
        """Return the paths of the files below a root or directory, relative to it."""
        return self.transport.json(list, "GET", relative(paths.LIST, path))

    def get_entries(self, path: RemotePath) -> dict[str, Any]:
        """Return the entries of a root or directory by their names, not those deeper down."""
        return self.transport.json(dict, "GET", relative(paths.ENTRIES, path))

    def get_info(self, path: RemotePath) -> dict[str, Any]:
        """Return the metadata of a dataset, a file or a directory."""
        return self.transport.json(dict, "GET", relative(paths.INFO, path))

    def get_members(self, path: RemotePath) -> dict[str, dict[str, Any]]:
        """Return the metadata of all datasets below a root or directory, in few requests.

        Paths are relative to it. A dataset whose metadata can't be read has only ``error``.
        """
        members: dict[str, dict[str, Any]] = {}
        for page in level.pages(self.transport, path):
            members |= page
        return members

    def get(self, path: RemotePath) -> Root | Group | File | Dataset:
        """Open a root by its name, or a directory, file or dataset by its path.

        Raises
        ------
        Missing
            If it does not exist.
        """
        from caterva2.client.objects.root import open_path

        return open_path(self, str(path).strip("/"))

    # --- data ---

    def fetch(self, path: RemotePath, slice_: Any = None) -> Any:
        """Read the values of a slice: a numpy array, or bytes of a file.

        Parameters
        ----------
        path : str
        slice_ : numpy key, optional
            None selects everything. Integers, slices and ``...`` take a single request.
        """
        from caterva2.client.read import by_path

        return by_path.fetch(self.transport, str(path), slice_, lambda: self._file(path))

    def slice(self, path: RemotePath, slice_: Any = None) -> blosc2.NDArray | blosc2.SChunk:
        """Read a slice as a Blosc2 object: an NDArray, or an SChunk of a file's bytes."""
        from caterva2.client.read import by_path

        return by_path.frame(self.transport, str(path), slice_, lambda: self._file(path))

    def get_chunk(self, path: RemotePath, nchunk: int) -> bytes:
        """Return the stored, compressed bytes of chunk ``nchunk``."""
        query = {"nchunk": str(nchunk)}
        return bytes(self.transport.request("GET", relative(paths.CHUNK, path), query).body)

    def get_download_url(self, path: RemotePath) -> str:
        """Return the URL of the whole file, for a browser."""
        return self.transport.url(relative(paths.DOWNLOAD, path))

    @overload
    def download(
        self, path: RemotePath, localpath: str | Path | None = None,
        progress: Progress | None = None, *, key: Any = None,
    ) -> Path: ...  # fmt: skip

    @overload
    def download(
        self, path: RemotePath, localpath: BinaryIO, progress: Progress | None = None,
        *, key: Any = None,
    ) -> None: ...  # fmt: skip

    @overload
    def download(
        self, path: RemotePath, localpath: str | Path | BinaryIO | None,
        progress: Progress | None = None, *, key: Any = None,
    ) -> Path | None: ...  # fmt: skip

    def download(
        self, path: RemotePath, localpath: str | Path | BinaryIO | None = None,
        progress: Progress | None = None, *, key: Any = None,
    ) -> Path | None:  # fmt: skip
        """Save a whole file or dataset, or continue a download that broke; or a part of an array.

        Parameters
        ----------
        path : str
        localpath : path or binary file, optional
            A file, or a directory to put it into; ``ROOT/PATH`` below the current directory
            by default. Into an open file it is written while it is received.
        progress : callable, optional
            Called with the bytes received and, if known, the bytes in total; not for a part.
        key : numpy key, optional
            The part of an array to save as a ``.b2nd`` file, whose name has to be given then. It
            is of one version, and is not continued after a break.

        Returns
        -------
        Path or None
            Where it appears when it is complete and verified.
        """
        from caterva2.client.read import download

        if key is not None:
            return self._save_part(path, key, localpath)
        return download.download(
            self.transport, str(path), lambda: self._file(path), localpath, progress
        )

    def compute(
        self, expression: str, operands: Mapping[str, Any] | None = None, /, **named: Any
    ) -> Any:
        """Have the subscriber compute an expression, without storing it; return its values.

        Parameters
        ----------
        expression : str
            Such as ``"(a - mean(a, axis=0))[:10]"``; slices in it bound what is computed.
        operands, **named
            The datasets that its names stand for: paths, or objects of this client.

        Returns
        -------
        ndarray or scalar
            Of one version of each operand.
        """
        from caterva2.client.lazy import computing

        given = computing.operands_of(operands, named)
        return computing.values(self.transport, expression, given)

    def _save_part(
        self, path: RemotePath, key: Any, localpath: str | Path | BinaryIO | None
    ) -> Path | None:
        from caterva2.client.read import part

        found = self._file(path)
        if found.kind != "array":
            raise BadRequest(f"{path} is no array: a part of it is read by slicing it")
        if localpath is None:
            raise BadRequest(f"a part of {path} needs a local name")
        attrs = found.attrs
        return found._read(lambda: part.save(self.transport, found._source, key, localpath, attrs))

    def _file(self, path: RemotePath) -> File | Dataset:
        from caterva2.client.objects.root import open_file

        return open_file(self, str(path).strip("/"))
