"""A bucket, or a directory of a web server, as a root: arrays, byte strings, files, Zarr stores."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from caterva2.errors import BadName, NotFound, SourceCorrupt
from caterva2.frames.raw import Cut, Run
from caterva2.limits import DEFAULTS, PublisherLimits, constants
from caterva2.model import DatasetInfo, Entry
from caterva2.names import DatasetPath
from caterva2.sources.base import ALL, NEVER, Source
from caterva2.sources.chunk_source import SCAN_SHARE
from caterva2.sources.kinds import is_hidden, kind_of
from caterva2.stores.deadlines import bounded, until
from caterva2.stores.mounted import Mounted
from caterva2.stores.object_reader import Object, ObjectReader, about, etag_of
from caterva2.stores.recognition import METADATA
from caterva2.stores.store import ODD, Stamp, Store
from caterva2.stores.zarr.source import ZarrSource


class ObjectSource(Source):
    """Serves the objects of a store by their keys, and the arrays of Zarr stores among them.

    Parameters
    ----------
    store : Store
        Closed with this source.
    limits : PublisherLimits, optional
    """

    def __init__(self, store: Store, limits: PublisherLimits = DEFAULTS.publisher) -> None:
        self._store = store
        self._limits = limits
        self._stamps: dict[str, Stamp] = {}
        self._zarr = Mounted(self._mounted)
        self._reader = ObjectReader(limits)
        self._pause = limits.poll

    def close(self) -> None:
        self._zarr.close()
        self._store.close()

    # --- listing ---

    def scan(self, scope: str = ALL) -> dict[DatasetPath, Entry]:
        began = time.monotonic()
        entries: dict[DatasetPath, Entry] = {}
        stamps: dict[str, Stamp] = {}
        places = list[str]()
        self._store.renew()
        for prefix, files in self._walk():
            if prefix and files.keys() & {*METADATA}:
                places.append(prefix)
                entries |= self._zarr.scan(prefix, now=True)
                continue
            for name, stamp in files.items():
                key = f"{prefix}/{name}".strip("/")
                stamps[key] = stamp
                made = _entry(key, stamp)
                if made is not None:
                    entries[made.path] = made
        self._zarr.keep(places)
        self._stamps = stamps
        self._pause = max(self._limits.poll, SCAN_SHARE * (time.monotonic() - began))
        below = scope + "/"
        return {p: e for p, e in entries.items() if not scope or p == scope or p.startswith(below)}

    def _walk(self) -> Iterator[tuple[str, dict[str, Stamp]]]:
        """Yield prefixes and the objects right below them; nothing below that of a Zarr store."""
        pending, count = [""], 0
        while pending:
            prefix = pending.pop()
            files, folders = self._store.children(prefix)
            count += len(files) + 1
            if count > self._limits.listed_objects:
                most = self._limits.listed_objects
                raise SourceCorrupt(f"the root has more than LISTED_OBJECTS ({most}) objects")
            yield prefix, files
            if (
                not (prefix and files.keys() & {*METADATA})
                and prefix.count("/") < constants.PATH_DEPTH
            ):
                names = sorted(name for name in folders if not is_hidden(name))
                pending += [f"{prefix}/{name}".strip("/") for name in reversed(names)]

    def _mounted(self, prefix: str) -> ZarrSource:
        name = PurePosixPath(prefix).stem
        return ZarrSource(self._store, name, self._limits, prefix, shared=True)

    def changes(self, stop: threading.Event) -> Iterator[set[str]]:
        while not stop.wait(self._pause):
            yield {ALL}

    # --- reading ---

    def _object(self, path: DatasetPath) -> Object:
        """Return the object of a path."""
        if is_hidden(path):
            raise NotFound(f"{path} does not exist")
        return Object(path, kind_of(path), self._store, path, self._stamps.get(path))

    def info(self, path: DatasetPath, deadline: float = NEVER) -> DatasetInfo:
        if (inside := self._zarr.find(path)) is not None:
            return inside.info(deadline)
        with until(deadline):
            return about(path, lambda: self._reader.info(self._object(path)))

    def chunks(
        self, path: DatasetPath, etag: str, ids: Sequence[int], deadline: float = NEVER
    ) -> Iterator[Run]:
        if (inside := self._zarr.find(path)) is not None:
            yield from inside.chunks(etag, ids, deadline)
            return
        runs = bounded(self._reader.runs(self._object(path), etag, ids), deadline)
        while (run := about(path, lambda: next(runs, None))) is not None:
            yield run
            del run

    def blocks(
        self, path: DatasetPath, etag: str, n: int, ids: Sequence[int], deadline: float = NEVER
    ) -> Cut:
        if (inside := self._zarr.find(path)) is not None:
            return inside.blocks(etag, n, ids, deadline)
        with until(deadline):
            return about(path, lambda: self._reader.blocks(self._object(path), etag, n, ids))

    def read_bytes(
        self, path: DatasetPath, etag: str, start: int, stop: int, deadline: float = NEVER
    ) -> Iterator[bytes]:
        if (inside := self._zarr.find(path)) is not None:
            yield from inside.read_bytes(etag, start, stop, deadline)
            return
        yield from bounded(self._reader.pieces(self._object(path), etag, start, stop), deadline)

    def warm_up(self) -> None:
        pass  # all modules for reading are loaded with this one


def _entry(key: str, stamp: Stamp) -> Entry | None:
    try:
        path = DatasetPath(key)
    except BadName:
        return None
    if is_hidden(path) or stamp.text == ODD:
        return None
    return Entry(path, kind_of(path), etag_of(path, stamp), stamp.size, stamp.mtime)
