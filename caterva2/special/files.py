"""Files that nobody lists yet: frames among them are looked at, and copies made."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import blosc2

from caterva2 import limits
from caterva2.cache.readable import Ids
from caterva2.cache.touched_blocks import Touched
from caterva2.errors import BadName, BadUpload, CodecNotAllowed, SourceCorrupt
from caterva2.frames import compose
from caterva2.frames.raw import Run
from caterva2.frames.reader import FrameReader
from caterva2.model import DatasetInfo, Kind
from caterva2.names import DatasetPath
from caterva2.sources.kinds import KINDS, is_hidden, kind_of, suffix
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
        if suffix(part) in KINDS:
            raise BadName(f"{path!r} has a directory that is named as a dataset: {part}")


class LooseFrame:
    """A frame in a file that nobody changes, read chunk by chunk.

    Parameters
    ----------
    file : Path
    path : DatasetPath
        What it is to be called.
    kind : Kind

    Raises
    ------
    BadUpload
        If it is no such frame.
    """

    sealed = None
    file = None
    trusted = False

    def __init__(self, file: Path, path: DatasetPath, kind: Kind) -> None:
        try:
            fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
            size = os.fstat(fd).st_size
            self._reader = FrameReader(fd)
            self.info: DatasetInfo = self._reader.info(path, kind, "new", 0.0)
            if self._reader.header.frame_length != size:
                raise SourceCorrupt(f"{size} bytes hold more than the frame")
        except (SourceCorrupt, CodecNotAllowed) as error:
            raise _refused(path, error) from None

    def read_touched(self, wanted: Touched) -> None:
        """No chunk is there in part."""

    def missing(self, ids: Ids) -> Ids:
        return ids[:0]

    def check(self) -> None:
        """Let each chunk through the gate, and decode it unless it is a large one.

        Raises
        ------
        BadUpload
        """
        decoded = self.info.chunksize <= limits.DECODE_STEP
        if self.info.chunksize > limits.UPLOAD_CHUNK:
            raise BadUpload(
                f"{self.info.path} has chunks of {self.info.chunksize} bytes, UPLOAD_CHUNK is "
                f"{limits.UPLOAD_CHUNK}"
            )
        try:
            compose.template(self.info)  # what all reading of it begins with
            for chunk in one_by_one(self._reader.runs(range(self._reader.nchunks))):
                if decoded:
                    blosc2.decompress2(chunk, nthreads=1)
        except (SourceCorrupt, CodecNotAllowed, RuntimeError, ValueError) as error:
            raise _refused(self.info.path, error) from None

    def read(self, ids: Ids) -> list[bytes]:
        """Raw chunks."""
        return list(one_by_one(self._reader.runs(ids.tolist())))

    def verify(self, ids: Ids) -> Ids:
        """All chunks are there."""
        return ids[:0]


def _refused(path: DatasetPath, error: Exception) -> BadUpload:
    return BadUpload(f"{path} is no {suffix(path)[1:] or 'frame'} that can be kept: {error}")


def one_by_one(runs: Iterable[Run]) -> Iterator[bytes]:
    """The chunks of some runs."""
    for run in runs:
        at = 0
        for size in run.sizes:
            yield run.payload[at : at + size]
            at += size


def check(file: Path, path: DatasetPath) -> None:
    """Refuse a file that is not what its name says.

    Raises
    ------
    BadUpload
    """
    kind = kind_of(path)
    if kind != "file":
        LooseFrame(file, path, kind).check()


def copy(fd: int, sink: Sink) -> None:
    """Copy an open file."""
    at = 0
    while data := os.pread(fd, limits.READ_PIECE, at):
        sink.write(data)
        at += len(data)
