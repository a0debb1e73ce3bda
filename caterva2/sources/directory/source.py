"""A directory as a source: ``.b2nd`` arrays, ``.b2frame`` byte strings, and plain files."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from caterva2.errors import (
    BadName,
    BadRequest,
    CatervaError,
    NotFound,
    SourceCorrupt,
    StaleVersion,
    StartError,
)
from caterva2.frames.metadata import check_head
from caterva2.frames.raw import Cut, Run
from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.model import DatasetInfo, Entry
from caterva2.names import DatasetPath, is_group
from caterva2.runtime.printable import printable
from caterva2.sources import versions
from caterva2.sources.base import ALL, NEVER, Source
from caterva2.sources.directory import kept_frames
from caterva2.sources.directory.containers import Format
from caterva2.sources.directory.group_files import GroupFiles, scope_of
from caterva2.sources.directory.links import reason_left_out
from caterva2.sources.directory.listing import Listing
from caterva2.sources.directory.mounts import PLAIN, Mounts
from caterva2.sources.directory.plugged import Plugged
from caterva2.sources.directory.seen import Seen
from caterva2.sources.directory.watch import changes, polled
from caterva2.sources.kinds import RECIPE_MAGIC, file_info, is_hidden, kind_of

if TYPE_CHECKING:
    from caterva2.frames.reader import FrameReader
    from caterva2.sources.directory.open_frames import OpenFrames

log = logging.getLogger(__name__)


class _Looked(NamedTuple):
    """The entry of a file, and those of what is in it."""

    entry: Entry
    inside: Sequence[Entry]


class DirectorySource(Source):
    """Serves the files below a directory, without hidden ones and links that leave it.

    Parameters
    ----------
    directory : Path
    recipes : bool
        Whether stored expressions among the files are valid: the caller evaluates them.
    watch : bool
        Whether the system is asked to report changes; else all is scanned again and again.
    seen : Seen, optional
        What earlier scans found; nothing by default.
    groups : bool
        Whether directories are described that have attributes, and groups in containers.
    formats : sequence of Format, optional
        Formats of files of which the datasets are served too; closed with this source.
    enters : callable, optional
        Says of a directory's path whether it is entered, or left to another source.
    plugged : Plugged, optional
        Reads arrays that need plugins, else these are refused; closed with this source.
    limits : PublisherLimits, optional

    Attributes
    ----------
    mounts : Mounts
        The files of which the datasets are served.

    Raises
    ------
    StartError
        If it is not a directory that can be read.
    """

    def __init__(
        self,
        directory: Path,
        *,
        recipes: bool = False,
        watch: bool = True,
        seen: Seen | None = None,
        groups: bool = True,
        formats: Sequence[Format] = (),
        enters: Callable[[str], bool] = lambda _: True,
        plugged: Plugged | None = None,
        limits: PublisherLimits = DEFAULTS.publisher,
    ) -> None:
        self._root = os.path.realpath(directory)
        self._limits = limits
        self._recipes = recipes
        self._watch = watch
        self._frames: OpenFrames | None = None
        self._plugged = plugged
        self._lock = threading.Lock()
        self._logged: dict[str, str] = {}
        try:
            with os.scandir(self._root):
                pass
        except OSError as error:
            raise StartError(f"{directory}: {error.strerror}") from None
        self._seen = seen or Seen(directory, frame_bytes=limits.kept_frames)
        most = limits.file_datasets
        self.mounts = Mounts(formats, self._log, self._seen.drop, most, groups=groups)
        self._listing = Listing(self._root, self._log, limits.linked_directories, enters)
        self._groups = GroupFiles(self._root) if groups else None

    def remember(self) -> None:
        self._seen.save()

    def close(self) -> None:
        if self._frames is not None:
            self._frames.clear()
        if self._plugged is not None:
            self._plugged.close()
        self.mounts.close()

    # --- listing ---

    def scan(self, scope: str = ALL) -> dict[DatasetPath, Entry]:
        self.mounts.begin()
        if container := self.mounts.container_of(scope):
            return self._scan_inside(container, scope)
        files, inside = dict[DatasetPath, Entry](), dict[DatasetPath, Entry]()
        for text in self._listing.paths(scope):
            for looked in self._look(text):
                files[looked.entry.path] = looked.entry
                if looked.inside:
                    inside.update((entry.path, entry) for entry in looked.inside)
        self.mounts.keep(scope, files)
        if scope == ALL:
            self._seen.keep(files)
        return files | inside | self._described(files, scope)

    def _scan_inside(self, container: str, scope: str) -> dict[DatasetPath, Entry]:
        """List a part of a container; all of it is looked at, since it changes as a whole."""
        looked = [*self._look(container)]
        self.mounts.keep(container, {each.entry.path for each in looked})
        below = scope + "/"
        return {
            entry.path: entry
            for each in looked
            for entry in each.inside
            if entry.path == scope or entry.path.startswith(below)
        }

    def _described(self, files: Collection[DatasetPath], scope: str) -> dict[DatasetPath, Entry]:
        """Return the entries of the directories that have attributes."""
        if self._groups is None:
            return {}
        if is_group(scope):
            entry = self._groups.entry(DatasetPath(scope))
            return {} if entry is None else {entry.path: entry}
        if scope in files:
            return {}
        return self._groups.among(files)

    def _look(self, text: str) -> Sequence[_Looked]:
        """Return the entry of a file with those of what is in it; nothing if it is left out."""
        known = self._seen.known(text, f"{self._root}/{text}")
        if known is not None:
            if known.look.format:
                self.mounts.restore(text, known.entry.etag, known.look)
            return (_Looked(known.entry, known.look.entries),)
        try:
            path = DatasetPath(text)
            fd = self._open(path)
        except BadName as error:
            self._log(text, f"is left out: {error}")
            return ()
        except NotFound:
            self._gone(text)
            return ()
        try:
            version = versions.of(fd)
            entry = Entry(path, kind_of(path), version.etag, version.size, version.mtime)
            return (_Looked(entry, self._look_inside(entry, version, fd)),)
        finally:
            os.close(fd)

    def _look_inside(self, entry: Entry, version: versions.Version, fd: int) -> Sequence[Entry]:
        path, look = entry.path, PLAIN
        frame: bytes | None = b""
        if entry.kind == "file":
            settled = self._seen.is_settled(version)
            look = self.mounts.look(path, fd, version, settled=settled)
            if look.format and not self._is_at(path, version):
                look = look._replace(is_final=False)  # it may be of another version
        elif (frame := self._checked(path, version)) is None:
            return ()
        if look.is_final:
            self._seen.note(entry, version, look, frame or b"")
        return look.entries

    def _is_at(self, path: DatasetPath, version: versions.Version) -> bool:
        """Whether a version of a file still is where it was found."""
        return versions.FilePlace(Path(self._root), path).stamp() == version.stamp

    def _gone(self, text: str) -> None:
        """Let go of a file, which frees its room when it is closed; log why it can't be read."""
        if self._frames is not None:
            self._frames.forget(text)
        self.mounts.drop(text)
        reason = reason_left_out(self._root, text)
        if reason:
            self._log(text, reason)

    def _checked(self, path: DatasetPath, version: versions.Version) -> bytes | None:
        """Return what is kept of a listed frame; None if it is damaged, which is logged."""
        if self._recipes and version.head.startswith(RECIPE_MAGIC):
            return b""
        try:
            return kept_frames.pack(version, check_head(version.head, version.size))
        except SourceCorrupt as error:
            self._log(path, f"can't be served: {error}", version.etag)
            return None

    def _log(self, path: str, what: str, etag: str = "") -> None:
        """Log a fact about a path, once for each of its versions."""
        if self._logged.get(path) != what + etag:
            self._logged[path] = what + etag
            log.warning("%s", printable(f"{path} {what}"))

    def container_of(self, path: str) -> str:
        """Return the container that a path leads into; empty if there is none."""
        return self.mounts.container_of(path)

    # --- reading ---

    def _open(self, path: DatasetPath) -> int:
        if is_hidden(path):
            raise NotFound(f"{path} does not exist")
        return versions.open_beneath(self._root, path)

    def info(self, path: DatasetPath, deadline: float = NEVER) -> DatasetInfo:
        if (inside := self.mounts.find(path)) is not None:
            return inside.info(deadline)
        if self._groups is not None and is_group(path):
            return self._groups.info(path)
        kind = kind_of(path)
        if kind != "file":
            return self._opened().info(path, kind, self._seen.known(path, f"{self._root}/{path}"))
        fd = self._open(path)
        try:
            return file_info(path, versions.settled(fd))
        finally:
            os.close(fd)

    def chunks(
        self, path: DatasetPath, etag: str, ids: Sequence[int], deadline: float = NEVER
    ) -> Iterator[Run]:
        if (inside := self.mounts.find(path)) is not None:
            yield from inside.chunks(etag, ids, deadline)
            return
        _refuse_file(path)
        yield from self._opened().chunks(path, etag, ids)

    def blocks(
        self, path: DatasetPath, etag: str, n: int, ids: Sequence[int], deadline: float = NEVER
    ) -> Cut:
        if (inside := self.mounts.find(path)) is not None:
            return inside.blocks(etag, n, ids, deadline)
        _refuse_file(path)
        return self._opened().blocks(path, etag, n, ids)

    def read_bytes(
        self, path: DatasetPath, etag: str, start: int, stop: int, deadline: float = NEVER
    ) -> Iterator[bytes]:
        if (inside := self.mounts.find(path)) is not None:
            yield from inside.read_bytes(etag, start, stop, deadline)
            return
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
                self._frames = OpenFrames(self._open, self._stale, self._limits, self._plugged)
            return self._frames

    def warm_up(self) -> None:
        self._opened()
        self.mounts.warm_up()

    def _stale(self, path: DatasetPath) -> CatervaError:
        self._seen.drop(path)
        try:
            fd = self._open(path)
        except NotFound:
            return NotFound(f"{path} was deleted while it was read")
        try:
            etag = versions.of(fd).etag
        finally:
            os.close(fd)
        return StaleVersion(f"{path} changed while it was read", info={"etag": etag})

    # --- watching ---

    def changes(self, stop: threading.Event) -> Iterator[set[str]]:
        if not self._watch:
            return polled(stop, self._limits.poll)
        links = self._listing.links
        found = changes(self._root, links, stop, limits=self._limits)
        return ({scope_of(path) for path in hints} for hints in found)


def _refuse_file(path: DatasetPath) -> None:
    if kind_of(path) == "file":
        raise BadRequest(f"{path} is a plain file: it has bytes, not chunks")
