"""A format of containers for tests: a text file of names and texts, read in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from caterva2.errors import BadRequest, Busy, NotFound, SourceCorrupt, StaleVersion, StartError
from caterva2.frames.raw import Cut, Run
from caterva2.model import DatasetInfo, Entry
from caterva2.names import DatasetPath
from caterva2.sources import versions
from caterva2.sources.base import ALL, NEVER, Datasets
from caterva2.sources.directory.containers import Format
from caterva2.sources.kinds import file_info

MAGIC = b"BOX\n"


def write(path: Path, **texts: str) -> Path:
    """Write a box of named texts, and move it to its place."""
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(MAGIC + "".join(f"{name}={text}\n" for name, text in texts.items()).encode())
    os.replace(new, path)
    return path


class Box(Datasets):
    """What is in a box: the text of each name as a plain file. Its text can be an order to fail."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _open(self) -> tuple[versions.Version, dict[str, str]]:
        try:
            content = self._path.read_text()
        except OSError:
            raise NotFound("it is gone") from None
        fd = os.open(self._path, os.O_RDONLY)
        try:
            version = versions.of(fd)
        finally:
            os.close(fd)
        pairs = [line.partition("=") for line in content.splitlines()[1:]]
        return version, {name: text for name, _, text in pairs}

    def scan(self, scope: str = ALL) -> dict[DatasetPath, Entry]:
        version, texts = self._open()
        for text in texts.values():
            if text in FAILURES:
                raise FAILURES[text]
        paths = [DatasetPath(name) for name in texts]
        return {
            path: Entry(path, "file", f"{version.etag}-{path}", len(texts[path]), version.mtime)
            for path in paths
        }

    def _text(self, path: DatasetPath, etag: str = "") -> tuple[str, str]:
        version, texts = self._open()
        if path not in texts:
            raise NotFound(f"{path} does not exist")
        current = f"{version.etag}-{path}"
        if etag and etag != current:
            raise StaleVersion(f"{path} has changed", info={"etag": current})
        return texts[path], current

    def info(self, path: DatasetPath, deadline: float = NEVER) -> DatasetInfo:
        text, etag = self._text(path)
        return file_info(path, versions.Version(etag, len(text), 1.0, (0, 0, 0, 0), b"", b""))

    def chunks(
        self, path: DatasetPath, etag: str, ids: Sequence[int], deadline: float = NEVER
    ) -> Iterator[Run]:
        self._text(path, etag)
        raise BadRequest(f"{path} has no chunks")
        yield

    def blocks(
        self, path: DatasetPath, etag: str, n: int, ids: Sequence[int], deadline: float = NEVER
    ) -> Cut:
        raise BadRequest(f"{path} has no chunks")

    def read_bytes(
        self, path: DatasetPath, etag: str, start: int, stop: int, deadline: float = NEVER
    ) -> Iterator[bytes]:
        yield self._text(path, etag)[0].encode()[start:stop]

    def close(self) -> None:
        pass


FAILURES = {
    "damaged": SourceCorrupt("it is damaged"),
    "busy": Busy("it is being written"),
    "no process": StartError("no process can be started"),
}


class Boxes(Format):
    """Boxes below a directory; counts which ones were listed and which ones forgotten."""

    name = "BOX"

    def __init__(self, directory: Path, identity: str = "1") -> None:
        self.identity = identity
        self._directory = directory
        self.listed: list[str] = []
        self.forgotten: list[str] = []
        self.is_warm = self.is_closed = False

    def recognises(self, path: str, fd: int) -> bool:
        return os.pread(fd, len(MAGIC), 0) == MAGIC

    def open(self, path: str) -> Datasets:
        return _Counted(self._directory / path, path, self.listed)

    def forget(self, path: str) -> None:
        self.forgotten.append(path)

    def warm_up(self) -> None:
        self.is_warm = True

    def close(self) -> None:
        self.is_closed = True


class _Counted(Box):
    def __init__(self, place: Path, path: str, listed: list[str]) -> None:
        super().__init__(place)
        self._name = path
        self._listed = listed

    def scan(self, scope: str = ALL) -> dict[DatasetPath, Entry]:
        self._listed.append(self._name)
        return super().scan(scope)
