"""Targets of taking: the cache, or a directory of files."""

from __future__ import annotations

import contextlib
import errno
import unicodedata
import urllib.parse
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from caterva2.arrays import selection
from caterva2.arrays.selection import box
from caterva2.client.client import Client
from caterva2.client.errors import HttpError, Missing
from caterva2.client.objects.file import File
from caterva2.client.read.values import Source
from caterva2.client.transport import Transport
from caterva2.depot.pins import Pins
from caterva2.depot.transport import CachingTransport
from caterva2.errors import BadName, BadRequest, StaleVersion
from caterva2.rest import paths
from caterva2.rest.paths import relative

if TYPE_CHECKING:
    from caterva2.depot.taking import Item

STATE = ".caterva2-taken.json"
_TRIES = 5
Ids = npt.NDArray[np.int64]


def target_of(client: Client, to: str | Path | None) -> CacheTarget | FilesTarget:
    """Return the target of a client: its cache, or a directory of files.

    Raises
    ------
    BadRequest
        If the client has no cache, and no directory is named.
    """
    if to is not None:
        return FilesTarget(client, Path(to))
    if not isinstance(client.transport, CachingTransport):
        raise BadRequest("this client has no cache: make it with cache=True, or name a directory")
    return CacheTarget(client, client.transport)


def _opened(client: Client, path: str) -> File:
    found = client.get(path)
    if not isinstance(found, File):
        raise BadName(f"{path} has become a directory")
    return found


class CacheTarget:
    """The client's own cache; what is taken there is not evicted."""

    inside = True

    def __init__(self, client: Client, transport: CachingTransport) -> None:
        self._client, self._transport = client, transport
        self.state: Pins = transport.pins

    def has(self, item: Item) -> bool:
        """Return False: the chunks themselves say what is missing."""
        return False

    def take(self, item: Item, progress: Callable[[int], None]) -> str:
        """Fetch the missing chunks of an item."""
        for attempt in range(_TRIES):
            source = _opened(self._client, item.path)._source
            chosen = selection.parse(item.key, source.shape)
            ids = (
                np.unique(box(chosen, source.chunks).chunk_ids) if chosen.size else np.empty(0, int)
            )
            try:
                if len(ids):
                    self._fetch(source, ids, progress)
            except StaleVersion:
                if attempt == _TRIES - 1:
                    raise
                continue
            if source.is_bytes:
                self._client.get_entries(item.path)  # by which file systems know it
            self._transport.documents.keep_taken(item.path, source.version)
            self._transport.replicas.keep_only(item.path, source.version)
            return source.version
        raise AssertionError("unreachable")

    def _fetch(self, source: Source, ids: Ids, progress: Callable[[int], None]) -> None:
        replica = self._transport.replicas.ensure(source, ids, progress)
        if replica is None:
            raise BadRequest(f"{source.path} can't be cached")
        if len(unwritten := replica.unwritten(ids)):
            raise OSError(
                errno.ENOSPC, f"{len(unwritten)} chunks of {source.path} are not on the disk",
                str(self._transport.directory),
            )  # fmt: skip

    def note(self, path: str, *, whole: bool) -> None:
        """Request what describes a directory or root, which is kept by that."""
        client = self._client
        with contextlib.suppress(Missing):
            client.get_info(path)
            client.get_list(path)
            client.get_entries(path)
            if "/" not in path:
                client.subscribe(path)
                client.get_roots()
        with contextlib.suppress(HttpError):  # there may be no arrays, or an older subscriber
            if whole:
                client.transport.request("GET", relative(paths.ZARR, f"{path}/zarr.json"))

    def drop(self, path: str, key: str) -> None:
        """Remove all of a dataset."""
        self._transport.documents.drop(path)
        self._transport.replicas.forget(path)


class FilesTarget:
    """A directory of files: datasets as they are, and parts as arrays of their own."""

    inside = False

    def __init__(self, client: Client, directory: Path) -> None:
        self._client, self._directory = client, directory
        directory.mkdir(parents=True, exist_ok=True)
        self._places: dict[str, Path] = {}
        self.state = Pins(directory / STATE, _place(client.transport))

    def has(self, item: Item) -> bool:
        """Return whether its file is there."""
        return self._alone(self.place(item.path, item.key)).is_file()

    def take(self, item: Item, progress: Callable[[int], None]) -> str:
        """Save an item, or go on with its download."""
        target, done = self._alone(self.place(item.path, item.key)), 0

        def add(count: int, _: int | None) -> None:
            nonlocal done
            progress(count - done)
            done = count

        found = _opened(self._client, item.path)
        if item.key:
            target.parent.mkdir(parents=True, exist_ok=True)
            found.download(target, key=selection.parse_key(item.key))
        else:
            found.download(target, add)
        return found._version  # the former one, if it changed meanwhile: it is taken again then

    def note(self, path: str, *, whole: bool) -> None:
        """Do nothing: files are described by what is in them."""

    def drop(self, path: str, key: str) -> None:
        """Remove a file, and directories that become empty."""
        target = self.place(path, key)
        target.unlink(missing_ok=True)
        for directory in target.relative_to(self._directory).parents[:-1]:
            with contextlib.suppress(OSError):
                (self._directory / directory).rmdir()

    def _alone(self, target: Path) -> Path:
        """Refuse what is one file with something else, where the case of letters is ignored."""
        folded = unicodedata.normalize("NFC", str(target)).casefold()
        other = self._places.setdefault(folded, target)
        if other != target and other.exists() and target.exists() and other.samefile(target):
            raise BadName(f"{target} and {other} are one file here")
        return target

    def place(self, path: str, key: str) -> Path:
        """Return the file of a dataset, or of a part of it."""
        plain = PurePosixPath(path)
        if ".." in plain.parts or plain.is_absolute():
            raise BadName(f"{path} is not a path below a root")
        if key:
            plain = plain.with_name(f"{plain.stem}[{key.replace(' ', '')}]{plain.suffix}")
        return self._directory.joinpath(*plain.parts)


def _place(transport: Transport) -> str:
    """Return the subscriber, without a password that may be in its URL."""
    parts = urllib.parse.urlsplit(transport.urlbase)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
