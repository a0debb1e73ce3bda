"""Extraction of archives into a staged directory, completely or not at all.

Nothing that an archive claims is trusted: extracted bytes are counted, names are validated as
dataset paths, and members other than plain files and directories are refused.
"""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal

from caterva2.errors import BadName, BadUpload, SourceCorrupt
from caterva2.formats import zip_directory
from caterva2.limits import DEFAULTS, SpecialLimits
from caterva2.limits.constants import READ_PIECE
from caterva2.names import DatasetPath
from caterva2.special import files
from caterva2.special.incoming import Staged

Archive = Literal["zip", "tar.gz"]
Member = tuple[str, IO[bytes]]
_ENDINGS: dict[str, Archive] = {".zip": "zip", ".tar.gz": "tar.gz", ".tgz": "tar.gz"}


def kind_of(name: str) -> tuple[Archive, str]:
    """Return the kind of archive of a file name, and the name without its suffix.

    Raises
    ------
    BadUpload
    """
    for ending, kind in _ENDINGS.items():
        if name.lower().endswith(ending) and len(name) > len(ending):
            return kind, name[: -len(ending)]
    raise BadUpload(f"{name[:80]!r} can't be unpacked: an archive is a .zip, a .tar.gz or a .tgz")


def unpack(
    kind: Archive, archive: Path, tree: Staged, limits: SpecialLimits = DEFAULTS.special
) -> None:
    """Extract an archive into a staged directory and check its files.

    Raises
    ------
    BadUpload
        If it is damaged, too large, or has a member that is not a file or has an invalid name.
    """
    bound = _Bound(archive.stat().st_size, limits)
    seen: set[str] = set()
    try:
        for name, content in _MEMBERS[kind](archive, bound):
            path = _name(name)
            if path in seen:
                raise BadUpload(f"the archive has {path} twice")
            seen.add(path)
            _write(path, content, tree, bound)
    except _IN_THE_WAY:  # their text has the path of our own directory
        raise BadUpload(
            "the archive can't be unpacked: a name in it is a file and a directory"
        ) from None
    except _BROKEN as error:
        raise BadUpload(f"the archive can't be unpacked: {str(error)[:200]}") from None
    if not seen:
        raise BadUpload("the archive holds no file")


_IN_THE_WAY = (FileExistsError, NotADirectoryError, IsADirectoryError)
_BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, struct.error,
    NotImplementedError, RuntimeError, UnicodeDecodeError, ValueError, OverflowError, SourceCorrupt,
)  # fmt: skip


def _name(text: str) -> DatasetPath:
    try:
        path = DatasetPath(text.removeprefix("./"))
        files.check_name(path)
    except BadName as error:
        raise BadUpload(f"the archive can't be unpacked: {error}") from None
    return path


def _write(path: DatasetPath, content: IO[bytes], tree: Staged, bound: _Bound) -> None:
    with tree.open(path) as sink:
        while data := content.read(READ_PIECE):
            bound.count(len(data))
            sink.write(data)
        sink.finish()
    files.check(tree.path / path, path, bound.limits)


class _Bound:
    """Counts extracted bytes and members."""

    def __init__(self, packed: int, limits: SpecialLimits) -> None:
        self.limits = limits
        large = packed * limits.archive_ratio + limits.archive_least
        self._bytes_left = min(large, limits.archive_bytes)
        self._members_left = limits.archive_files

    def count(self, size: int) -> None:
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise BadUpload("the archive can't be unpacked: it is far larger than it looks")

    def member(self) -> None:
        self._members_left -= 1
        if self._members_left < 0:
            raise self.too_many()

    def too_many(self) -> BadUpload:
        most = self.limits.archive_files
        return BadUpload(f"the archive has more than ARCHIVE_FILES, {most}, members")


# --- zip ---


def _zip_members(archive: Path, bound: _Bound) -> Iterator[Member]:
    _check_directory(archive, bound)
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            bound.member()
            kind = member.external_attr >> 28
            if member.filename.endswith("/"):  # is_dir fails for an empty name
                _name(member.filename.rstrip("/"))
                continue
            if kind not in (0, 0o10):
                raise BadUpload(f"{member.filename[:80]!r} in the archive is not a plain file")
            if member.flag_bits & 0x1:
                raise BadUpload(f"{member.filename[:80]!r} in the archive is encrypted")
            if member.compress_type not in zip_directory.BOUNDED_METHODS:
                raise BadUpload(
                    f"{member.filename[:80]!r} in the archive is packed by the method"
                    f" {member.compress_type}: deflate it"
                )
            with opened.open(member) as content:
                yield member.orig_filename, content
                if content.tell() != member.file_size:
                    raise BadUpload(
                        f"{member.filename[:80]!r} in the archive has {content.tell()} bytes, and"
                        f" {member.file_size} in its directory"
                    )


def _check_directory(archive: Path, bound: _Bound) -> None:
    """Check a zip's directory before it is read into memory as a whole."""
    with archive.open("rb") as file:
        found = zip_directory.find(file)
        if found.members > bound.limits.archive_files or found.nbytes > bound.limits.archive_header:
            raise bound.too_many()
        file.seek(found.start)
        for _ in zip_directory.members(file.read(found.nbytes), found):
            pass


# --- tar ---


class _Unpacked(io.RawIOBase):
    """The decompressed content of a file; reads are bounded and counted."""

    def __init__(self, file: gzip.GzipFile, bound: _Bound) -> None:
        self._file = file
        self._bound = bound
        self._last = b""
        self._again = b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell() - len(self._again)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Seek forward, counting the skipped bytes, or back by one byte."""
        if offset == self.tell() - 1 and self._last and not self._again:
            self._again = self._last
        if whence != io.SEEK_SET or offset < self.tell():
            raise BadUpload("the archive can't be unpacked: it goes back")
        while self.tell() < offset:
            if not self.read(min(READ_PIECE, offset - self.tell())):
                break
        return self.tell()

    def read(self, size: int = -1) -> bytes:
        """Read at most ARCHIVE_HEADER bytes: a header that claims to be larger is refused."""
        most = self._bound.limits.archive_header
        if not 0 <= size <= most:
            raise BadUpload(f"a header in the archive is larger than {most} bytes")
        if not size:
            return b""
        again, self._again = self._again, b""
        data = again + self._file.read(size - len(again))
        self._bound.count(len(data))
        self._last = data[-1:]
        return data


def _tar_members(archive: Path, bound: _Bound) -> Iterator[Member]:
    with (
        gzip.open(archive) as packed,
        tarfile.open(fileobj=_Unpacked(packed, bound), mode="r:") as opened,
    ):
        while (member := opened.next()) is not None:
            opened.members.clear()  # type: ignore[attr-defined]  # else all are kept
            bound.member()
            if member.isdir():
                if member.name not in (".", ""):
                    _name(member.name)
                continue
            if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
                raise BadUpload(f"{member.name[:80]!r} in the archive is not a plain file")
            content = opened.extractfile(member)
            assert content is not None
            yield member.name, content


_MEMBERS = {"zip": _zip_members, "tar.gz": _tar_members}
