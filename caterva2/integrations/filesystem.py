"""Caterva2FileSystem: roots as a file system of fsspec, ``cat2://HOST:PORT/ROOT/PATH``."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from fsspec.asyn import AsyncFileSystem

from caterva2.client.client import Client
from caterva2.client.types import Auth
from caterva2.integrations import ranges, stored
from caterva2.integrations.addresses import SCHEMES, Address, client_of
from caterva2.integrations.opened import ReadFile, WrittenFile, as_os_errors
from caterva2.integrations.stored import Details

T = TypeVar("T")
_NO_ROOTS = (
    "roots are made by publishers: a directory appears with its first file in a special root"
)


class Caterva2FileSystem(AsyncFileSystem):
    """The roots of a subscriber: datasets and files are files, with the bytes of a download.

    Roots of publishers are read only. Files of the special roots can be written, moved and removed.

    Parameters
    ----------
    url : str, optional
        The subscriber, as for `caterva2.Client`. URLs name it: ``cat2://HOST:PORT``, and
        ``cat2s://`` with TLS.
    auth : tuple of str, optional
        Name and password. By default those of the environment, if ``CATERVA2_URL`` is this
        subscriber. Only the name is pickled.
    username : str, optional
        Instead of ``auth``: the password is the environment's.
    """

    protocol = tuple(SCHEMES)
    root_marker = ""
    async_impl = True

    def __init__(
        self, url: str | None = None, *, auth: Auth | None = None, username: str | None = None,
        **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(**options)
        if auth is None and username is not None:
            auth = (username, "")
        urlbase = Address.parse("cat2://").urlbase if url is None else url
        self.client: Client = client_of(urlbase, auth)

    # fsspec keeps what an instance was made with, to pickle it and to show it.

    @property
    def storage_args(self) -> tuple[()]:
        """Positional arguments to make this again: none."""
        return ()

    @storage_args.setter
    def storage_args(self, _: object) -> None: ...

    @property
    def storage_options(self) -> dict[str, Any]:
        """Arguments to make this again in another process, without the password."""
        session = self.client.transport.session
        user = {} if session is None else {"username": session.auth[0]}
        return {"url": self.client.urlbase, **user}

    @storage_options.setter
    def storage_options(self, _: object) -> None: ...

    # --- names ---

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, Any]:
        return {"url": Address.parse(path).urlbase}

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        text = str(path)
        return Address.parse(text).path if "://" in text else text.strip("/")

    def unstrip_protocol(self, name: str) -> str:
        """Return the URL of a path."""
        secure = self.client.urlbase.startswith("https:")
        host = self.client.urlbase.partition("://")[2] if "://" in self.client.urlbase else ""
        return f"cat2{'s' * secure}://{host}/{self._strip_protocol(name)}"

    @property
    def fsid(self) -> str:
        """The subscriber, which tells this file system from others."""
        return f"cat2-{self.client.urlbase}"

    # --- reading ---

    async def _run(self, path: str, work: Callable[..., T], *given: Any) -> T:
        """Make a call of the blocking client in a thread."""

        def call() -> T:
            with as_os_errors(path):
                return work(*given)

        return await asyncio.to_thread(call)

    async def _info(self, path: str, *, fill: bool = False, **_: Any) -> Details:
        path = self._strip_protocol(path)
        return await self._run(path, lambda: stored.details(self.client, path, fill=fill))

    async def _ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        path = self._strip_protocol(path)
        found = await self._run(path, stored.listing, self.client, path)
        return found if detail else [one["name"] for one in found]

    async def _exists(self, path: str, **_: Any) -> bool:
        try:
            await self._ls(path)  # the size of an array may have to be fetched for its details
        except FileNotFoundError:
            return False
        return True

    async def _isdir(self, path: str) -> bool:
        return await self._kind(path) == "directory"

    async def _isfile(self, path: str) -> bool:
        return await self._kind(path) == "file"

    async def _kind(self, path: str) -> str:
        path = self._strip_protocol(path)
        try:
            found = await self._ls(path)
        except FileNotFoundError:
            return ""
        return "file" if [one["name"] for one in found] == [path] else "directory"

    async def _cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        if start is None and end is None:
            whole = await self._run(path, stored.whole, self.client, self._strip_protocol(path))
            return bytes(whole)
        return (await self._parts(path, [(start, end)]))[0]

    async def _cat_ranges(
        self, paths: list[str], starts: Any, ends: Any, max_gap: int | None = None,
        batch_size: int | None = None, on_error: str = "return", **_: Any,
    ) -> list[Any]:  # fmt: skip
        """Read ranges of several files; those of one file are one request, up to 64 of them."""
        count = len(paths)
        firsts = starts if isinstance(starts, list) else [starts] * count
        lasts = ends if isinstance(ends, list) else [ends] * count
        if not len(firsts) == len(lasts) == count:
            raise ValueError("there must be as many starts and ends as paths")
        places: dict[str, list[int]] = {}
        for number, path in enumerate(paths):
            places.setdefault(path, []).append(number)
        work = [
            self._parts(path, [(firsts[n], lasts[n]) for n in numbers])
            for path, numbers in places.items()
        ]
        results: list[Any] = [None] * count
        for numbers, found in zip(
            places.values(), await asyncio.gather(*work, return_exceptions=True), strict=True
        ):
            if isinstance(found, BaseException) and on_error != "return":
                raise found
            for at, number in enumerate(numbers):
                results[number] = found if isinstance(found, BaseException) else found[at]
        return results

    async def _parts(self, path: str, wanted: list[tuple[int | None, int | None]]) -> list[bytes]:
        """Read parts whose ends may be negative or None."""
        path, etag, size = self._strip_protocol(path), "", 0
        if any(end is None or end < 0 or (start or 0) < 0 for start, end in wanted):
            known = await self._info(path)
            if known["type"] == "directory":
                raise IsADirectoryError(errno.EISDIR, "it is a directory", path)
            etag, size = known["tag"], known["size"]
        plain = [slice(*one).indices(size)[:2] if etag else (one[0] or 0, one[1]) for one in wanted]
        return await self._run(path, ranges.read, self.client.transport, path, plain, etag)

    async def _get_file(self, rpath: str, lpath: str, **_: Any) -> None:
        rpath = self._strip_protocol(rpath)
        if await self._isdir(rpath):
            await asyncio.to_thread(Path(lpath).mkdir, parents=True, exist_ok=True)
            return

        def save() -> None:
            Path(lpath).parent.mkdir(parents=True, exist_ok=True)
            with open(lpath, "wb") as file:
                self.client.download(rpath, file)

        await self._run(rpath, save)

    def ukey(self, path: str) -> str:
        """Return the version of a file, which differs whenever its content does."""
        path = self._strip_protocol(path)
        with as_os_errors(path):
            return str(self.client.get_info(path)["etag"])

    def modified(self, path: str) -> datetime:
        """Return the publisher's time of the last change."""
        return datetime.fromtimestamp(self._mtime(path), UTC)

    def created(self, path: str) -> datetime:
        """Refuse: publishers do not tell when a file was made."""
        raise NotImplementedError("Caterva2 knows when a file was changed, not when it was made")

    def _mtime(self, path: str) -> float:
        path = self._strip_protocol(path)
        with as_os_errors(path):
            return stored.seconds(self.client.get_info(path)["mtime"])

    def checksum(self, path: str) -> int:
        """Return a number of the version of a file."""
        return int.from_bytes(self.ukey(path).encode())

    def _open(
        self, path: str, mode: str = "rb", block_size: int | str | None = None, **options: Any
    ) -> Any:
        path = self._strip_protocol(path)
        if mode == "rb":
            size = block_size if isinstance(block_size, int) else 2**20
            return ReadFile(self, path, size, **options)
        if mode in ("wb", "xb"):
            if mode == "xb" and self.exists(path):
                raise FileExistsError(errno.EEXIST, "it exists", path)
            return WrittenFile(self, path)
        raise NotImplementedError(f"files are opened as rb, wb or xb, not as {mode!r}")

    # --- special roots ---

    async def _pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        path = self._strip_protocol(path)
        if mode == "create" and await self._exists(path):
            raise FileExistsError(errno.EEXIST, "it exists", path)
        await self._run(path, self.client.upload, bytes(value), path)

    async def _put_file(self, lpath: str, rpath: str, mode: str = "overwrite", **_: Any) -> None:
        rpath = self._strip_protocol(rpath)
        if await asyncio.to_thread(Path(lpath).is_dir):
            return  # a directory appears with its first file
        if mode == "create" and await self._exists(rpath):
            raise FileExistsError(errno.EEXIST, "it exists", rpath)
        await self._run(rpath, self.client.upload, str(lpath), rpath)

    async def _cp_file(self, path1: str, path2: str, **_: Any) -> None:
        path1, path2 = self._strip_protocol(path1), self._strip_protocol(path2)
        if await self._isdir(path1):
            return
        if await self._exists(path2):  # a copy replaces nothing
            await self._rm_file(path2)
        await self._run(path1, self.client.copy, path1, path2)

    async def _rm_file(self, path: str, **_: Any) -> None:
        path = self._strip_protocol(path)
        await self._run(path, self.client.remove, path)

    async def _rm(self, path: Any, recursive: bool = False, **_: Any) -> None:
        paths = path if isinstance(path, list) else [path]
        for one in await self._expand_path(paths) if not recursive else paths:
            if not recursive and await self._isdir(one):
                raise IsADirectoryError(errno.EISDIR, "remove it with recursive=True", one)
            await self._rm_file(one)

    async def _mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        """Do nothing: a directory appears with its first file."""
        if "/" not in self._strip_protocol(path):
            raise NotImplementedError(_NO_ROOTS)

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        await self._mkdir(path)

    def touch(self, path: str, truncate: bool = True, **_: Any) -> None:
        """Make an empty file."""
        if not truncate:
            raise NotImplementedError("the time of a file is that of its last change")
        self.pipe_file(path, b"")

    def sign(self, path: str, expiration: int = 100, **_: Any) -> str:
        """Refuse: there are no signed URLs."""
        raise NotImplementedError("a subscriber signs no URLs: see Client.get_download_url")
