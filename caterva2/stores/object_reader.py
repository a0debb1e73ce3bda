"""Reads datasets that are objects of a store, each read in one version."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from caterva2.errors import BadRequest, Busy, CatervaError, NotFound, SourceCorrupt, StaleVersion
from caterva2.frames.chunk import check_cparams, needs_plugins
from caterva2.frames.metadata import check_head
from caterva2.frames.raw import Cut, Run
from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.model import CParams, DatasetInfo, Kind
from caterva2.names import DatasetPath
from caterva2.runtime.lru import Lru
from caterva2.sources import versions
from caterva2.sources.kinds import file_info
from caterva2.stores.object_frame import ObjectFrame
from caterva2.stores.store import ODD, Stamp, Store

T = TypeVar("T")
TRIES = 25


@dataclass(frozen=True, slots=True)
class Object:
    """A dataset that is an object of a store.

    Attributes
    ----------
    path : DatasetPath
        The dataset's.
    kind : Kind
    store : Store
    key : str
        The object's.
    listed : Stamp or None
        The version that was listed last.
    """

    path: DatasetPath
    kind: Kind
    store: Store
    key: str
    listed: Stamp | None


class ObjectReader:
    """Reads versions of objects, and keeps the most recently used frames open.

    Parameters
    ----------
    limits : PublisherLimits, optional
    """

    def __init__(self, limits: PublisherLimits = DEFAULTS.publisher) -> None:
        self._run_bytes = limits.reply_bytes
        self._lock = threading.Lock()
        self._frames: Lru[tuple[str, str], ObjectFrame] = Lru(limits.open_frames)

    def info(self, found: Object, converted: CParams | None = None) -> DatasetInfo:
        """Describe the current version of an object.

        ``converted`` is how chunks are packed that need plugins of Blosc2, if they may.
        """
        path = found.path
        if found.kind == "file":
            stamp = self._stamp(found)
            facts = etag_of(path, stamp), stamp.size, stamp.mtime, (0, stamp.size, 0, 0)
            return file_info(path, versions.Version(*facts, b"", b""))
        frame, stamp = self.frame(found)
        packed = converted if frame.needs_plugins else None
        return frame.info(path, found.kind, etag_of(path, stamp), stamp.mtime, packed)

    def runs(self, found: Object, etag: str, ids: Sequence[int]) -> Iterator[Run]:
        """Yield raw chunks of a version of a frame, see `Source.chunks`."""
        yield from self.frame(found, etag)[0].runs(ids, self._run_bytes)

    def blocks(self, found: Object, etag: str, n: int, ids: Sequence[int]) -> Cut:
        """Return some blocks of a chunk of a version of a frame, see `Source.blocks`."""
        return self.frame(found, etag)[0].blocks(n, ids)

    def pieces(self, found: Object, etag: str, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes of a version of a plain file, see `Source.read_bytes`."""
        stamp = self._stamp(found, etag)
        if not 0 <= start <= stop <= stamp.size:
            raise BadRequest(f"bytes {start} to {stop} of {stamp.size} do not exist")
        for at in range(start, stop, self._run_bytes):
            yield _read(found, stamp, at, min(at + self._run_bytes, stop))

    def check(self, found: Object, *, plugins: bool = False) -> None:
        """Check the head of the listed version of a frame.

        Parameters
        ----------
        found : Object
        plugins : bool, optional
            Whether an array may need plugins of Blosc2.

        Raises
        ------
        SourceCorrupt, CodecNotAllowed
            If it is no frame that can be served.
        """
        if found.listed is None:
            return
        size = found.listed.size
        header = check_head(_read(found, found.listed, 0, min(size, versions.EDGE)), size)
        may_be = plugins and header is not None and "b2nd" in header.metalayers
        if header is not None and not (may_be and needs_plugins(header.cparams)):
            check_cparams(header.cparams)

    def frame(self, found: Object, etag: str = "") -> tuple[ObjectFrame, Stamp]:
        """Return a version of a frame, of the current one if no etag is given."""
        if found.kind not in ("array", "frame"):
            raise BadRequest(f"{found.path} is a plain file: it has bytes, not chunks")
        stamp = self._stamp(found, etag)
        key = found.path, etag_of(found.path, stamp)
        frame = self._frames.get(key)
        if frame is None:
            try:
                frame = ObjectFrame(
                    lambda start, stop: _read(found, stamp, start, stop), stamp.size
                )
            except SourceCorrupt as error:
                raise error.about(found.path) from None
            with self._lock:
                self._frames.put(key, frame)
        return frame, stamp

    def _stamp(self, found: Object, etag: str = "") -> Stamp:
        """Return a version of an object, which no later change can look like."""
        for _ in range(TRIES):
            stamp = _current(found, etag)
            if stamp.is_settled(time.time()):
                return stamp
            time.sleep(versions.TICK)
        raise Busy(f"{found.path} is being written", after_ms=500)


def _current(found: Object, etag: str) -> Stamp:
    """Return the stamp of an object: the listed one if it is of the version, else as it is."""
    path, listed = found.path, found.listed
    if listed is not None and etag == etag_of(path, listed):
        return listed
    read = found.store.read(found.key, 0, 0, 0)
    if read is None or read[1].text == ODD:
        raise NotFound(f"{path} does not exist")
    if etag and etag_of(path, read[1]) != etag:
        raise StaleVersion(f"{path} has changed", info={"etag": etag_of(path, read[1])})
    return read[1]


def _read(found: Object, stamp: Stamp, start: int, stop: int) -> bytes:
    """Return bytes of a version of an object."""
    path = found.path
    read = found.store.read(found.key, stop - start, start, stop, stamp)
    if read is None:
        raise NotFound(f"{path} was deleted while it was read")
    if read[1].text != stamp.text:
        etag = etag_of(path, read[1])
        raise StaleVersion(f"{path} changed while it was read", info={"etag": etag})
    if len(read[0]) != stop - start:
        raise SourceCorrupt(f"{path} has {len(read[0])} bytes, not {stop - start}")
    return read[0]


def etag_of(path: str, stamp: Stamp) -> str:
    """Return the version of an object."""
    return hashlib.blake2b(f"{path}\0{stamp.text}".encode(), digest_size=12).hexdigest()


def about(path: DatasetPath, ask: Callable[[], T]) -> T:
    """Return an answer; an error is about a dataset."""
    try:
        return ask()
    except CatervaError as error:
        raise error.about(path) from None
