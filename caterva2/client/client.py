"""Client: a subscriber's roots, data, accounts and special roots, by blocking calls.

Importing it loads neither numpy nor Blosc2; a method that needs them imports them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, Self, overload

from caterva2.client import login
from caterva2.client.http.transport import TIMEOUT, HttpTransport
from caterva2.client.http.upload import FileForm
from caterva2.client.login import SessionTransport
from caterva2.client.recipe import recipe
from caterva2.client.transport import Transport
from caterva2.client.types import Auth, Local, Progress, RemotePath
from caterva2.errors import BadRequest
from caterva2.limits import DEFAULTS, ClientLimits
from caterva2.rest import paths
from caterva2.rest.paths import relative

if TYPE_CHECKING:
    import blosc2

    from caterva2.client.group import Group
    from caterva2.client.objects import Dataset, File
    from caterva2.client.root import Root

DEFAULT_URL = "http://127.0.0.1:8002"


class Client:
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
    """

    def __init__(
        self, urlbase: str | None = None, auth: Auth | None = None, timeout: float = TIMEOUT,
        *, limits: ClientLimits = DEFAULTS.client,
    ) -> None:  # fmt: skip
        url = urlbase or os.environ.get(login.URL) or DEFAULT_URL
        plain = HttpTransport(url, timeout, limits)
        self.transport: Transport = plain if auth is None else SessionTransport(plain, auth)

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

    # --- catalogue ---

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

    def get_info(self, path: RemotePath) -> dict[str, Any]:
        """Return the metadata of a dataset, a file or a directory."""
        return self.transport.json(dict, "GET", relative(paths.INFO, path))

    def get_members(self, path: RemotePath) -> dict[str, dict[str, Any]]:
        """Return the metadata of all datasets below a root or directory, in few requests.

        Paths are relative to it. A dataset whose metadata can't be read has only ``error``.
        """
        members: dict[str, dict[str, Any]] = {}
        after: str | None = ""
        while after is not None:
            query = {"after": after} if after else None
            page = self.transport.json(dict, "GET", relative(paths.MEMBERS, path), query)
            members |= page["members"]
            after = page["after"]
        return members

    def get(self, path: RemotePath) -> Root | Group | File | Dataset:
        """Open a root by its name, or a directory, file or dataset by its path.

        Raises
        ------
        Missing
            If it does not exist.
        """
        from caterva2.client.root import open_path

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
        progress: Progress | None = None,
    ) -> Path: ...  # fmt: skip

    @overload
    def download(
        self, path: RemotePath, localpath: BinaryIO, progress: Progress | None = None
    ) -> None: ...

    @overload
    def download(
        self, path: RemotePath, localpath: str | Path | BinaryIO | None,
        progress: Progress | None = None,
    ) -> Path | None: ...  # fmt: skip

    def download(
        self, path: RemotePath, localpath: str | Path | BinaryIO | None = None,
        progress: Progress | None = None,
    ) -> Path | None:  # fmt: skip
        """Save a whole file or dataset, or continue a download that broke.

        Parameters
        ----------
        path : str
        localpath : path or binary file, optional
            A file, or a directory to put it into; ``ROOT/PATH`` below the current directory
            by default. Into an open file it is written while it is received.
        progress : callable, optional
            Called with the bytes received and, if known, the bytes in total.

        Returns
        -------
        Path or None
            Where it appears when it is complete and verified.
        """
        from caterva2.client.read import download

        return download.download(
            self.transport, str(path), lambda: self._file(path).meta, localpath, progress
        )

    # --- prefetch ---

    def prefetch(self, path: RemotePath) -> dict[str, Any]:
        """Start to fetch a whole dataset, directory or root into the subscriber's cache.

        Returns
        -------
        dict
            The job: its ``state`` (``waiting``, ``running``, ``done``, ``failed`` or
            ``cancelled``), the number of ``datasets`` and how many are ``done`` or ``failed``,
            and how many of ``nchunks`` are ``cached``.
        """
        return self.transport.json(dict, "POST", relative(paths.PREFETCH, path), repeatable=True)

    def get_prefetch(self, path: RemotePath) -> dict[str, Any]:
        """Return the progress of a prefetch job, as `prefetch` does."""
        return self.transport.json(dict, "GET", relative(paths.PREFETCH, path))

    def cancel_prefetch(self, path: RemotePath) -> dict[str, Any]:
        """Cancel a prefetch job; the chunks that it has fetched stay in the cache."""
        return self.transport.json(dict, "DELETE", relative(paths.PREFETCH, path))

    # --- special roots ---

    def upload(
        self, localpath: Local, path: RemotePath, progress: Progress | None = None,
        *, unpack: bool = False,
    ) -> PurePosixPath:  # fmt: skip
        """Put a file into a special root, replacing one of the same name; return its path.

        Parameters
        ----------
        localpath : path, bytes or binary file
        path : str
            Such as ``@public/x.b2nd``; below a directory that exists, or if it ends with a
            slash, the file keeps its name.
        progress : callable, optional
            Called with the bytes sent and, if known, the bytes in total.
        unpack : bool
            Make a new directory of the content of a ``.zip`` or ``.tar.gz``.
        """
        form = FileForm.of(localpath, path, progress)
        return PurePosixPath(
            form.send(self.transport, relative(paths.UPLOAD, path), str, unpack=unpack)
        )

    def append(self, path: RemotePath, data: Any) -> tuple[int, ...]:
        """Append to an array in a special root, along its first axis; return its new shape.

        Parameters
        ----------
        path : str
        data : array, or path of a ``.b2nd`` or ``.npy`` file
            Of the same dtype, and of the same shape but for the first axis.
        """
        from caterva2.client.read import frames

        form = FileForm(frames.cframe_of(data), "data.b2nd")
        shape = form.send(self.transport, relative(paths.APPEND, path), list, repeatable=False)
        return tuple(shape)

    def move(self, src: RemotePath, dst: RemotePath) -> PurePosixPath:
        """Move a file or directory within or between special roots; return its new path."""
        body = {"src": str(src), "dst": str(dst)}
        return PurePosixPath(self.transport.json(str, "POST", relative(paths.MOVE), None, body))

    def copy(self, src: RemotePath, dst: RemotePath) -> PurePosixPath:
        """Copy a file, a directory or any root into a special root; return the copy's path."""
        body = {"src": str(src), "dst": str(dst)}
        return PurePosixPath(self.transport.json(str, "POST", relative(paths.COPY), None, body))

    def remove(self, path: RemotePath) -> PurePosixPath:
        """Remove a file, or a directory with its content; return its path."""
        return PurePosixPath(self.transport.json(str, "POST", relative(paths.REMOVE, path)))

    def lazyexpr(
        self, name: RemotePath, expression: Any, operands: Mapping[str, Any] | None = None,
        *, compute: bool = False,
    ) -> PurePosixPath:  # fmt: skip
        """Store an expression, a dataset computed from others on each read; return its path.

        Parameters
        ----------
        name : str
            A path in ``@personal``, or in the special root that it begins with; ``.b2nd`` is
            added if it is missing.
        expression : str or blosc2.LazyExpr
            Such as ``"a + sin(b)"``; a lazy expression has its operands, remote arrays.
        operands : dict, optional
            The datasets that its names stand for: paths, or objects of this client.
        compute : bool
            Compute it now and store the result.
        """
        body = recipe(name, expression, operands, compute)
        return PurePosixPath(self.transport.json(str, "POST", relative(paths.LAZYEXPR), None, body))

    # --- accounts ---

    def login(self, password: str | None = None) -> None:
        """Log in now, not with the first request; a client that was pickled needs a password."""
        session = self.transport.user()
        session.token() if password is None else session.restart(password)

    def logout(self) -> None:
        """End the session; the next request begins another one."""
        login.log_out(self.transport)

    def change_password(self, password: str) -> None:
        """Set another password for this user; all other sessions end."""
        login.change_password(self.transport, password)

    def adduser(self, username: str, password: str | None = None, superuser: bool = False) -> str:
        """Add a user, as a superuser; return a confirmation.

        Parameters
        ----------
        username : str
            An e-mail address.
        password : str
        superuser : bool
            Whether the user may administer users too.
        """
        if password is None:
            raise BadRequest(f"a password is needed to add {username}")
        body = {"username": username, "password": password, "superuser": superuser}
        return self.transport.json(str, "POST", relative(paths.ADD_USER), None, body)

    def deluser(self, username: str) -> str:
        """Delete a user and all their data, as a superuser; return a confirmation."""
        return self.transport.json(str, "DELETE", relative(paths.DELETE_USER, username))

    def listusers(self, username: str | None = None) -> list[dict[str, Any]]:
        """Return all users, or one: ``id email is_superuser is_active is_verified``."""
        query = None if username is None else {"username": username}
        return self.transport.json(list, "GET", relative(paths.LIST_USERS), query)

    def _file(self, path: RemotePath) -> File | Dataset:
        from caterva2.client.root import open_file

        return open_file(self, str(path).strip("/"))
