"""Downloads: whole files, resumed after a break, verified, and renamed into place."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import Message
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from caterva2.arrays import dtypes
from caterva2.client.errors import HttpError, Unreachable
from caterva2.client.kept import Whole, whole
from caterva2.client.read.values import version_of
from caterva2.client.transport import Response, Transport
from caterva2.client.types import Progress
from caterva2.errors import BadName, Busy, Damaged, SourceCorrupt, StaleVersion
from caterva2.frames.description import describe
from caterva2.limits import constants
from caterva2.rest import paths
from caterva2.rest.paths import relative
from caterva2.runtime import durable

Open = Callable[[], Any]
"""Requests a file, or dataset, with its metadata."""
_FLAGS = os.O_RDWR | os.O_CREAT | durable.CLOSED_IN_CHILDREN | getattr(os, "O_NOFOLLOW", 0)
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-[0-9]{1,19}/([0-9]{1,19})")


def download(
    transport: Transport, path: str, opened: Open, localpath: str | Path | BinaryIO | None,
    progress: Progress | None,
) -> Path | None:  # fmt: skip
    """Save a file or dataset at a local path, or write it to an open file.

    Parameters
    ----------
    transport : Transport
    path : str
        With the root.
    opened : callable
        Opens it; the file is verified against its metadata.
    localpath : path or binary file, optional
    progress : callable, optional
    """
    if "/" not in path.strip("/"):
        raise BadName(f"{path} is a root: name a file in it")
    progress = progress or (lambda *_: None)
    if localpath is not None and not isinstance(localpath, str | os.PathLike):
        # What was written can't be taken back: it may be a pipe.
        kept = _kept(opened(), progress) if transport.kept.active else None
        if kept is not None:
            _copy_kept(kept, localpath.write, progress)
            return None
        with transport.stream("GET", relative(paths.DOWNLOAD, path)) as response:
            _copy(response, localpath.write, 0, response.length, progress)
        return None
    target = _target(PurePosixPath(path), localpath)
    save(transport, path, opened, target, progress)
    return target


def _target(path: PurePosixPath, localpath: str | os.PathLike[str] | None) -> Path:
    """Return where a download is saved: a file, one in a directory, or by default ``path``."""
    if ".." in path.parts or path.is_absolute():
        raise BadName(f"{path} is not a path below a root")
    if localpath is None:
        target = Path(*path.parts)
    else:
        target = Path(localpath)
        if target.is_dir() or str(localpath).endswith("/"):
            target /= path.name
    if target.is_dir():
        raise BadName(f"{target} is a directory, which a file does not replace")
    return target


def save(transport: Transport, path: str, opened: Open, target: Path, progress: Progress) -> None:
    """Save a file or dataset under a local name, where it appears when it is complete.

    After a break its first bytes stay beside it, as ``.NAME.part``; the next download of the
    same version continues there.

    Raises
    ------
    Unreachable
        If each try broke.
    StaleVersion
        If it changed during each try.
    Damaged
        If the file does not match its ``info``.
    Busy
        If another process downloads to the same place.
    """
    found = opened()
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(_hidden(target.name) + ".part")
    note = target.with_name(_hidden(target.name) + ".part.etag")
    with _locked(part, target) as file:
        for attempt in itertools.count(1):
            try:
                kept = _kept(found, progress)
                if kept is None:
                    version = _receive(transport, path, file, note, progress)
                else:
                    version = _take_kept(kept, file, note, progress)
                _verify(file, path, found.meta, version)
                break
            except (Unreachable, StaleVersion, Damaged) as error:
                if attempt == transport.limits.tries:
                    raise
                time.sleep(transport.limits.download_pause * 2**attempt)
                if not isinstance(error, Unreachable):
                    found = opened()
        os.fsync(file)
        os.replace(part, target)
        note.unlink(missing_ok=True)
        durable.sync_directory(target.parent)


def _hidden(name: str) -> str:
    """Return the hidden name for the files beside a download; a digest if it is long."""
    encoded = os.fsencode(name)
    if len(encoded) > 200:
        name = hashlib.blake2b(encoded, digest_size=16).hexdigest()
    return f".{name}"


@contextmanager
def _locked(part: Path, target: Path) -> Iterator[int]:
    """Open the partial file and lock it against other downloads to the same place."""
    while True:
        file = os.open(part, _FLAGS, 0o666)
        try:
            try:
                _lock(file)
            except BlockingIOError:
                raise Busy(f"another process is downloading to {target}") from None
            if _is_there(file, part):
                yield file
                return
        finally:
            os.close(file)


def _lock(file: int) -> None:
    """Lock an open file, on systems that have such locks."""
    try:
        import fcntl
    except ModuleNotFoundError:
        return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_there(file: int, part: Path) -> bool:
    """Whether an open file still has its name: its last owner may have renamed it just now."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file), part.stat())
    return False


def _receive(transport: Transport, path: str, file: int, note: Path, progress: Progress) -> str:
    """Download the missing bytes of a file and return its version."""
    have = os.fstat(file).st_size
    etag = _noted(note) if have else ""
    headers = {"Range": f"bytes={have}-", "If-Range": etag} if etag else {}
    try:
        with transport.stream("GET", relative(paths.DOWNLOAD, path), headers=headers) as response:
            given = response.headers
            start, total = _begin(given, have, etag) if response.status == 206 else (0, None)
            if not start:
                os.ftruncate(file, 0)
                _take_note(note, given)
            os.lseek(file, start, os.SEEK_SET)
            total = response.length if total is None else total
            _copy(response, lambda piece: _write(file, piece), start, total, progress)
            return version_of(given.get("ETag", ""))
    except HttpError as error:
        if error.status_code != 416:
            raise
        note.unlink(missing_ok=True)  # the partial file is longer than the whole: start over
        raise StaleVersion(f"{path} is shorter than its partial download") from None


def _kept(found: Any, progress: Progress) -> Whole | None:
    """Return a file out of the client's cache; None if the subscriber is to be asked for it."""
    done = 0

    def add(count: int) -> None:
        nonlocal done
        done += count
        progress(done, None)

    return whole(found, progress=add)


def _take_kept(kept: Whole, file: int, note: Path, progress: Progress) -> str:
    """Write what the client's cache has to a file, and return its version."""
    note.unlink(missing_ok=True)  # what is there of a former download may be in another order
    os.ftruncate(file, 0)
    os.lseek(file, 0, os.SEEK_SET)
    _copy_kept(kept, lambda piece: _write(file, piece), progress)
    return version_of(kept.tag)


def _copy_kept(kept: Whole, write: Callable[[memoryview], object], progress: Progress) -> None:
    for at in range(0, kept.size, constants.READ_PIECE):
        write(memoryview(kept.read(at, at + constants.READ_PIECE)))
        progress(min(at + constants.READ_PIECE, kept.size), kept.size)


def _begin(headers: Message, have: int, etag: str) -> tuple[int, int]:
    """Return where a partial answer starts, and the size of the whole."""
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if not match or int(match[1]) != have or headers.get("ETag") != etag:
        raise Unreachable("the subscriber answered with another range than requested")
    return have, int(match[2])


def _copy(
    response: Response, write: Callable[[memoryview], object], done: int, total: int | None,
    progress: Progress,
) -> None:  # fmt: skip
    buffer = memoryview(bytearray(constants.READ_PIECE))
    progress(done, total)
    while count := response.readinto(buffer):
        write(buffer[:count])
        done += count
        progress(done, total)
    if total is not None and done != total:
        raise Unreachable(f"the connection broke after {done} of {total} bytes")


def _write(file: int, piece: memoryview) -> None:
    while piece:
        piece = piece[os.write(file, piece) :]


def _noted(note: Path) -> str:
    """Read the entity tag of a partial file; empty if it is not known."""
    with suppress(OSError, ValueError):
        text = note.read_text("ascii")
        return text if re.fullmatch(r'"[!#-~]{1,128}"', text) else ""
    return ""


def _take_note(note: Path, headers: Message) -> None:
    """Keep the entity tag of a download, if it can be resumed."""
    etag = headers.get("ETag", "")
    if etag.startswith('"') and headers.get("Accept-Ranges") == "bytes":
        note.write_text(etag, "ascii")
    else:
        note.unlink(missing_ok=True)


def _verify(file: int, path: str, meta: dict[str, Any], version: str) -> None:
    """Compare a downloaded file with its ``info``."""
    expected = str(meta.get("etag", ""))
    if expected and version and expected != version:
        raise StaleVersion(f"{path} changed while it was downloaded")
    try:
        _check(file, path, meta)
    except Damaged:
        os.ftruncate(file, 0)
        raise


def _check(file: int, path: str, meta: dict[str, Any]) -> None:
    kind = meta.get("kind")
    if kind == "file":
        size = os.fstat(file).st_size
        if size != meta["nbytes"]:
            raise Damaged(f"{path} has {meta['nbytes']} bytes, received {size}")
    if kind not in ("array", "frame"):
        return
    try:
        found = describe(file, path, kind)
    except SourceCorrupt as error:
        raise Damaged(f"{path} arrived damaged: {error}") from None
    is_array = kind == "array"
    has = (found.shape, dtypes.parse(found.dtype)) if is_array else found.nbytes
    should = (tuple(meta["shape"]), dtypes.parse(meta["dtype"])) if is_array else meta["nbytes"]
    if has != should:
        raise Damaged(f"{path} has {should}, received {has}")
