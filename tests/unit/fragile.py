"""A source that misbehaves as its file says, to be run in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple
from pathlib import Path

from caterva2.errors import Busy, NotFound, SourceCorrupt, StaleVersion
from caterva2.frames.raw import Cut, Run
from caterva2.model import DatasetInfo, Entry, EntryFields
from caterva2.names import DatasetPath
from caterva2.sources.base import ALL, Source

HANG = 3600.0
MAKE = "fragile:Fragile"


def write(path: Path, **ways: str) -> Path:
    """A file that says for each dataset what happens when it is read."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps({f"{name}.b2nd": way for name, way in ways.items()}))
    os.replace(new, path)
    return path


def begun(path: Path) -> Path:
    """What appears when a dataset with the way ``slow`` is read."""
    return path.with_suffix(".begun")


class Fragile(Source):
    def __init__(self, path: Path, visit: Callable[[str], None], below: str = "") -> None:
        self._path = path / below if below else path
        self._visit = visit

    def scan(self, scope: str = ALL) -> dict[DatasetPath, Entry]:
        found = {}
        for name, way in self._ways().items():
            try:
                self._visit(name)
            except Exception:  # noqa: BLE001 - left out
                continue
            if way.startswith("scan-"):
                self._behave(way.removeprefix("scan-"))
            path = DatasetPath(name)
            found[path] = Entry(path=path, kind="array", etag="v", size=1, mtime=1.0)
        return found

    def batches(self) -> Iterator[list[EntryFields]]:
        moves = "scan-moves" in self._ways().values() and not begun(self._path).exists()
        if moves:
            begun(self._path).touch()
            yield [("former.b2nd", "array", "v", 1, 1.0)]
            raise StaleVersion("the file changed while it was listed")
        yield [astuple(entry) for entry in self.scan().values()]
        if "scan-nonsense" in self._ways().values():
            yield [("../x.b2nd", "array", "v", 1, 1.0)]
        if "scan-no-entries" in self._ways().values():
            yield [("x.b2nd",)]  # type: ignore[list-item]

    def chunks(self, path: DatasetPath, etag: str, ids: Sequence[int]) -> Iterator[Run]:
        if etag != "v":
            raise StaleVersion(f"{path} has changed", info={"etag": "v"}, after_ms=7)
        ways = self._ways()
        if path not in ways:
            raise NotFound(f"{path} does not exist")
        self._behave(ways[path])
        for n in ids:
            yield Run([n], [3], b"abc")

    def blocks(self, path: DatasetPath, etag: str, n: int, ids: Sequence[int]) -> Cut:
        return Cut((), (), b"abc")

    def info(self, path: DatasetPath) -> DatasetInfo:
        raise ZeroDivisionError

    def read_bytes(self, path: DatasetPath, etag: str, start: int, stop: int) -> Iterator[bytes]:
        yield from (bytes([n]) for n in range(start, stop))

    def changes(self, stop: threading.Event) -> Iterator[set[str]]:
        raise NotImplementedError

    def close(self) -> None:
        pass

    def _ways(self) -> dict[str, str]:
        try:
            return dict(json.loads(self._path.read_text()))
        except FileNotFoundError:
            raise NotFound("gone") from None
        except ValueError:
            raise Busy("it is being written") from None

    def _behave(self, way: str) -> None:
        match way:
            case "hang":
                time.sleep(HANG)
            case "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
                time.sleep(HANG)
            case "eat":
                bytearray(2**40)
            case "long":
                time.sleep(3)
            case "odd-error":
                raise SourceCorrupt("no text: \udc80")
            case "odd-reply":
                raise Busy("no map of a reply", info={7: "x"})  # type: ignore[dict-item]
            case "slow":
                begun(self._path).touch()
                time.sleep(0.5)
