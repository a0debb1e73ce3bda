"""The manifest of a backup: what is in it, with the digest of each file.

It is a file of lines, a JSON object each: a `Head`, an `Item` for each file or empty directory,
and a last line that has the number of items and the digest of all lines above. So a manifest that
ends early, or was changed, is recognised.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from caterva2.runtime import durable, statefile
from caterva2.state.errors import BackupFailed
from caterva2.version import __version__

FILE = "manifest"
FORMAT = 1
LINE = 64 * 1024
"""Bytes above which a line is damaged: a path has 4096 at most, in up to six characters each."""
_DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class Head:
    """Which service a backup is of, and what made it when, in UTC.

    ``cache`` says whether what a subscriber has cached is in it.
    """

    service: str
    made: str
    cache: bool = False
    software: str = __version__


@dataclass(frozen=True, slots=True)
class Item:
    """A file of a state directory, or an empty directory, which has no digest.

    ``mtime`` is the time of its last change in nanoseconds.
    """

    path: str
    size: int = 0
    mtime: int = 0
    digest: str = ""


def new_digest() -> hashlib.blake2b:
    """Return a digest without any bytes yet."""
    return hashlib.blake2b(digest_size=_DIGEST_BYTES)


def write(path: Path, head: Head, items: Iterable[Item]) -> None:
    """Write the manifest, and flush it to the disk."""
    durable.write_pieces(path, _lines(head, items))


def _lines(head: Head, items: Iterable[Item]) -> Iterator[bytes]:
    digest, count = new_digest(), 0
    line = _line({statefile.FORMAT: FORMAT, **asdict(head)})
    digest.update(line)
    yield line
    for item in items:
        count += 1
        line = _line(asdict(item))
        digest.update(line)
        yield line
    yield _line({"items": count, "digest": digest.hexdigest()})


def _line(content: dict[str, object]) -> bytes:
    return json.dumps(content).encode() + b"\n"


class Reading:
    """An open manifest, read to its end once.

    Parameters
    ----------
    file : BinaryIO
    path : Path
        Of the file, for errors.

    Raises
    ------
    BackupFailed
        If it is no manifest, or a newer version of this program wrote it.

    Attributes
    ----------
    head : Head
    """

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path
        self._digest = new_digest()
        first = self._next()
        try:
            found = statefile.format_of(first)
            if found > FORMAT:
                raise BackupFailed(
                    f"{path} has format {found}, and this version of caterva2 reads up to "
                    f"{FORMAT}: restore it with version {str(first.get('software'))[:40]}"
                )
            self.head = Head(
                str(first["service"]), str(first["made"]), bool(first["cache"]),
                str(first["software"]),
            )  # fmt: skip
        except (KeyError, ValueError) as error:
            raise self._damaged(statefile.reason(error)) from None

    def _next(self) -> dict[str, Any]:
        line = self._file.readline(LINE)
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            content = None
        if not line.endswith(b"\n") or not isinstance(content, dict):
            raise self._damaged("it has a line that is cut off or damaged")
        if "items" not in content:
            self._digest.update(line)
        return content

    def _damaged(self, reason: str) -> BackupFailed:
        return BackupFailed(f"{self._path} is damaged ({reason}): nothing of it is restored")

    def items(self) -> Iterator[Item]:
        """Yield what is in the backup.

        Raises
        ------
        BackupFailed
            If the manifest is damaged, or ends early. All that was yielded before is void then.
        """
        count = 0
        while "items" not in (content := self._next()):
            count += 1
            try:
                yield Item(
                    str(content["path"]), int(content["size"]), int(content["mtime"]),
                    str(content["digest"]),
                )  # fmt: skip
            except (KeyError, ValueError, TypeError) as error:
                raise self._damaged(statefile.reason(error)) from None
        if (content["items"], content.get("digest")) != (count, self._digest.hexdigest()):
            raise self._damaged("its digest is another one")
        if self._file.readline(1):
            raise self._damaged("it goes on after its end")
