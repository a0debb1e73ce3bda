"""The cache under failing file operations and with every byte turned around."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest

from caterva2.arrays.selection import whole
from caterva2.cache.replica import Replica
from caterva2.cache.store import Store
from caterva2.frames import blocks
from caterva2.frames.reader import FrameReader
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath, RootName
from caterva2.reading import slices
from tests.thoroughness import some

ROOT = RootName("foo")
VALUES = np.arange(40, dtype="i4").reshape(4, 10)


@pytest.fixture
def source(tmp_path: Path) -> tuple[DatasetInfo, list[bytes]]:
    """An array's description and its raw chunks."""
    return described(tmp_path / "a.b2nd", VALUES, "e1")


def described(path: Path, values: Any, etag: str) -> tuple[DatasetInfo, list[bytes]]:
    blosc2.asarray(values, chunks=(1, 10), blocks=(1, 5), urlpath=str(path), mode="w")
    reader = FrameReader(os.open(path, os.O_RDONLY))
    [run] = reader.runs(range(4))
    ends = np.cumsum(run.sizes)
    chunks = [run.payload[end - size : end] for end, size in zip(ends, run.sizes, strict=True)]
    return reader.info(DatasetPath("a.b2nd"), "array", etag, float(etag[1:])), chunks


def refill(replica: Replica, chunks: list[bytes]) -> int:
    """Do what a fetch does: bring what is missing; how many chunks that was."""
    missing = replica.verify(np.arange(4)).tolist()
    for n in missing:
        replica.add([n], [len(chunks[n])], [zlib.crc32(chunks[n])], chunks[n])
    return len(missing)


def read(store: Store, source: tuple[DatasetInfo, list[bytes]]) -> int:
    """Read all values as a subscriber does, checking them; chunks that had to be fetched."""
    info, chunks = source
    replica = store.replica(ROOT, info)
    fetched = refill(replica, chunks)
    got = slices.values(replica, whole(VALUES.shape))
    assert got is not None
    np.testing.assert_array_equal(got, VALUES)
    return fetched


def test_every_byte_of_the_cached_chunks_turned_around(
    tmp_path: Path, source: tuple[DatasetInfo, list[bytes]]
) -> None:
    store = Store(tmp_path / "cache")
    read(store, source)
    replica = store.replica(ROOT, source[0])
    replica.seal()
    replica.keep()
    assert replica.file is not None
    file, chunks = replica.file, source[1]
    first = file.read_bytes().find(chunks[0])
    del replica
    store.close()
    content, index = file.read_bytes(), file.with_suffix(".index").read_bytes()
    for at in some(range(first, first + sum(map(len, chunks))), 11):
        damaged = bytearray(content)
        damaged[at] ^= 0xFF
        file.write_bytes(damaged)
        file.with_suffix(".index").write_bytes(index)
        again = Store(tmp_path / "cache")
        assert read(again, source) == 1, at
        again.close()


@pytest.mark.parametrize("suffix", [".b2nd", ".index"])
def test_every_byte_around_the_chunks_turned_around(
    tmp_path: Path, source: tuple[DatasetInfo, list[bytes]], suffix: str
) -> None:
    """A sealed frame's header, index and trailer, and what the cache's index describes."""
    store = Store(tmp_path / "cache")
    read(store, source)
    replica = store.replica(ROOT, source[0])
    replica.seal()
    replica.keep()
    assert replica.file is not None
    files = [replica.file, replica.file.with_suffix(".index")]
    del replica
    store.close()
    contents = [file.read_bytes() for file in files]
    first = contents[0].find(source[1][0])
    last = first + sum(map(len, source[1]))
    places = range(500) if suffix == ".index" else [*range(first), *range(last, len(contents[0]))]
    for at in some(places, 11):
        for file, content in zip(files, contents, strict=True):
            damaged = bytearray(content)
            damaged[at] ^= 0xFF if file.suffix == suffix else 0
            file.write_bytes(damaged)
        again = Store(tmp_path / "cache")
        read(again, source)
        replica = again.replica(ROOT, source[0])
        assert replica.info == source[0], at
        sealed = replica.seal()
        assert sealed is not None
        frame = blosc2.ndarray_from_cframe(sealed.pread(sealed.size, 0))
        np.testing.assert_array_equal(frame[()], VALUES, err_msg=str(at))
        del replica
        again.close()


class Failing:
    """A file operation of which the nth call fails."""

    def __init__(self, operation: str, failure: int) -> None:
        self._real: Callable[..., Any] = getattr(os, operation)
        self._failure = failure
        self._calls = 0
        self._failed = True
        self.n = 0

    def next(self) -> bool:
        """Have the next call fail; False if there were not as many the last time."""
        failed, self._failed, self._calls = self._failed, False, 0
        self.n += 1
        return failed

    def __call__(self, *args: Any, **more: Any) -> Any:
        self._calls += 1
        if self._calls == self.n:
            self._failed = True
            raise OSError(self._failure, os.strerror(self._failure))
        return self._real(*args, **more)


OPERATIONS = ["pwrite", "open", "fsync", "posix_fallocate", "replace", "pread"]


@pytest.mark.parametrize("failure", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_nth_file_operation_fails(
    tmp_path: Path,
    source: tuple[DatasetInfo, list[bytes]],
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    failure: int,
) -> None:
    failing = Failing(operation, failure)
    while failing.next():
        directory = tmp_path / f"cache{failing.n}"
        store = Store(directory)
        with monkeypatch.context() as patched:
            patched.setattr(os, operation, failing)
            for _ in range(3):  # a reader asks again where a chunk turned out to be lost
                try:
                    read(store, source)
                    replica = store.replica(ROOT, source[0])
                    if replica.seal() is not None:
                        replica.keep()
                except (OSError, AssertionError):
                    continue
                break
            else:
                pytest.fail(f"{operation} {failing.n} is never got over")
        del replica
        store.close()
        again = Store(directory)
        read(again, source)
        again.close()
    assert failing.n > 1


@pytest.mark.parametrize("failure", [errno.ENOSPC, pytest.param(errno.EIO, marks=pytest.mark.slow)])
@pytest.mark.parametrize("operation", [*OPERATIONS, "copy_file_range", "unlink", "stat"])
def test_nth_file_operation_fails_while_a_version_goes_on_with_the_file_of_another(
    tmp_path: Path,
    source: tuple[DatasetInfo, list[bytes]],
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    failure: int,
) -> None:
    values = VALUES.copy()
    values[:3] += 1000
    after = described(tmp_path / "a.b2nd", values, "e2")
    failing = Failing(operation, failure)
    while failing.next():
        directory = tmp_path / f"cache{failing.n}"
        store = Store(directory)
        read(store, source)
        keep(store, source)
        with monkeypatch.context() as patched:
            patched.setattr(os, operation, failing)
            for _ in range(4):  # a reader asks again where a chunk turned out to be lost
                with contextlib.suppress(OSError):
                    if shared(store, after, values):
                        break
            else:
                pytest.fail(f"{operation} {failing.n} is never got over")
        store.close()
        for _ in range(3):
            again = Store(directory)
            if shared(again, after, values):
                break
            again.close()
        else:
            pytest.fail(f"{operation} {failing.n} left a cache that can't be read")
        again.close()
    assert failing.n > 1


def test_a_crash_at_any_operation_while_a_version_goes_on_with_the_file_of_another(
    tmp_path: Path, source: tuple[DatasetInfo, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = VALUES.copy()
    values[:3] += 1000
    after = described(tmp_path / "a.b2nd", values, "e2")
    store = Store(tmp_path / "cache")
    read(store, source)
    keep(store, source)
    crashes: list[Path] = []

    def copied_before(operation: str) -> Callable[..., Any]:
        real = getattr(os, operation)

        def copied(*args: Any, **more: Any) -> Any:
            crashes.append(tmp_path / f"crash{len(crashes)}")
            shutil.copytree(tmp_path / "cache", crashes[-1])
            return real(*args, **more)

        return copied

    for operation in ("replace", "unlink", "pwrite", "copy_file_range", "posix_fallocate"):
        monkeypatch.setattr(os, operation, copied_before(operation))
    assert shared(store, after, values)
    store.close()
    monkeypatch.undo()
    assert len(crashes) > 10
    for directory in crashes:
        again = Store(directory)
        tries = [shared(again, after, values) for _ in range(3)]
        assert tries[-1], directory
        again.close()


def keep(store: Store, source: tuple[DatasetInfo, list[bytes]]) -> None:
    replica = store.replica(ROOT, source[0], newest=True)
    assert replica.seal() is not None
    replica.keep()


def shared(store: Store, source: tuple[DatasetInfo, list[bytes]], values: Any) -> bool:
    """Fetch what the former version has not, and read all; whether nothing was lost meanwhile."""
    info, chunks = source
    replica = store.replica(ROOT, info, newest=True)
    missing = replica.verify(np.arange(4)).tolist()
    offers = replica.offers(missing) or (b"",) * len(missing)
    for n, digest in zip(missing, offers, strict=True):
        if digest and digest == blocks.digest(chunks[n]):
            replica.confirm(n)
        else:
            replica.add([n], [len(chunks[n])], [zlib.crc32(chunks[n])], chunks[n])
    got = slices.values(replica, whole(values.shape))
    if got is not None and not (got == values).all():
        pytest.fail(f"{got} is another version")
    if replica.complete:
        replica.seal()
        replica.keep()
    return got is not None


def test_short_writes_are_finished(
    tmp_path: Path, source: tuple[DatasetInfo, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, data[:7], at))
    read(Store(tmp_path / "cache"), source)
    monkeypatch.undo()
    assert read(Store(tmp_path / "cache"), source) == 0
