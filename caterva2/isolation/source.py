"""A source that runs in a process of its own, so that no file can end or block this one."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator, Sequence

from caterva2.errors import CatervaError, NotFound, StartError
from caterva2.frames.raw import Cut, Run
from caterva2.isolation.damage import Stamp
from caterva2.isolation.file import IsolatedFile
from caterva2.isolation.kept_list import KeptList
from caterva2.isolation.process import CantStart, Target
from caterva2.isolation.reader import Reader
from caterva2.limits import DEFAULTS, IsolationLimits
from caterva2.model import DatasetInfo, Entry
from caterva2.names import DatasetPath
from caterva2.sources.base import ALL, NEVER, Source
from caterva2.sources.watched_file import WatchedFile

log = logging.getLogger(__name__)


class IsolatedSource(Source):
    """Serves a file through a process that may die, hang or run out of memory, see `Reader`.

    While the file can't be listed, the list of its last good version stands.

    Parameters
    ----------
    target : Target
        What the process reads. Its source is given by name, since this process does not load it.
    limits : IsolationLimits, optional
    room : int, optional
        Bytes of chunks that are read together.
    kept : KeptList, optional
        The list that an earlier process has kept. If it is of the file's version the process that
        reads is not waited for, and `warm_up` starts it.
    """

    def __init__(
        self,
        target: Target,
        limits: IsolationLimits = DEFAULTS.isolation,
        room: int = DEFAULTS.publisher.reply_bytes,
        kept: KeptList | None = None,
    ) -> None:
        self._path = target.path
        self._reader = Reader(target, limits)
        self._file = IsolatedFile(self._reader, "", room)
        self._watched = WatchedFile(target.path)
        self._scanning = threading.Lock()
        self._listed: dict[DatasetPath, Entry] | None = None
        self._last_failure = ""
        self._kept = kept or KeptList(target.path)
        if self._kept.get() is None:
            self._reader.running()

    @property
    def pid(self) -> int:
        """The process that reads now."""
        return self._reader.running().pid

    def close(self) -> None:
        self._reader.close()

    # --- listing ---

    def scan(self, scope: str = ALL) -> dict[DatasetPath, Entry]:
        with self._scanning:
            stamp = self._watched.stamp()
            if scope == ALL or not self._is_listed(stamp):
                self._list(stamp)
            below = scope + "/"
            return {
                path: entry
                for path, entry in (self._listed or {}).items()
                if not scope or path == scope or path.startswith(below)
            }

    def _is_listed(self, stamp: tuple[int, ...]) -> bool:
        return self._listed is not None and self._watched.is_scanned(stamp)

    def _list(self, stamp: Stamp) -> None:
        """Bring the list in step with the file; on failure keep it, and try again later."""
        try:
            self._listed = self._of_version(stamp)
        except NotFound:
            self._listed = {}
        except StartError:
            if self._listed is None:
                raise
            self._watched.scanned(stamp, failed=True)
            return
        except CatervaError as error:
            # It is likely to be written just now: what was there is not gone for good.
            if self._last_failure != error.detail:
                log.warning("%s can't be listed: %s", self._path, error)
            self._last_failure = error.detail
            self._listed = self._listed or {}
            self._watched.scanned(stamp, failed=True)
            return
        self._last_failure = ""
        self._watched.scanned(stamp)

    def _of_version(self, stamp: Stamp) -> dict[DatasetPath, Entry]:
        """Return the list of a version, which is kept if there is no doubt about it."""
        known = self._kept.get()
        if known is not None and self._watched.stamp() == stamp:
            return known
        settled = self._kept.is_settled(stamp)
        found = self._reader.entries(self._file.place, stamp)
        is_whole = not self._reader.avoids(self._file.place, stamp)
        if settled and is_whole and self._watched.stamp() == stamp:
            self._kept.put(stamp, found)
        return found

    def remember(self) -> None:
        self._kept.save()

    # --- reading ---

    def info(self, path: DatasetPath, deadline: float = NEVER) -> DatasetInfo:
        found = self._file.info(path, deadline)
        listed = (self._listed or {}).get(path)
        if listed is not None and listed.etag != found.etag and self._kept.get() is not None:
            self._kept.drop()  # it is of another content, though the file looks unchanged
            self._watched.scanned((), failed=True)
        return found

    def chunks(
        self, path: DatasetPath, etag: str, ids: Sequence[int], deadline: float = NEVER
    ) -> Iterator[Run]:
        return self._file.chunks(path, etag, ids, deadline)

    def blocks(
        self, path: DatasetPath, etag: str, n: int, ids: Sequence[int], deadline: float = NEVER
    ) -> Cut:
        return self._file.blocks(path, etag, n, ids, deadline)

    def read_bytes(
        self, path: DatasetPath, etag: str, start: int, stop: int, deadline: float = NEVER
    ) -> Iterator[bytes]:
        return self._file.read_bytes(path, etag, start, stop, deadline)

    def warm_up(self) -> None:
        from caterva2.isolation import extents  # noqa: F401 - loads numpy

        self.remember()  # it is a long way to the end
        with contextlib.suppress(CantStart):  # the first read says why
            self._reader.running()

    # --- watching ---

    def changes(self, stop: threading.Event) -> Iterator[set[str]]:
        return self._watched.changes(stop)
