"""Documents: the answers that describe roots and datasets, kept for a time without network."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

from caterva2.client.transport import quote
from caterva2.limits.constants import MIB
from caterva2.rest import paths

_LARGEST = 64 * MIB
"""Bytes of a document; a larger one is not kept."""
MOST = 200_000
"""Documents that are kept; those that were confirmed longest ago are removed first."""
_ROUND = 1_000
"""About the documents that are written between two counts, which many processes may write."""
TAKEN = "TAKEN "
"""Before the name of the document that describes a version which was taken."""
_ZARR, _METADATA = paths.prefix(paths.ZARR), "/zarr.json"
_NAMED = (paths.LIST, paths.ENTRIES, paths.INFO, paths.MEMBERS)
_KEPT = {
    "GET": tuple(map(paths.prefix, (paths.ROOTS, *_NAMED))),
    "POST": (paths.prefix(paths.SUBSCRIBE),),
}


def name_of(method: str, target: str) -> str | None:
    """Return the name of the document that answers a request; None if it is not kept."""
    kept = method == "GET" and is_zarr(target)
    return f"{method} {target}" if kept or target.startswith(_KEPT.get(method, ("\0",))) else None


def is_zarr(target: str) -> bool:
    """Return whether a target is that of present metadata of Zarr, not of one version."""
    root = target.removeprefix(_ZARR).partition("/")[0]
    return target.startswith(_ZARR) and target.endswith(_METADATA) and "@" not in root[1:]


def zarr_path(target: str) -> str:
    """Return what present metadata of Zarr are about; empty for any other target."""
    return target.removeprefix(_ZARR).removesuffix(_METADATA) if is_zarr(target) else ""


class Documents:
    """Answers by the names of their requests, each a file.

    Parameters
    ----------
    directory : Path
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def put(self, name: str, body: bytes) -> None:
        """Keep an answer, which is confirmed now."""
        content = json.dumps(name).encode() + b"\n" + body
        file = self._file(name)
        with contextlib.suppress(OSError):  # a full disk: what was kept before goes on to count
            if len(body) > _LARGEST:
                file.unlink(missing_ok=True)
            elif _is(file, content):
                os.utime(file)
            else:
                temporary = file.with_name(f"{file.name}.{os.getpid():x}.{time.monotonic_ns():x}")
                try:
                    temporary.write_bytes(content)
                    os.replace(temporary, file)
                finally:
                    temporary.unlink(missing_ok=True)
                if not random.randrange(_ROUND):  # noqa: S311
                    self._remove_old()

    def _remove_old(self) -> None:
        """Remove documents beyond `MOST`, and what processes that were killed left."""
        found = []
        for one in os.scandir(self._directory):
            with contextlib.suppress(FileNotFoundError):  # another process is at it, too
                found.append((one.stat().st_mtime, one.path))
        for _, path in sorted(found)[: max(len(found) - MOST, 0)]:
            Path(path).unlink(missing_ok=True)

    def get(self, name: str) -> tuple[bytes, float] | None:
        """Return an answer, and when the subscriber confirmed it; None if none is kept."""
        file = self._file(name)
        try:
            head, _, body = file.read_bytes().partition(b"\n")
            return (body, file.stat().st_mtime) if json.loads(head) == name else None
        except (OSError, ValueError):
            return None

    def keep_taken(self, path: str, etag: str) -> None:
        """Keep the description of a version that was taken, beside that of later ones."""
        name = info_of(path)
        found = self.get(name)
        if found is not None and etag_of(found[0]) == etag:
            self.put(TAKEN + name, found[0])

    def time_of(self, path: str, version: str) -> float | None:
        """Return when a description of a dataset was confirmed; None if none is kept.

        It is that of the version that was taken if only this one is the given version.
        """
        found, taken = self.get(info_of(path)), self.get(TAKEN + info_of(path))
        if taken is not None and etag_of(taken[0]) == version:
            found = found if found is not None and etag_of(found[0]) == version else taken
        return None if found is None else found[1]

    def knows(self, path: str) -> bool:
        """Return whether anything about a path is kept."""
        return any(self._file(name).exists() for name in _names_of(path))

    def drop(self, path: str) -> None:
        """Remove what is kept of a path, and of all paths below it."""
        own, zarr = _names_of(path), f"GET {target_of(paths.ZARR, path)}"
        below = tuple(f"{name}/" for name in (*own, zarr))
        for file, name in list(self._all()):
            if name in own or name.startswith((*below, *(f"{one}?" for one in own))):
                file.unlink(missing_ok=True)

    def _all(self) -> Iterator[tuple[Path, str]]:
        for file in self._directory.iterdir():
            with contextlib.suppress(OSError, ValueError), file.open("rb") as opened:
                yield file, str(json.loads(opened.readline(2**16)))

    def _file(self, name: str) -> Path:
        return self._directory / hashlib.blake2b(name.encode(), digest_size=16).hexdigest()


def target_of(path: str, name: str) -> str:
    """Return the target of a request, as transports quote it."""
    return "/" + quote(paths.relative(path, name))


def info_of(path: str) -> str:
    """Return the name of the document that describes a dataset."""
    return f"GET {target_of(paths.INFO, path)}"


def etag_of(body: bytes) -> str:
    """Return the version that a document describes; empty if it has none."""
    try:
        return str(json.loads(body)["etag"])
    except (ValueError, KeyError, TypeError):
        return ""


def _names_of(path: str) -> tuple[str, ...]:
    found = [f"GET {target_of(one, path)}" for one in _NAMED]
    zarr = f"GET {target_of(paths.ZARR, path)}{_METADATA}"
    return (*found, zarr, f"POST {target_of(paths.SUBSCRIBE, path)}", TAKEN + info_of(path))


def _is(file: Path, content: bytes) -> bool:
    try:
        return file.stat().st_size == len(content) and file.read_bytes() == content
    except OSError:
        return False
