"""Whole files: resumed where they broke off, verified, and in their place at once."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import itertools
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from caterva2 import limits
from caterva2.arrays import dtypes
from caterva2.client.http.connections import Unreachable
from caterva2.client.http.transport import HttpError, Transport, receive
from caterva2.client.read.values import version_of
from caterva2.errors import Busy, Damaged, SourceCorrupt, StaleVersion
from caterva2.frames.description import describe
from caterva2.runtime import durable

Progress = Callable[[int, int | None], None]
"""Called with the bytes that came and, if known, the bytes of all."""
TRIES = 5
"""How often a download goes on after it broke off, or starts over on a new version."""
PAUSE = 0.05
"""Seconds before going on; doubles each time."""
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-[0-9]{1,19}/([0-9]{1,19})")


def save(
    transport: Transport,
    path: str,
    describe: Callable[[], dict[str, Any]],
    target: Path,
    progress: Progress,
) -> None:
    """Save a file or dataset under a local name, where it appears only when it is complete.

    What came before a break stays beside it, as ``.NAME.part``, and the next download of the
    same version goes on there.

    Parameters
    ----------
    transport : Transport
    path : str
        With the root.
    describe : callable
        Asks for the file's ``info``.
    target : Path
    progress : callable

    Raises
    ------
    Unreachable
        If it broke off again and again.
    StaleVersion
        If it changed again and again.
    Damaged
        If what came is not what ``info`` tells of.
    Busy
        If somebody else is downloading to the same place.
    """
    meta = describe()
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(_hidden(target.name) + ".part")
    note = target.with_name(_hidden(target.name) + ".part.etag")
    with _locked(part, target) as file:
        for attempt in itertools.count(1):
            try:
                version = _receive(transport, path, file, note, progress)
                _verify(file, path, meta, version)
                break
            except (Unreachable, StaleVersion, Damaged) as error:
                if attempt == TRIES:
                    raise
                time.sleep(PAUSE * 2**attempt)
                if not isinstance(error, Unreachable):
                    meta = describe()
        os.fsync(file)
        os.replace(part, target)
        note.unlink(missing_ok=True)
        durable.sync_directory(target.parent)


def pour(
    transport: Transport, path: str, write: Callable[[memoryview], object], progress: Progress
) -> None:
    """Write a file or dataset to somewhere that can't be taken back, such as a pipe."""
    with transport.stream("GET", f"api/download/{path}") as response:
        _copy(response, write, 0, response.length, progress)


def _hidden(name: str) -> str:
    """What the files beside a download are named after; a long name would not fit twice."""
    encoded = os.fsencode(name)
    if len(encoded) > 200:
        name = hashlib.blake2b(encoded, digest_size=16).hexdigest()
    return f".{name}"


@contextmanager
def _locked(part: Path, target: Path) -> Iterator[int]:
    """The open file of a download, which is ours alone."""
    while True:
        file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy(f"{target} is being downloaded by somebody else") from None
            if _is_there(file, part):
                yield file
                return
        finally:
            os.close(file)


def _is_there(file: int, part: Path) -> bool:
    """Whether an open file has its name still: whoever held it may have finished just now."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file), part.stat())
    return False


def _receive(transport: Transport, path: str, file: int, note: Path, progress: Progress) -> str:
    """Get what is missing of a file; the version that it is of."""
    have = os.fstat(file).st_size
    etag = _noted(note) if have else ""
    wanted = {"Range": f"bytes={have}-", "If-Range": etag} if etag else {}
    try:
        with transport.stream("GET", f"api/download/{path}", headers=wanted) as response:
            told = response.headers
            start, total = _begin(told, have, etag) if response.status == 206 else (0, None)
            if not start:
                os.ftruncate(file, 0)
                _take_note(note, told)
            os.lseek(file, start, os.SEEK_SET)
            total = response.length if total is None else total
            _copy(response, lambda piece: _write(file, piece), start, total, progress)
            return version_of(told.get("ETag", ""))
    except HttpError as error:
        if error.status_code != 416:
            raise
        note.unlink(missing_ok=True)  # there is more than there should be: start over
        raise StaleVersion(f"{path} is shorter than what came of it") from None


def _begin(told: http.client.HTTPMessage, have: int, etag: str) -> tuple[int, int]:
    """Where a partial answer starts, and how much there is in all."""
    match = _CONTENT_RANGE.fullmatch(told.get("Content-Range", ""))
    if not match or int(match[1]) != have or told.get("ETag") != etag:
        raise Unreachable("the subscriber answered another range than was asked for")
    return have, int(match[2])


def _copy(
    response: http.client.HTTPResponse,
    write: Callable[[memoryview], object],
    done: int,
    total: int | None,
    progress: Progress,
) -> None:
    buffer = memoryview(bytearray(limits.READ_PIECE))
    progress(done, total)
    while count := receive(response, buffer):
        write(buffer[:count])
        done += count
        progress(done, total)
    if total is not None and done != total:
        raise Unreachable(f"the subscriber broke off after {done} of {total} bytes")


def _write(file: int, piece: memoryview) -> None:
    while piece:
        piece = piece[os.write(file, piece) :]


def _noted(note: Path) -> str:
    """The entity tag of what came before; empty if it is not known."""
    with suppress(OSError, ValueError):
        text = note.read_text("ascii")
        return text if re.fullmatch(r'"[!#-~]{1,128}"', text) else ""
    return ""


def _take_note(note: Path, told: http.client.HTTPMessage) -> None:
    """Remember what is coming, if it can be asked for in parts."""
    etag = told.get("ETag", "")
    if etag.startswith('"') and told.get("Accept-Ranges") == "bytes":
        note.write_text(etag, "ascii")
    else:
        note.unlink(missing_ok=True)


def _verify(file: int, path: str, meta: dict[str, Any], version: str) -> None:
    """Compare what came with what ``info`` tells."""
    told = str(meta.get("etag", ""))
    if told and version and told != version:
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
            raise Damaged(f"{path} has {meta['nbytes']} bytes, {size} came")
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
        raise Damaged(f"{path} should have {should}, {has} came")
