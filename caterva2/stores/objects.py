"""A bucket, or a directory of a web server, as a root: arrays, byte strings, files, Zarr stores."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import TypeVar

from caterva2.errors import BadName, BadRequest, CatervaError, NotFound, SourceCorrupt, StaleVersion
from caterva2.frames.raw import Cut, Run
from caterva2.limits import DEFAULTS, PublisherLimits, constants
from caterva2.model import DatasetInfo, Entry
from caterva2.names import DatasetPath
from caterva2.runtime.lru import Lru
from caterva2.sources import versions
from caterva2.sources.base import ALL, NEVER, Source
from caterva2.sources.chunk_source import SCAN_SHARE
from caterva2.sources.kinds import file_info, is_hidden, kind_of
from caterva2.stores.deadlines import bounded, until
from caterva2.stores.mounted import Mounted
from caterva2.stores.object_frame import ObjectFrame
from caterva2.stores.recognition import METADATA
from caterva2.stores.store import ODD, Stamp, Store
from caterva2.stores.zarr.source import ZarrSource

T = TypeVar("T")


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
        self._lock = threading.Lock()
        self._stamps: dict[str, Stamp] = {}
        self._zarr = Mounted(self._mounted)
        self._frames: Lru[tuple[str, str], ObjectFrame] = Lru(limits.open_frames)
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

    # --- objects ---

    def _stamp(self, path: DatasetPath, etag: str = "") -> Stamp:
        """Return the stamp of an object: the listed one if it is of the version, else as it is."""
        known = self._stamps.get(path)
        if known is not None and etag == etag_of(path, known):
            return known
        found = None if is_hidden(path) else self._store.read(path, 0, 0, 0)
        if found is None or found[1].text == ODD:
            raise NotFound(f"{path} does not exist")
        if etag and etag_of(path, found[1]) != etag:
            raise StaleVersion(f"{path} has changed", info={"etag": etag_of(path, found[1])})
        return found[1]

    def _read(self, path: DatasetPath, stamp: Stamp, start: int, stop: int) -> bytes:
        """Return bytes of a version of an object."""
        found = self._store.read(path, stop - start, start, stop, stamp)
        if found is None:
            raise NotFound(f"{path} was deleted while it was read")
        if found[1].text != stamp.text:
            etag = etag_of(path, found[1])
            raise StaleVersion(f"{path} changed while it was read", info={"etag": etag})
        if len(found[0]) != stop - start:
            raise SourceCorrupt(f"{path} has {len(found[0])} bytes, not {stop - start}")
        return found[0]

    def _frame(self, path: DatasetPath, etag: str = "") -> tuple[ObjectFrame, Stamp]:
        if kind_of(path) == "file":
            raise BadRequest(f"{path} is a plain file: it has bytes, not chunks")
        stamp = self._stamp(path, etag)
        key = path, etag_of(path, stamp)
        frame = self._frames.get(key)
        if frame is None:
            try:
                frame = ObjectFrame(
                    lambda start, stop: self._read(path, stamp, start, stop), stamp.size
                )
            except SourceCorrupt as error:
                raise error.about(path) from None
            with self._lock:
                self._frames.put(key, frame)
        return frame, stamp

    def info(self, path: DatasetPath, deadline: float = NEVER) -> DatasetInfo:
        if (inside := self._zarr.find(path)) is not None:
            return inside.info(deadline)
        with until(deadline):
            kind = kind_of(path)
            if kind == "file":
                stamp = self._stamp(path)
                facts = etag_of(path, stamp), stamp.size, stamp.mtime, (0, stamp.size, 0, 0)
                return file_info(path, versions.Version(*facts, b"", b""))
            frame, stamp = self._frame(path)
            return _about(path, lambda: frame.info(path, kind, etag_of(path, stamp), stamp.mtime))

    def chunks(
        self, path: DatasetPath, etag: str, ids: Sequence[int], deadline: float = NEVER
    ) -> Iterator[Run]:
        if (inside := self._zarr.find(path)) is not None:
            yield from inside.chunks(etag, ids, deadline)
            return
        runs = bounded(self._runs(path, etag, ids), deadline)
        while (run := _about(path, lambda: next(runs, None))) is not None:
            yield run
            del run

    def _runs(self, path: DatasetPath, etag: str, ids: Sequence[int]) -> Iterator[Run]:
        yield from self._frame(path, etag)[0].runs(ids, self._limits.reply_bytes)

    def blocks(
        self, path: DatasetPath, etag: str, n: int, ids: Sequence[int], deadline: float = NEVER
    ) -> Cut:
        if (inside := self._zarr.find(path)) is not None:
            return inside.blocks(etag, n, ids, deadline)
        with until(deadline):
            return _about(path, lambda: self._frame(path, etag)[0].blocks(n, ids))

    def read_bytes(
        self, path: DatasetPath, etag: str, start: int, stop: int, deadline: float = NEVER
    ) -> Iterator[bytes]:
        if (inside := self._zarr.find(path)) is not None:
            yield from inside.read_bytes(etag, start, stop, deadline)
            return
        yield from bounded(self._pieces(path, etag, start, stop), deadline)

    def _pieces(self, path: DatasetPath, etag: str, start: int, stop: int) -> Iterator[bytes]:
        stamp = self._stamp(path, etag)
        if not 0 <= start <= stop <= stamp.size:
            raise BadRequest(f"bytes {start} to {stop} of {stamp.size} do not exist")
        piece = self._limits.reply_bytes
        for at in range(start, stop, piece):
            yield self._read(path, stamp, at, min(at + piece, stop))

    def warm_up(self) -> None:
        pass  # all modules for reading are loaded with this one


def etag_of(path: str, stamp: Stamp) -> str:
    """Return the version of an object."""
    return hashlib.blake2b(f"{path}\0{stamp.text}".encode(), digest_size=12).hexdigest()


def _entry(key: str, stamp: Stamp) -> Entry | None:
    try:
        path = DatasetPath(key)
    except BadName:
        return None
    if is_hidden(path) or stamp.text == ODD:
        return None
    return Entry(path, kind_of(path), etag_of(path, stamp), stamp.size, stamp.mtime)


def _about(path: DatasetPath, ask: Callable[[], T]) -> T:
    try:
        return ask()
    except CatervaError as error:
        raise error.about(path) from None
