"""CachingTransport: a transport that keeps what describes datasets, and knows their replicas."""

from __future__ import annotations

import sys
import threading
import time
import urllib.parse
import warnings
from collections.abc import Callable
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from typing import Any

from caterva2.client.errors import HttpError, OfflineWarning, Unreachable
from caterva2.client.kept import Kept, Whole
from caterva2.client.transport import Request, Response, Transport
from caterva2.depot import documents, place
from caterva2.depot.documents import Documents
from caterva2.depot.following import Following
from caterva2.depot.pins import Pins
from caterva2.depot.replicas import Replicas
from caterva2.depot.whole import whole
from caterva2.model import DatasetInfo
from caterva2.rest import media, paths
from caterva2.rest.paths import relative

RETRY = 15.0
"""Seconds without network for which what is kept is shown without another try."""
_AWAY = (502, 503, 504)
_REFUSED = (403, 404, 410)
_UNCLEAR = paths.prefix(paths.CHUNK), paths.prefix(paths.SUBSCRIBE)
"""Where 404 may say that there is no such chunk, or that a path is no root."""
_DATA = tuple(
    map(paths.prefix, (paths.INFO, paths.LIST, paths.ENTRIES, paths.MEMBERS, paths.SUBSCRIBE,
                       paths.FETCH, paths.CHUNK, paths.DOWNLOAD))
)  # fmt: skip


class CachingTransport(Transport):
    """A transport with a cache.

    Parameters
    ----------
    inner : Transport
        Sends what the cache can't answer.
    directory : Path
        The cache of all users.
    quota : int
        Bytes of the replicas of one user of a subscriber; 0 for no limit.
    follow : bool
        Whether a thread takes the subscriber's events.
    """

    def __init__(self, inner: Transport, directory: Path, quota: int, follow: bool = False) -> None:
        self.inner, self.urlbase, self.limits = inner, inner.urlbase, inner.limits
        self.session = inner.session
        self._given = directory, quota, follow
        self.directory = place.own_directory(directory, inner)
        self.documents = Documents(self.directory / "documents")
        self.pins = Pins(self.directory / "taken.json")
        self.replicas = Replicas(inner, self.directory, quota, self.pins.holds)
        self.following = Following(inner) if follow else None
        self.kept: Kept = _Kept(self)
        self._guard = threading.Lock()
        self._warned: set[str] = set()
        self._away_until = 0.0

    def __reduce__(self) -> tuple[object, ...]:
        """Share the cache of a process among all that is unpickled in it."""
        return (of_process, (self.inner, *self._given))

    def __deepcopy__(self, _: object) -> CachingTransport:
        return self

    def url(self, path: str) -> str:
        return self.inner.url(path)

    def exchange(self, request: Request) -> Response:
        return self.inner.exchange(request)

    def close(self) -> None:
        if self.following is not None:
            self.following.end()
        self.replicas.close()
        self.inner.close()

    def send(self, request: Request) -> Response:
        """Send a request; without network, answer it by what is kept.

        What the subscriber refuses to this user, or does not have any more, is removed; not so if
        something else answers in its place, such as a portal that asks for a login.
        """
        mark = 0 if self.following is None else self.following.mark()
        name = documents.name_of(request.method, request.target)
        if name is not None and time.monotonic() < self._away_until:
            found = self._shown(name)
            if found is not None:
                return found
        try:
            response = self.inner.send(request)
        except HttpError as error:
            if error.status_code in _REFUSED and not error.is_foreign:
                self._drop(request, may_be_removed=error.status_code == HTTPStatus.NOT_FOUND)
            found = self._shown(name) if error.status_code in _AWAY else None
            if found is None:
                raise
            self._warn("answers", str(error))
            return found
        except Unreachable as error:
            found = self._shown(name)
            if found is None and name is not None and (path := _path_of(request.target)):
                raise Unreachable(f"{path} is not in the cache, and {error}") from None
            if found is None:
                raise
            self._away_until = time.monotonic() + RETRY
            self._warn("network", str(error))
            return found
        self._away_until = 0.0
        self._warned.discard("network")
        return response if name is None else self._noted(name, response, mark)

    def _noted(self, name: str, response: Response, mark: int) -> Response:
        with response:
            body = bytes(response.content())
        self.documents.put(name, body)
        if self.following is not None and name.startswith("GET " + paths.prefix(paths.INFO)):
            self.following.confirm(_path_of(name.partition(" ")[2]), mark)
        return KeptResponse(body, response.headers)

    def _shown(self, name: str | None) -> Response | None:
        found = None if name is None else self.documents.get(name)
        if name is None or found is None:
            return None
        taken = self.documents.get(documents.TAKEN + name)
        if taken is None or taken[0] == found[0]:
            return KeptResponse(found[0])
        path, etag = _path_of(name.partition(" ")[2]), documents.etag_of(found[0])
        return KeptResponse((found if self.replicas.is_complete(path, etag) else taken)[0])

    def _warn(self, what: str, why: str) -> None:
        """Warn once of what is the matter: the network, or answers of 502 to 504."""
        with self._guard:
            warned = what in self._warned
            self._warned.add(what)
        if not warned:
            text = f"{why}: what is in the cache is shown, as of when it was last confirmed"
            warnings.warn(OfflineWarning(text), stacklevel=_level_of_caller())

    def _drop(self, request: Request, *, may_be_removed: bool) -> None:
        """Remove what a refused request was about.

        What was taken home stays if it was only removed there: its root may still be read. So does
        what has no metadata of Zarr, as a directory without arrays.
        """
        path = _path_of(request.target)
        if not path or not self.documents.knows(path):
            return
        if may_be_removed and request.target.startswith(_UNCLEAR):
            return
        unclear = documents.is_zarr(request.target) or self.pins.has(path)
        if may_be_removed and unclear and self._reads(path.partition("/")[0]):
            return
        self.documents.drop(path)
        self.replicas.forget(path)

    def _reads(self, root: str) -> bool:
        """Return whether the user may read a root; also if that can't be known now."""
        try:
            self.inner.request("GET", relative(paths.ENTRIES, root))
        except HttpError as error:
            return error.status_code not in _REFUSED
        except Unreachable:
            pass
        return True


def _level_of_caller() -> int:
    """Return how far away, for the one who warns, the program is that uses the package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("caterva2."):
        level, frame = level + 1, frame.f_back
    return level


class _Kept:
    """What reads see of a cache."""

    active = True

    def __init__(self, transport: CachingTransport) -> None:
        self._transport = transport
        self._replicas = transport.replicas

    def values(self, source: Any, region: Any, field: str) -> Any:
        return self._replicas.values(source, region, field) if source.version else None

    def chunk(self, source: Any, nchunk: int) -> bytes | None:
        return self._replicas.chunk(source, nchunk) if source.version else None

    def whole(
        self, source: Any, size: int | None = None, progress: Callable[[int], None] | None = None
    ) -> Whole | None:
        return whole(self._replicas, source, size, progress) if source.version else None

    def info(self, source: Any) -> DatasetInfo | None:
        replica = self._replicas.of(source) if source.version else None
        return None if replica is None else replica.info

    def is_outdated(self, path: str, version: str) -> bool:
        following = self._transport.following
        return following is not None and following.is_outdated(path, version)

    def as_of(self, path: str, version: str) -> float | None:
        return self._transport.documents.time_of(path, version)


class KeptResponse(Response):
    """An answer that is there as a whole."""

    __slots__ = ("_at", "_body")

    def __init__(self, body: bytes, headers: Message | None = None) -> None:
        if headers is None:
            headers = Message()
            headers["Content-Type"] = media.JSON
        self.status, self.reason, self.headers = 200, "OK", headers
        self._body, self._at = body, 0
        self.length = len(body)

    def read(self, size: int = -1) -> bytes:
        end = len(self._body) if size < 0 else self._at + size
        found, self._at = self._body[self._at : end], min(end, len(self._body))
        return found

    def readinto(self, buffer: memoryview) -> int:
        found = self.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def close(self) -> None:
        pass


def _path_of(target: str) -> str:
    """Return the dataset, directory or root that a target is about; empty for anything else."""
    plain = urllib.parse.unquote(target.partition("?")[0])
    for prefix in _DATA:
        if plain.startswith(prefix):
            return plain.removeprefix(prefix).strip("/")
    return documents.zarr_path(plain)


_of_process: dict[tuple[str, str, Path, int, bool], CachingTransport] = {}


def of_process(
    inner: Transport, directory: Path, quota: int, follow: bool = False
) -> CachingTransport:
    """Return a transport that this process keeps, for what one user unpickles in it.

    With each object comes another transport to send requests; that of the first one is used.
    """
    key = inner.urlbase, place.owner_of(inner), directory, quota, follow
    found = _of_process.get(key)
    if found is None:
        made = CachingTransport(inner, directory, quota, follow)
        found = _of_process.setdefault(key, made)
        if found is not made:  # another thread was faster
            made.close()
    return found
