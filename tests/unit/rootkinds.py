"""Sources of all kinds with the same contents, and how tests read them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np
import samples

from caterva2.hdf5.source import Hdf5Source
from caterva2.isolation.hdf5 import isolated_hdf5
from caterva2.names import DatasetPath
from caterva2.sources.base import Source
from caterva2.sources.directory.source import DirectorySource
from caterva2.sources.memory import MemorySource

ARRAY = samples.array_frame(np.arange(100), {"a": 1}, chunks=(10,), blocks=(5,))
OTHER = samples.array_frame(np.arange(100) + 1, {"a": 1}, chunks=(10,), blocks=(5,))
BYTES = samples.byte_frame(b"Hello world!" * 100, 100)
CONTENTS = {"README.md": b"# Hi\n", "a.b2nd": ARRAY, "d/e/b.b2nd": OTHER, "d/h.b2frame": BYTES}
TIME_LIMIT = 20.0


class Root(Protocol):
    """A source, and a way to change what it serves."""

    source: Source

    def put(self, path: str, content: bytes) -> None: ...

    def delete(self, path: str) -> None: ...


class InDirectory:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self.source: Source = DirectorySource(directory)

    def put(self, path: str, content: bytes) -> None:
        target = self.directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def delete(self, path: str) -> None:
        (self.directory / path).unlink()


class InHdf5:
    """A file that is written anew, and moved to its place, at each change."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.path = directory / "root.h5"
        self.contents: dict[str, bytes] = {}
        self._source: Source | None = None

    @property
    def source(self) -> Source:
        self._source = self._source or self.open()
        return self._source

    def open(self) -> Source:
        return Hdf5Source(self.path)

    def put(self, path: str, content: bytes) -> None:
        self.contents[path] = content
        self._write()

    def delete(self, path: str) -> None:
        del self.contents[path]
        self._write()

    def _write(self) -> None:
        new = self.path.with_suffix(".new")
        with h5py.File(new, "w") as file:
            for path, content in self.contents.items():
                samples.hdf5_dataset(file, path.removesuffix(".b2nd"), content)
        os.replace(new, self.path)


class InIsolation(InHdf5):
    """Such a file, read by a process of its own."""

    def open(self) -> Source:
        return isolated_hdf5(self.path)


class InMemory:
    def __init__(self, directory: Path) -> None:
        self.memory = MemorySource()
        self.source: Source = self.memory

    def put(self, path: str, content: bytes) -> None:
        self.memory.put(path, content)

    def delete(self, path: str) -> None:
        self.memory.delete(path)


def _etag(root: Root, path: str) -> str:
    return root.source.info(DatasetPath(path)).etag


def _read(root: Root, path: str, start: int, stop: int, etag: str = "") -> bytes:
    etag = etag or _etag(root, path)
    return b"".join(root.source.read_bytes(DatasetPath(path), etag, start, stop))


def _chunks(root: Root, path: str, ids: list[int], etag: str = "") -> bytes:
    etag = etag or _etag(root, path)
    runs = list(root.source.chunks(DatasetPath(path), etag, ids))
    assert [n for run in runs for n in run.ids] == ids
    assert all(sum(run.sizes) == len(run.payload) for run in runs)
    return b"".join(run.payload for run in runs)
