"""A directory as a source: ``.b2nd`` arrays, ``.b2frame`` byte strings, and plain files."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import watchfiles

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
from caterva2.names import DatasetPath
from caterva2.runtime.printable import printable
from caterva2.sources import versions
from caterva2.sources.base import ALL, NEVER, Source
from caterva2.sources.directory.seen import Seen
from caterva2.sources.kinds import KINDS, RECIPE_MAGIC, file_info, is_hidden, kind_of, suffix

if TYPE_CHECKING:
    from caterva2.frames.reader import FrameReader
    from caterva2.sources.directory.open_frames import OpenFrames

log = logging.getLogger(__name__)

LOOK_MS = 10
"""Milliseconds between two polls for the changes that the system reports."""
MANY_HINTS = 1000
"""Hints at once from which on a scan of everything is cheaper than a scan of each."""
CONTIGUOUS = "save it as one file, with copy(contiguous=True, urlpath=...)"


class DirectorySource(Source):
    """Serves the files below a directory, without hidden ones and links that leave it.

    Parameters
    ----------
    directory : Path
    look_ms : int
        Milliseconds between two polls for changes: each of them wakes a thread.
    recipes : bool
        Whether stored expressions among the files are valid: the caller evaluates them.
    seen : Seen, optional
        What earlier scans found; nothing by default.
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
        seen: Seen | None = None,
        limits: PublisherLimits = DEFAULTS.publisher,
    ) -> None:
        self._root = os.path.realpath(directory)
        self._limits = limits
        self._look_ms = look_ms
        self._recipes = recipes
        self._frames: OpenFrames | None = None
        self._lock = threading.Lock()
        self._logged: dict[str, str] = {}
        try:
            with os.scandir(self._root):
                pass
        except OSError as error:
            raise StartError(f"{directory}: {error.strerror}") from None
        self._seen = seen or Seen(directory)

    def remember(self) -> None:
        self._seen.save()

    def close(self) -> None:
        if self._frames is not None:
            self._frames.clear()

    # --- listing ---

    def scan(self, scope: str = ALL) -> dict[DatasetPath, Entry]:
        if scope != ALL and self._is_left_out(scope):
            return {}
        full = f"{self._root}/{scope}" if scope else self._root
        is_directory = os.path.isdir(full) and (not scope or not os.path.islink(full))
        paths = self._walk(full, scope) if is_directory else iter([scope])
        entries = (self._entry(path) for path in paths if path)
        found = {entry.path: entry for entry in entries if entry is not None}
        if scope == ALL:
            self._seen.keep(found)
        return found

    def _is_left_out(self, scope: str) -> bool:
        parts = scope.split("/")
        parent = "/".join((self._root, *parts[:-1]))
        if is_hidden(scope) or os.path.realpath(parent) != parent:
            return True
        return any(
            suffix(part) in KINDS and os.path.isdir("/".join((self._root, *parts[: n + 1])))
            for n, part in enumerate(parts)
        )

    def _walk(self, directory: str, prefix: str) -> Iterator[str]:
        """Yield the relative paths of all visible files; not recursive, so depth costs no stack."""
        pending = [(directory, prefix)]
        while pending:
            where, name = pending.pop()
            try:
                with os.scandir(where) as found:
                    children = sorted(found, key=lambda child: child.name)
            except OSError as error:
                if where != directory:
                    self._log(name, f"can't be listed: {error.strerror}")
                continue
            for child in children:
                if child.name.startswith("."):
                    continue
                path = f"{name}/{child.name}" if name else child.name
                if not child.is_dir(follow_symlinks=False):
                    yield path
                elif suffix(child.name) in KINDS:
                    self._log(
                        path, "is a sparse frame (a directory), which is not served: " + CONTIGUOUS
                    )
                else:
                    pending.append((child.path, path))

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
            if versions.leads_out(self._root, text):
                self._log(text, "is left out: it is a link that leads out of the root")
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
        next_full = time.monotonic() + self._limits.full_scan
        again: set[str] = set()
        for found in watchfiles.watch(
            self._root, stop_event=stop, debounce=50, step=self._look_ms, rust_timeout=500,
            yield_on_timeout=True, raise_interrupt=False, watch_filter=None,
        ):  # fmt: skip
            hints = {os.path.relpath(path, self._root) for _, path in found}
            scopes = hints | again
            # A file in a new directory that is not watched yet goes unseen: scan it twice.
            again = {scope for scope in hints if os.path.isdir(f"{self._root}/{scope}")}
            if time.monotonic() >= next_full or len(scopes) > MANY_HINTS or "." in scopes:
                next_full = time.monotonic() + self._limits.full_scan
                yield {ALL}
            elif scopes:
                yield scopes


def _refuse_file(path: DatasetPath) -> None:
    if kind_of(path) == "file":
        raise BadRequest(f"{path} is a plain file: it has bytes, not chunks")
