"""Entries of files that earlier scans opened, so that a scan opens only changed files."""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import ConfigDict, Field, TypeAdapter

from caterva2.errors import StartError
from caterva2.limits import DEFAULTS
from caterva2.model import Entry
from caterva2.runtime import batches, statefile
from caterva2.runtime.statedir import BOOT
from caterva2.sources import versions
from caterva2.sources.directory import kept_frames
from caterva2.sources.directory.mounts import PLAIN, Look
from caterva2.sources.versions import Version

log = logging.getLogger(__name__)
AGE = 2.0
"""Seconds after a change from which on a further change alters the file's times, whatever file
system it is on: some have no finer clock."""
FORMAT = 5
"""Raised when the file's format, or the derivation of etags or kinds, changes."""
_ENTRY = 64
"""Bytes that an object for the bytes of a frame takes beside these, about."""
_Kept = Annotated[bytes, Field(max_length=kept_frames.MOST + 4)]
_Record = tuple[int, Entry, str, int, _Kept]
"""The hash of a file's stamp, its entry, the format of a container, how many records of what is
in it follow, and what is kept of a frame."""
_BATCH = TypeAdapter(list[_Record], config=ConfigDict(defer_build=True))


class Known(NamedTuple):
    """A file that was looked at: the hash of its stamp, its entry, and what is in it.

    Of a frame there may be header and trailer, as `kept_frames` packs them.
    """

    mark: int
    entry: Entry
    look: Look
    frame: bytes = b""


class Seen:
    """Entries of files by their paths, each valid while the file's stamp is the same.

    Parameters
    ----------
    directory : Path
        The directory that the files are in.
    memory : Path, optional
        File in which `save` leaves the entries for the next process. They are valid until the
        machine restarts: a loss of power can take content from files that keep their times.
    age : float, optional
        Seconds since its last change from which on a file is remembered.
    boot : Path, optional
        File that identifies a run of the machine.
    batch : int, optional
        Entries that are saved together.
    formats : sequence of str, optional
        The formats of containers that are looked for, with what their lists depend on.
    frame_bytes : int, optional
        Bytes of headers and trailers of frames that are remembered too.
    """

    def __init__(
        self,
        directory: Path,
        memory: Path | None = None,
        *,
        age: float = AGE,
        boot: Path = BOOT,
        batch: int = batches.BATCH,
        formats: Sequence[str] = (),
        frame_bytes: int = DEFAULTS.publisher.kept_frames,
    ) -> None:
        self._memory = memory
        self._frame_bytes = self._room = frame_bytes
        self._age = age
        self._batch = batch
        self._origin = [FORMAT, os.path.realpath(directory), list(formats), _identity(boot)]
        self._found: dict[str, Known] = {}
        self._lock = threading.Lock()
        self._saved = True
        if memory is not None:
            self._read(memory)

    def known(self, path: str, file: str) -> Known | None:
        """Return what is known of a file, None if it is unknown or has changed."""
        known = self._found.get(path)
        if known is None:
            return None
        try:
            same = hash(versions.stamp(os.lstat(file))) == known.mark
        except OSError:
            same = False
        return known if same else None

    def note(self, entry: Entry, version: Version, look: Look = PLAIN, frame: bytes = b"") -> None:
        """Remember a file, unless it changed so recently that a further change could go unseen."""
        self._saved = False
        self._forget(entry.path)
        if self.is_settled(version):
            self._keep(Known(hash(version.stamp), entry, look, frame))

    def _keep(self, known: Known) -> None:
        """Remember a file, without the bytes of a frame that have no room."""
        size = len(known.frame) + _ENTRY if known.frame else 0
        if size > self._room:
            known, size = known._replace(frame=b""), 0
        with self._lock:  # readers drop files, too
            self._room -= size
            self._found[known.entry.path] = known

    def _forget(self, path: str) -> Known | None:
        with self._lock:
            known = self._found.pop(path, None)
            if known is not None and known.frame:
                self._room += len(known.frame) + _ENTRY
        return known

    def is_settled(self, version: Version) -> bool:
        """Whether any further change of a file alters its stamp."""
        return time.time() - max(version.stamp[2:]) / 1e9 >= self._age

    def drop(self, path: str) -> None:
        """Forget a file."""
        if self._forget(path) is not None:
            self._saved = False

    def keep(self, paths: Collection[str]) -> None:
        """Forget all other files."""
        for path in self._found.keys() - paths:
            self._saved = False
            self._forget(path)

    def _forget_all(self) -> None:
        self._found.clear()
        self._room = self._frame_bytes

    # --- from one process to the next ---

    def save(self) -> None:
        """Save the entries for the next process, if there are changes. Blocks."""
        if self._memory is None or self._saved or not self._origin[-1]:
            return
        self._saved = True
        try:
            known = self._found.copy().values()  # a copy: other threads may note files
            head = [*self._origin, len(known)]
            batches.write(self._memory, head, _records(known), self._batch)
        except OSError as error:
            self._saved = False
            log.error("%s can't be written: %s", self._memory, error)

    def _read(self, memory: Path) -> None:
        try:
            saved = batches.read(memory)
            head = next(saved)
            if head is None:
                raise ValueError("it is empty")
            if batches.refuse_newer(memory, head, FORMAT) < FORMAT:
                return
            *origin, count = head
            if origin != self._origin:
                return  # of another directory, or from before a restart of the machine
            records = (record for batch in saved for record in _BATCH.validate_python(batch))
            for known in _files(records):
                self._keep(known)
            if type(count) is not int or len(self._found) > count:
                raise ValueError(f"it has {len(self._found)} of {count} files")
            if len(self._found) < count:
                self._saved = False
                log.warning("%s is cut off behind %d of %d files: the others are opened once",
                            memory, len(self._found), count)  # fmt: skip
        except FileNotFoundError:
            pass
        except StartError:
            raise
        except OSError as error:
            log.warning("the saved listing can't be read: %s: %s", memory, error)
            self._forget_all()
        except batches.UNREADABLE as error:
            self._forget_all()
            statefile.set_aside(memory, statefile.reason(error), "all files are opened once")


def _records(
    files: Collection[Known],
) -> Iterator[tuple[int, dict[str, object], str, int, bytes]]:
    for mark, entry, look, frame in files:
        yield mark, entry.fields(), look.format, len(look.entries), frame
        for each in look.entries:
            yield 0, each.fields(), "", 0, b""


def _files(records: Iterator[_Record]) -> Iterator[Known]:
    for mark, entry, name, count, frame in records:
        if not kept_frames.is_whole(frame):
            raise ValueError(f"what is kept of {entry.path} is damaged")
        entries = tuple(record[1] for record in itertools.islice(records, count))
        if len(entries) < count:
            return  # the file is cut off
        yield Known(mark, entry, Look(name, entries) if name else PLAIN, frame)


def _identity(boot: Path) -> str:
    try:
        return boot.read_text().strip()
    except OSError:
        return ""
