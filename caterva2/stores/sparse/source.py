"""A sparse frame as a dataset: its chunks travel as they are stored."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from caterva2.errors import (
    BadRequest,
    Busy,
    CatervaError,
    CodecNotAllowed,
    NotFound,
    SourceCorrupt,
    StaleVersion,
)
from caterva2.formats.blosc2_trees import SPARSE
from caterva2.frames.metadata import check_head
from caterva2.frames.raw import Cut, Run
from caterva2.frames.reader import FrameReader
from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.model import DatasetInfo, Entry
from caterva2.names import DatasetPath
from caterva2.runtime.lru import Lru
from caterva2.runtime.printable import printable
from caterva2.sources import versions
from caterva2.sources.base import ALL, NEVER, Datasets
from caterva2.sources.kinds import kind_of
from caterva2.sources.layout import CPARAMS
from caterva2.stores.object_reader import etag_of
from caterva2.stores.sparse import files as of_frame
from caterva2.stores.sparse.files import Files
from caterva2.stores.sparse.frame import SparseFrame
from caterva2.stores.store import Stamp

log = logging.getLogger(__name__)
TRIES = 25
UNNAMED = "it is a sparse frame, which is served if its name ends in .b2nd or .b2frame"


class OpenFrames:
    """The sparse frames that several sources have open: the most recently used.

    Parameters
    ----------
    limits : PublisherLimits, optional
    """

    def __init__(self, limits: PublisherLimits = DEFAULTS.publisher) -> None:
        self.run_bytes = limits.reply_bytes
        self._lock = threading.Lock()
        self._frames: Lru[tuple[str, str], SparseFrame] = Lru(limits.open_frames)

    def get(self, place: str, etag: str) -> SparseFrame | None:
        return self._frames.get((place, etag))

    def put(self, place: str, etag: str, frame: SparseFrame) -> None:
        with self._lock:
            self._frames.put((place, etag), frame)


class SparseSource(Datasets):
    """Serves the sparse frame that a directory is, as the one dataset of its name.

    Each file that is read is compared with the list that the version is derived from.

    Parameters
    ----------
    directory : Path
        Without links.
    place : str
        Its path in the root; the dataset has the last part of it as its name.
    frames : OpenFrames
    plugged : Datasets, optional
        Reads the chunks of an array that needs plugins of Blosc2, else it is refused.
    """

    def __init__(
        self, directory: Path, place: str, frames: OpenFrames, plugged: Datasets | None = None
    ) -> None:
        self._plugged = plugged
        self._directory = directory
        self._place = place
        self._path = DatasetPath(place.rpartition("/")[2])
        self._kind = kind_of(self._path)
        self._frames = frames
        self._told: dict[str, str] = {}
        self._known: Files | None = None

    def close(self) -> None:
        pass  # files are open while they are read

    # --- listing ---

    def scan(self, scope: str = ALL) -> dict[DatasetPath, Entry]:
        if scope not in (ALL, self._path):
            return {}
        try:
            found = of_frame.listed(self._directory)
            if self._kind == "file":
                raise SourceCorrupt(UNNAMED)
            head = self._read(found, SPARSE, 0, min(found.main.size, versions.EDGE))
            check_head(head, found.main.size, int(found.sizes.sum()))
        except NotFound:
            return {}
        except CatervaError as error:
            self._tell("listing", f"is left out: {error.detail}")
            return {}
        if found.others:
            self._tell(
                "others", f"has {found.others} files that are none of it; these are left out"
            )
        self._known, etag = found, self._etag(found)
        return {self._path: Entry(self._path, self._kind, etag, found.size, found.mtime)}

    def _etag(self, found: Files) -> str:
        return etag_of(self._path, Stamp(found.version, 0, 0.0))

    def _tell(self, about: str, what: str) -> None:
        """Log a fact about the frame, once until there is another one of its kind."""
        if self._told.get(about) != what:
            self._told[about] = what
            log.warning("%s", printable(f"{self._place} {what}"))

    # --- versions ---

    def _current(self) -> Files:
        """List the files, until none was written within one tick of the clock."""
        for _ in range(TRIES):
            self._known = found = of_frame.listed(self._directory)
            if found.is_settled:
                return found
            time.sleep(versions.TICK)
        raise Busy(f"{self._path} is being written", after_ms=500)

    def _version(self, etag: str) -> Files:
        """Return the files of a version; each of them is compared when it is read."""
        found = self._known
        if found is None or not found.is_settled or self._etag(found) != etag:
            found = self._current()
        if self._etag(found) != etag:
            raise self._stale(found)
        return found

    def _read(self, found: Files, name: str, start: int, stop: int) -> bytes:
        """Return bytes of a file of a version."""
        read = of_frame.read(self._directory, name, start, stop)
        if read is None or not found.has(name, read[1]):
            raise self._stale(self._current())
        if len(read[0]) != stop - start:
            raise SourceCorrupt(f"{name} has {len(read[0])} bytes, not {stop - start}")
        return read[0]

    @contextlib.contextmanager
    def _reading(self, found: Files) -> Iterator[None]:
        """Raise the stale error instead of one that a half-written next version caused."""
        try:
            yield
        except (SourceCorrupt, CodecNotAllowed) as error:
            current = self._current()
            if current.version == found.version:
                raise error.about(self._path) from None
            raise self._stale(current) from None

    def _stale(self, current: Files) -> StaleVersion:
        return StaleVersion(f"{self._path} has changed", info={"etag": self._etag(current)})

    def _frame(self, found: Files) -> SparseFrame:
        frame = self._frames.get(self._place, found.version)
        if frame is None:
            frame = SparseFrame(
                found, lambda name, start, stop: self._read(found, name, start, stop)
            )
            if missing := frame.missing():
                self._tell("missing", f"lacks files of chunks: {', '.join(missing)}")
            self._frames.put(self._place, found.version, frame)
        return frame

    # --- reading ---

    def _check(self, path: DatasetPath) -> None:
        if path != self._path or self._kind == "file":
            raise NotFound(f"{path} does not exist")

    def info(self, path: DatasetPath, deadline: float = NEVER) -> DatasetInfo:
        self._check(path)
        for _ in range(TRIES):
            found = self._current()
            with contextlib.suppress(StaleVersion), self._reading(found):
                frame = self._frame(found)
                packed = CPARAMS if self._decoder(frame) else None
                return frame.info(path, self._kind, self._etag(found), found.mtime, packed)
        raise Busy(f"{path} is being written", after_ms=500)

    def lists(self, path: DatasetPath, etag: str) -> bool:
        """Return whether a version of the dataset was listed last."""
        return self._known is not None and self._etag(self._known) == etag and path == self._path

    def frame(self, path: DatasetPath, etag: str) -> FrameReader:
        """Return a version of the frame."""
        return self._opened(path, etag)[1]

    def _opened(self, path: DatasetPath, etag: str) -> tuple[Files, SparseFrame]:
        self._check(path)
        found = self._version(etag)
        with self._reading(found):
            return found, self._frame(found)

    def _decoder(self, frame: SparseFrame) -> Datasets | None:
        """Return what decodes the chunks of a frame that needs plugins, if there is such."""
        return self._plugged if self._plugged is not None and frame.needs_plugins else None

    def chunks(
        self, path: DatasetPath, etag: str, ids: Sequence[int], deadline: float = NEVER
    ) -> Iterator[Run]:
        found, frame = self._opened(path, etag)
        if decoder := self._decoder(frame):
            yield from decoder.chunks(path, etag, ids, deadline)
            return
        with self._reading(found):
            yield from frame.runs(ids, self._frames.run_bytes)

    def blocks(
        self, path: DatasetPath, etag: str, n: int, ids: Sequence[int], deadline: float = NEVER
    ) -> Cut:
        found, frame = self._opened(path, etag)
        if decoder := self._decoder(frame):
            return decoder.blocks(path, etag, n, ids, deadline)
        with self._reading(found):
            return frame.blocks(n, ids)

    def read_bytes(
        self, path: DatasetPath, etag: str, start: int, stop: int, deadline: float = NEVER
    ) -> Iterator[bytes]:
        self._check(path)
        raise BadRequest(f"{path} has chunks, not bytes")
