"""A replica's data file: a Blosc2 frame in the making, only ever appended to."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from caterva2.errors import SourceCorrupt
from caterva2.frames import layout
from caterva2.frames.compose import Template
from caterva2.frames.sealed import Sealed
from caterva2.limits import constants
from caterva2.runtime import durable

PARTIAL = ".part"
ARRAY, BYTES = SUFFIXES = ".b2nd", ".b2frame"
"""What complete files end with, of arrays and of byte strings."""
COPY = ".copy"
"""Suffix of a file to which the chunks of another one are being copied."""
RUN_BYTES = constants.MIB
"""About the bytes that are read by one call, where small chunks lie side by side."""
Ids = npt.NDArray[np.int64]
_serials = itertools.count()


class DataFile:
    """The data file of one replica.

    Parameters
    ----------
    base : Path
        Path without a suffix.
    suffix : str
        What it ends with when it is complete; `PARTIAL` before.
    template : Template
        Of the dataset's frame.
    copy : bool
        Whether it is a new file, beside the replica's, to which chunks are copied.

    Attributes
    ----------
    serial : int
        Number of this object, which no other one has.
    end : int
        Bytes of the file.
    fresh : bool
        Whether it was created now.
    finished : bool
        Whether it has its final name.
    can_probe : bool
        Whether the file system is able to read only what is in memory, as far as is known.
    """

    can_probe = hasattr(os, "RWF_NOWAIT")

    def __init__(self, base: Path, suffix: str, template: Template, *, copy: bool = False) -> None:
        self.serial = next(_serials)
        self._partial = base.with_suffix(COPY if copy else PARTIAL)
        self.final = base.with_suffix(suffix)
        self.start = len(template.header)
        self.finished = not copy and self.final.exists()
        if copy:
            self._partial.unlink(missing_ok=True)
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self.end = os.fstat(self.fd).st_size
            self.fresh = self.end < self.start
            if self.fresh:
                self.end = 0
                self.append([template.header])
        except BaseException:
            self.close()
            raise

    @property
    def path(self) -> Path:
        """Current path of the file."""
        return self.final if self.finished else self._partial

    def append(self, pieces: list[bytes] | list[memoryview]) -> None:
        """Write some pieces at the end.

        Raises
        ------
        OSError
            If not all of it could be written; the file's end is where it was then.
        """
        at = self.end
        for piece in pieces:
            at = durable.pwrite(self.fd, piece, at)
        self.end = at

    def chunk(self, offset: int, length: int) -> bytes:
        """Read bytes at an offset behind the header, fewer where the file ends."""
        return os.pread(self.fd, length, self.start + offset)

    def chunks(self, offsets: Ids, lengths: Ids) -> Iterator[bytes]:
        """Read several chunks, with one call for those that lie side by side.

        Raises
        ------
        SourceCorrupt
            If the file ends too early.
        """
        ends = offsets + lengths
        apart = offsets[1:] != ends[:-1]
        apart |= offsets[1:] // RUN_BYTES != offsets[:-1] // RUN_BYTES
        for first, last in _stretches(apart):
            at, end = int(offsets[first]), int(ends[last - 1])
            run = self.chunk(at, end - at)
            if len(run) < end - at:
                raise SourceCorrupt(f"{self.path} ends too early")
            starts, stops = offsets[first:last] - at, ends[first:last] - at
            yield from (run[a:b] for a, b in zip(starts.tolist(), stops.tolist(), strict=True))

    def copy(self, former: DataFile, offsets: Ids, lengths: Ids) -> Ids:
        """Append chunks of another file, and return their offsets here.

        Raises
        ------
        OSError
            If they can't be read or written.
        """
        if not len(offsets):
            return offsets
        ends = offsets + lengths
        begin = self.end - self.start
        for first, last in _stretches(offsets[1:] != ends[:-1]):
            at, end = int(offsets[first]), int(ends[last - 1])
            durable.copy(former.fd, former.start + at, self.fd, self.end, end - at)
            self.end += end - at
        placed: Ids = begin + np.cumsum(lengths) - lengths
        return placed

    def replace(self, former: DataFile) -> None:
        """Take the place of the file that this one is a copy of."""
        partial = self._partial.with_suffix(PARTIAL)
        os.replace(self._partial, partial)
        self._partial = partial
        if former.finished:
            self.final.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove a copy that takes no place."""
        self._partial.unlink(missing_ok=True)
        self.close()

    def pread_cached(self, buffer: memoryview | bytearray, offset: int) -> None:
        """Fill a buffer from an offset behind the header on, without waiting for a disk.

        Raises
        ------
        OSError
            If not all of that is in memory, or the file system can't say.
        """
        try:
            pread_cached(self.fd, buffer, self.start + offset)
        except OSError as error:
            self.can_probe = error.errno != errno.EOPNOTSUPP
            raise

    def pread_into(self, buffer: memoryview | bytearray, offset: int) -> None:
        """Fill a buffer from an offset behind the header on; `OSError` if that is not there."""
        if os.preadv(self.fd, (buffer,), self.start + offset) < len(buffer):
            raise OSError(errno.EIO, "a cached file is shorter than it was")

    def seal(self, tail: bytes, header: bytes, arrangement: str) -> Sealed:
        """Write index and trailer behind the chunks and patch the header."""
        cbytes = self.end - self.start
        self.append([tail])
        patched = layout.patched_header(header, self.end, cbytes)
        durable.pwrite(self.fd, patched, 0)
        return Sealed(self, patched, self.end, arrangement)

    def earlier_seal(self, tail: bytes, header: bytes, arrangement: str) -> Sealed | None:
        """Return the frame that an earlier run sealed, if `seal` would write exactly its bytes."""
        begin = self.end - len(tail)
        patched = layout.patched_header(header, self.end, max(begin - self.start, 0))
        written = os.pread(self.fd, self.start, 0), os.pread(self.fd, len(tail), max(begin, 0))
        if self.finished and written == (patched, tail):
            return Sealed(self, patched, self.end, arrangement)
        return None

    def is_there(self) -> bool:
        """Return whether the file still has a name, which another process may have given it."""
        for path in (self._partial, self.final):
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.stat(path), os.fstat(self.fd)):
                    self.finished = path == self.final
                    return True
        return False

    def finish(self, *, flush: bool = True) -> None:
        """Flush everything to the disk and take the final name, unless the file was replaced."""
        if flush:
            os.fsync(self.fd)
        with contextlib.suppress(FileNotFoundError):
            if not self.finished and os.path.samestat(os.stat(self._partial), os.fstat(self.fd)):
                os.replace(self._partial, self.final)
                self.finished = True
                durable.sync_directory(self.final.parent)

    def close(self) -> None:
        """Close the file; this also happens when it is garbage-collected."""
        fd, self.fd = getattr(self, "fd", -1), -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


def pread_cached(descriptor: int, buffer: memoryview | bytearray, at: int) -> None:
    """Fill a buffer from an offset of a file on, without waiting for a disk.

    Raises
    ------
    OSError
        If not all of that is in memory, or the file system can't say.
    """
    if os.preadv(descriptor, (buffer,), at, os.RWF_NOWAIT) < len(buffer):
        raise BlockingIOError(errno.EAGAIN, "only some of it is in memory")


def _stretches(apart: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield the stretches of a sequence whose items are not apart from the one before."""
    breaks = (np.flatnonzero(apart) + 1).tolist()
    return itertools.pairwise([0, *breaks, len(apart) + 1])
