"""A directory as a source: ``.b2nd`` arrays, ``.b2frame`` byte strings, and plain files."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from caterva2.errors import (
    BadName,
    BadRequest,
    CatervaError,
    NotFound,
    SourceCorrupt,
    StaleVersion,
    StartError,
)
from caterva2.frames import layout, metadata
from caterva2.frames.raw import Cut, Run
from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.model import DatasetInfo, Entry
from caterva2.names import DatasetPath, is_group
from caterva2.runtime.printable import printable
from caterva2.sources import versions
from caterva2.sources.base import ALL, NEVER, Source
from caterva2.sources.directory.group_files import GroupFiles, scope_of
from caterva2.sources.directory.links import reason_left_out
from caterva2.sources.directory.listing import Listing
from caterva2.sources.directory.seen import Seen
from caterva2.sources.directory.watch import changes, polled
from caterva2.sources.kinds import RECIPE_MAGIC, file_info, is_hidden, kind_of

if TYPE_CHECKING:
    from caterva2.frames.reader import FrameReader
    from caterva2.sources.directory.open_frames import OpenFrames

log = logging.getLogger(__name__)

LOOK_MS = 10
"""Milliseconds between two polls for the changes that the system reports."""


class DirectorySource(Source):
    """Serves the files below a directory, without hidden ones and links that leave it.

    Parameters
    ----------
    directory : Path
    look_ms : int
        Milliseconds between two polls for changes: each of them wakes a thread.
    recipes : bool
        Whether stored expressions among the files are valid: the caller evaluates them.
    watch : bool
        Whether the system is asked to report changes; else all is scanned again and again.
    seen : Seen, optional
        What earlier scans found; nothing by default.
    groups : bool
        Whether directories are described that have attributes.
    limits : PublisherLimits, optional

    Raises
    ------
    StartError
        If it is not a directory that can be read.
    """

    def __init__(
        self,
        directory: Path,
        *,
        look_ms: int = LOOK_MS,
        recipes: bool = False,
        watch: bool = True,
        seen: Seen | None = None,
        groups: bool = True,
        limits: PublisherLimits = DEFAULTS.publisher,
    ) -> None:
        self._root = os.path.realpath(directory)
        self._limits = limits
        self._look_ms = look_ms
        self._recipes = recipes
        self._watch = watch
        self._frames: OpenFrames | None = None
        self._lock = threading.Lock()
        self._logged: dict[str, str] = {}
        try:
            with os.scandir(self._root):
                pass
        except OSError as error:
            raise StartError(f"{directory}: {error.strerror}") from None
        self._seen = seen or Seen(directory)
        self._listing = Listing(self._root, self._log, limits.linked_directories)
        self._groups = GroupFiles(self._root) if groups else None

    def remember(self) -> None:
        self._seen.save()

    def close(self) -> None:
        if self._frames is not None:
            self._frames.clear()

    # --- listing ---

    def scan(self, scope: str = ALL) -> dict[DatasetPath, Entry]:
        entries = (self._entry(path) for path in self._listing.paths(scope))
        found = {entry.path: entry for entry in entries if entry is not None}
        if scope == ALL:
            self._seen.keep(found)
        return found | self._described(found, scope)

    def _described(self, found: Collection[DatasetPath], scope: str) -> dict[DatasetPath, Entry]:
        """Return the entries of the directories that have attributes."""
        if self._groups is None:
            return {}
        if is_group(scope):
            entry = self._groups.entry(DatasetPath(scope))
            return {} if entry is None else {entry.path: entry}
        if scope in found:
            return {}
        return self._groups.among(found)

    def _entry(self, text: str) -> Entry | None:
        known = self._seen.entry(text, f"{self._root}/{text}")
        if known is not None:
            return known
        try:
            path = DatasetPath(text)
            fd = self._open(path)
        except BadName as error:
            self._log(text, f"is left out: {error}")
            return None
        except NotFound:
            if self._frames is not None:
                self._frames.forget(text)  # a deleted file frees its room when it is closed
            reason = reason_left_out(self._root, text)
            if reason:
                self._log(text, reason)
            return None
        try:
            version = versions.of(fd)
        finally:
            os.close(fd)
        kind = kind_of(path)
        entry = Entry(
            path=path, kind=kind, etag=version.etag, size=version.size, mtime=version.mtime
        )
        if kind == "file" or self._is_sound(path, version):
            self._seen.note(entry, version)
        return entry

    def _is_sound(self, path: DatasetPath, version: versions.Version) -> bool:
        """Check a listed frame by the bytes that its version was derived from; log damage."""
        if self._recipes and version.head.startswith(RECIPE_MAGIC):
            return True
        try:
            length = layout.header_length(version.head)
            if length <= len(version.head):
                header = layout.parse_header(version.head[:length])
                if header.frame_length > version.size:
                    raise SourceCorrupt("the file is shorter than the frame in it")
                metadata.check_stored(header.metalayers)
        except SourceCorrupt as error:
            self._log(path, f"can't be served: {error}", version.etag)
            return False
        return True

    def _log(self, path: str, what: str, etag: str = "") -> None:
        """Log a fact about a path, once for each of its versions."""
        if self._logged.get(path) != what + etag:
            self._logged[path] = what + etag
            log.warning("%s", printable(f"{path} {what}"))

    # --- reading ---

    def _open(self, path: DatasetPath) -> int:
        if is_hidden(path):
            raise NotFound(f"{path} does not exist")
        return versions.open_beneath(self._root, path)

    def info(self, path: DatasetPath, deadline: float = NEVER) -> DatasetInfo:
        if self._groups is not None and is_group(path):
            return self._groups.info(path)
        kind = kind_of(path)
        if kind != "file":
            return self._opened().info(path, kind)
        fd = self._open(path)
        try:
            version = versions.settled(fd)
        finally:
            os.close(fd)
        return file_info(path, version)

    def chunks(
        self, path: DatasetPath, etag: str, ids: Sequence[int], deadline: float = NEVER
    ) -> Iterator[Run]:
        _refuse_file(path)
        yield from self._opened().chunks(path, etag, ids)

    def blocks(
        self, path: DatasetPath, etag: str, n: int, ids: Sequence[int], deadline: float = NEVER
    ) -> Cut:
        _refuse_file(path)
        return self._opened().blocks(path, etag, n, ids)

    def read_bytes(
        self, path: DatasetPath, etag: str, start: int, stop: int, deadline: float = NEVER
    ) -> Iterator[bytes]:
        fd = self._open(path)
        try:
            version = versions.settled(fd)
            if version.etag != etag:
                raise StaleVersion(f"{path} has changed", info={"etag": version.etag})
            if not 0 <= start <= stop <= version.size:
                raise BadRequest(f"bytes {start} to {stop} of {version.size} do not exist")
            piece = self._limits.reply_bytes
            for at in range(start, stop, piece):
                size = min(piece, stop - at)
                yield self._piece(path, fd, version, size, at)
        finally:
            os.close(fd)

    def _piece(
        self, path: DatasetPath, fd: int, version: versions.Version, size: int, offset: int
    ) -> bytes:
        data = os.pread(fd, size, offset)
        if len(data) != size or not versions.unchanged(fd, version):
            raise self._stale(path)
        return data

    def frame(self, path: DatasetPath, etag: str) -> FrameReader:
        """Return a reader of a version of a frame, which stays open while it is referenced."""
        return self._opened().get(path, etag)[0]

    def check(self, path: DatasetPath, etag: str) -> None:
        """Raise `StaleVersion` if a frame has another version."""
        self._opened().get(path, etag)

    def _opened(self) -> OpenFrames:
        # It imports Blosc2, which takes longer to load than all else; a listing needs none.
        from caterva2.sources.directory.open_frames import OpenFrames

        with self._lock:
            if self._frames is None:
                self._frames = OpenFrames(self._open, self._stale, self._limits)
            return self._frames

    def warm_up(self) -> None:
        self._opened()

    def _stale(self, path: DatasetPath) -> CatervaError:
        entry = self._entry(path)
        if entry is None:
            return NotFound(f"{path} was deleted while it was read")
        return StaleVersion(f"{path} changed while it was read", info={"etag": entry.etag})

    # --- watching ---

    def changes(self, stop: threading.Event) -> Iterator[set[str]]:
        if not self._watch:
            return polled(stop, self._limits.poll)
        links = self._listing.links
        found = changes(self._root, links, stop, look_ms=self._look_ms, limits=self._limits)
        return ({scope_of(path) for path in hints} for hints in found)


def _refuse_file(path: DatasetPath) -> None:
    if kind_of(path) == "file":
        raise BadRequest(f"{path} is a plain file: it has bytes, not chunks")
