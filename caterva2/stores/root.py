"""A store that is a whole root: it is listed anew when its file or directory changes."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from caterva2.errors import CatervaError
from caterva2.frames.raw import Cut, Run
from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.model import DatasetInfo, Entry
from caterva2.names import DatasetPath
from caterva2.runtime.printable import printable
from caterva2.sources.base import ALL, NEVER, Datasets, Source
from caterva2.sources.directory.links import Links
from caterva2.sources.directory.plugged import Plugged
from caterva2.sources.directory.watch import changes, polled
from caterva2.sources.watched_file import WatchedFile

log = logging.getLogger(__name__)


class StoreRoot(Source):
    """Serves a store by itself. While it can't be listed, the last list stands.

    Parameters
    ----------
    path : Path
        Of its file or directory.
    datasets : Datasets
        What is in it; closed with this source.
    watch : bool
        Whether the system is asked to report changes in a directory.
    plugged : Plugged, optional
        Used by them, and closed with this source.
    limits : PublisherLimits, optional
    """

    def __init__(
        self,
        path: Path,
        datasets: Datasets,
        *,
        watch: bool = True,
        plugged: Plugged | None = None,
        limits: PublisherLimits = DEFAULTS.publisher,
    ) -> None:
        self._path = path
        self._datasets = datasets
        self._watch = watch
        self._plugged = plugged
        self._limits = limits
        self._watched = WatchedFile(path)
        self._scanning = threading.Lock()
        self._listed: dict[DatasetPath, Entry] = {}
        self._problem = ""

    def close(self) -> None:
        self._datasets.close()
        if self._plugged is not None:
            self._plugged.close()

    def scan(self, scope: str = ALL) -> dict[DatasetPath, Entry]:
        with self._scanning:
            stamp = self._watched.stamp()
            try:
                self._listed = self._datasets.scan() if stamp else {}
                self._problem = ""
            except CatervaError as error:
                if error.detail != self._problem:
                    log.warning("%s", printable(f"{self._path} can't be listed: {error}"))
                self._problem = error.detail
            self._watched.scanned(stamp, failed=bool(self._problem))
            below = scope + "/"
            return {
                path: entry
                for path, entry in self._listed.items()
                if not scope or path == scope or path.startswith(below)
            }

    def info(self, path: DatasetPath, deadline: float = NEVER) -> DatasetInfo:
        return self._datasets.info(path, deadline)

    def chunks(
        self, path: DatasetPath, etag: str, ids: Sequence[int], deadline: float = NEVER
    ) -> Iterator[Run]:
        return self._datasets.chunks(path, etag, ids, deadline)

    def blocks(
        self, path: DatasetPath, etag: str, n: int, ids: Sequence[int], deadline: float = NEVER
    ) -> Cut:
        return self._datasets.blocks(path, etag, n, ids, deadline)

    def read_bytes(
        self, path: DatasetPath, etag: str, start: int, stop: int, deadline: float = NEVER
    ) -> Iterator[bytes]:
        return self._datasets.read_bytes(path, etag, start, stop, deadline)

    def changes(self, stop: threading.Event) -> Iterator[set[str]]:
        if not os.path.isdir(self._path):
            yield from self._watched.changes(stop)
        elif not self._watch:
            yield from polled(stop, self._limits.poll)
        else:
            found = changes(str(self._path), Links(), stop, limits=self._limits)
            for _ in found:
                yield {ALL}
