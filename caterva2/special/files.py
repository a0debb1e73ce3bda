"""Checks of names and staged files before they are committed, and copies of files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import blosc2

from caterva2.cache.readable import Ids
from caterva2.cache.touched_blocks import Touched
from caterva2.errors import BadName, BadUpload, CodecNotAllowed, SourceCorrupt
from caterva2.frames import compose, metadata
from caterva2.frames.raw import Run
from caterva2.frames.reader import FrameReader
from caterva2.limits import DEFAULTS, SpecialLimits
from caterva2.limits.constants import READ_PIECE
from caterva2.model import DatasetInfo, Kind
from caterva2.names import DatasetPath
from caterva2.sources.kinds import is_hidden, kind_of, suffix
from caterva2.special.incoming import Sink


def check_name(path: DatasetPath) -> None:
    """Refuse a name that would not be listed.

    Raises
    ------
    BadName
    """
    if is_hidden(path):
        raise BadName(f"{path!r} has a component that begins with a dot: it would not be listed")
    for part in path.parts[:-1]:
        if kind_of(part) != "file":
            raise BadName(f"{path!r} has a directory that is named as a dataset: {part}")


class LooseFrame:
    """A frame in a staged file, read chunk by chunk.

    Parameters
    ----------
    file : Path
    path : DatasetPath
        Where it will be stored.
    kind : Kind
    limits : SpecialLimits

    Raises
    ------
    BadUpload
        If it is not a frame of this kind.
    """

    sealed = None
    file = None
    trusted = False

    def __init__(
        self, file: Path, path: DatasetPath, kind: Kind, limits: SpecialLimits = DEFAULTS.special
    ) -> None:
        self._limits = limits
        try:
            fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
            size = os.fstat(fd).st_size
            self._reader = FrameReader(fd)
            metadata.check_metalayers(self._reader.header.metalayers)
            self.info: DatasetInfo = self._reader.info(path, kind, "new", 0.0)
            if self._reader.header.frame_length != size:
                raise SourceCorrupt(f"the frame and the file, of {size} bytes, differ in length")
        except (SourceCorrupt, CodecNotAllowed) as error:
            raise _refused(path, error) from None

    def read_touched(self, requested: Touched) -> None:
        """Return None: no chunk is stored in part."""

    def missing(self, ids: Ids) -> Ids:
        """Return no chunk: all are stored."""
        return ids[:0]

    def check(self) -> None:
        """Validate each chunk, and decode it unless it is larger than DECODE_STEP.

        Raises
        ------
        BadUpload
        """
        decoded = self.info.chunksize <= self._limits.decode_step
        if self.info.chunksize > self._limits.upload_chunk:
            raise BadUpload(
                f"{self.info.path} has chunks of {self.info.chunksize} bytes, UPLOAD_CHUNK is "
                f"{self._limits.upload_chunk}"
            )
        try:
            compose.template(self.info)  # every read of it begins with this
            for chunk in one_by_one(self._reader.runs(range(self._reader.nchunks))):
                if decoded:
                    blosc2.decompress2(chunk, nthreads=1)
        except (SourceCorrupt, CodecNotAllowed, RuntimeError, ValueError) as error:
            raise _refused(self.info.path, error) from None

    def read(self, ids: Ids) -> list[bytes]:
        """Read raw chunks."""
        return list(one_by_one(self._reader.runs(ids.tolist())))

    def verify(self, ids: Ids) -> Ids:
        """Return no chunk: all are stored, and `read` validates them."""
        return ids[:0]


def _refused(path: DatasetPath, error: Exception) -> BadUpload:
    return BadUpload(f"{path} is not a {suffix(path)[1:] or 'frame'} that can be stored: {error}")


def one_by_one(runs: Iterable[Run]) -> Iterator[bytes]:
    """Yield the chunks of runs."""
    for run in runs:
        at = 0
        for size in run.sizes:
            yield run.payload[at : at + size]
            at += size


def check(file: Path, path: DatasetPath, limits: SpecialLimits = DEFAULTS.special) -> None:
    """Refuse a file that is not what the suffix of its path says.

    Raises
    ------
    BadUpload
    """
    kind = kind_of(path)
    if kind != "file":
        LooseFrame(file, path, kind, limits).check()


def copy(fd: int, sink: Sink) -> None:
    """Copy an open file to a sink."""
    at = 0
    while data := os.pread(fd, READ_PIECE, at):
        sink.write(data)
        at += len(data)
