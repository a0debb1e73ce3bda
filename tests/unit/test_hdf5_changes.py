"""HDF5 files that change, are written or break while they are served."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import blosc2
import h5py
import hdf5plugin
import numpy as np
import pytest
from hdf5reads import read, write

from caterva2.errors import (
    NotFound,
    SourceCorrupt,
    StaleVersion,
)
from caterva2.frames import compose
from caterva2.hdf5 import superblock
from caterva2.hdf5.source import Hdf5Source
from caterva2.isolation.hdf5 import isolated_hdf5
from caterva2.isolation.process import ReadingProcess, Target
from caterva2.isolation.source import IsolatedSource
from caterva2.limits import DEFAULTS, IsolationLimits, Limits
from caterva2.names import DatasetPath
from tests.conftest import eventually


def test_change_of_the_file_is_another_version_of_each_dataset(tmp_path: Path) -> None:
    path = write(tmp_path / "x.h5", a=np.arange(5), b=np.arange(6))
    source = Hdf5Source(path)
    old = source.scan()
    write(path, a=np.arange(5), b=np.arange(7))
    new = source.scan()
    assert all(new[name].etag != old[name].etag for name in old)
    with pytest.raises(StaleVersion):
        list(source.chunks(DatasetPath("a.b2nd"), old[DatasetPath("a.b2nd")].etag, [0]))
    np.testing.assert_array_equal(read(source, "b.b2nd"), np.arange(7))
    source.close()


@pytest.mark.parametrize("given", [{}, dict(hdf5plugin.Blosc2())], ids=["converted", "passed"])
def test_file_that_changes_while_a_chunk_is_read_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=np.arange(100), chunks=(10,), **given)
    source = Hdf5Source(path)
    info = source.info(DatasetPath("a.b2nd"))
    content = path.read_bytes()

    def overtake(*_: Any) -> None:
        with path.open("r+b") as file:
            file.write(content[:4000] + bytes(len(content) - 4000))

    original = Hdf5Source._chunk

    def overtaken(self: Hdf5Source, *args: Any) -> bytes:
        overtake()
        return original(self, *args)

    monkeypatch.setattr(Hdf5Source, "_chunk", overtaken)
    with pytest.raises((StaleVersion, SourceCorrupt, NotFound)) as caught:
        list(source.chunks(info.path, info.etag, range(10)))
    assert not isinstance(caught.value, NotFound) or "a.b2nd" in str(caught.value)
    source.close()


@pytest.fixture
def isolated(tmp_path: Path) -> Iterator[IsolatedSource]:
    """A source, as a publisher has it, of a file with an array."""
    path = write(tmp_path / "x.h5", a=np.arange(10_000))
    source = isolated_hdf5(path, Limits(isolation=replace(DEFAULTS.isolation, call=5)))
    yield source
    source.close()


def read_isolated(source: IsolatedSource, path: str) -> Any:
    """The values of an array of one chunk."""
    info = source.info(DatasetPath(path))
    (run,) = source.chunks(info.path, info.etag, [0])
    frame = compose.frame(compose.template(info), [run.payload])
    return blosc2.ndarray_from_cframe(bytes(frame))[()]


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_file_that_is_cut_off_keeps_its_list_gives_no_data_and_heals(
    isolated: IsolatedSource, tmp_path: Path, libver: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", libver=libver) as file:
        file["a"] = np.arange(10_000)
    entry = isolated.scan()[DatasetPath("a.b2nd")]
    os.truncate(path, 3000)
    started = time.monotonic()
    with pytest.raises(SourceCorrupt, match=r"a\.b2nd.*truncated file"):
        list(isolated.chunks(entry.path, entry.etag, [0]))
    assert list(isolated.scan()) == ["a.b2nd"]
    assert time.monotonic() - started < 4  # nothing waited for
    assert "x.h5 can't be listed: the file can't be read as HDF5" in caplog.text
    write(path, a=np.arange(4))
    np.testing.assert_array_equal(read_isolated(isolated, "a.b2nd"), np.arange(4))


def test_file_that_is_gone_has_no_datasets(isolated: IsolatedSource, tmp_path: Path) -> None:
    assert isolated.scan()
    (tmp_path / "x.h5").unlink()
    assert isolated.scan() == {}
    with pytest.raises(NotFound):
        isolated.info(DatasetPath("a.b2nd"))


def test_broken_file_is_scanned_again(isolated: IsolatedSource, tmp_path: Path) -> None:
    isolated.scan()
    (tmp_path / "x.h5").write_bytes(b"")
    isolated.scan()
    stop = threading.Event()
    hints = isolated.changes(stop)
    assert next(hints) == {""}
    stop.set()
    assert list(hints) == []


def test_read_whose_process_is_killed_has_the_right_values(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 2**62, 2_000_000)
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=values, chunks=(50_000,), compression="gzip")
    source = isolated_hdf5(path)
    info = source.info(DatasetPath("a.b2nd"))
    found = []
    for n, run in enumerate(source.chunks(info.path, info.etag, range(info.nchunks))):
        if n in (1, 4):  # the next chunks are on their way or not: both has to be right
            os.kill(source.pid, signal.SIGKILL)
        ends = np.cumsum(run.sizes)
        found += [run.payload[e - s : e] for e, s in zip(ends, run.sizes, strict=True)]
    frame = compose.frame(compose.template(info), found)
    np.testing.assert_array_equal(blosc2.ndarray_from_cframe(bytes(frame))[:], values)
    source.close()


WRITER = """
import h5py, sys, numpy as np
file = h5py.File(sys.argv[1], "w", libver="latest")
grown = file.create_dataset("a", (10,), "i8", chunks=(10,), maxshape=(None,))
grown[:] = np.arange(10)
file.swmr_mode = True
print("ready", flush=True)
for line in sys.stdin:
    size = int(line)
    grown.resize((size,))
    grown[:] = np.arange(size)
    grown.flush()
    print("done", flush=True)
"""


@contextlib.contextmanager
def writing(path: Path) -> Iterator[tuple[subprocess.Popen[str], Callable[[int], None]]]:
    """Another process that writes a file as SWMR; with what makes its dataset longer."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as writer:  # fmt: skip
        assert writer.stdin and writer.stdout
        given, told = writer.stdin, writer.stdout
        assert told.readline() == "ready\n"

        def grow(size: int) -> None:
            given.write(f"{size}\n")
            given.flush()
            assert told.readline() == "done\n"

        yield writer, grow
        given.close()


def test_file_that_is_being_written_as_swmr_is_read_and_followed(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with writing(path) as (_, grow):
        source = Hdf5Source(path)
        for size in (25, 43):
            grow(size)
            np.testing.assert_array_equal(read(source, "a.b2nd"), np.arange(size))
    source.close()


@pytest.mark.parametrize(
    ("libver", "mode", "flagged"),
    [("earliest", "w", False), ("latest", "w", False), ("latest", "swmr", True)],
)
def test_only_a_swmr_writer_marks_the_superblock(
    tmp_path: Path, libver: str, mode: str, flagged: bool
) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", libver=libver, userblock_size=1024, locking=False) as file:
        file["a"] = 1
        if mode == "swmr":
            file.swmr_mode = True
        file.flush()
        assert superblock_of(path).has_swmr_writer == flagged
    assert not superblock_of(path).has_swmr_writer


def superblock_of(path: Path) -> superblock.Superblock:
    with path.open("rb") as file:
        found = superblock.read(file.fileno())
    assert found is not None
    return found


@pytest.mark.parametrize("content", [b"", b"\x89HDF", b"garbage" * 1000])
def test_file_without_a_superblock(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.h5").write_bytes(content)
    with (tmp_path / "x.h5").open("rb") as file:
        assert superblock.read(file.fileno()) is None


def content_of_a_dead_writer(path: Path) -> bytes:
    with writing(path) as (writer, grow):
        grow(5000)
        writer.kill()
        writer.wait()
    assert superblock_of(path).has_swmr_writer
    return path.read_bytes()


def test_file_of_a_dead_swmr_writer_that_is_cut_off_holds_nothing_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs one call that takes too long, if the superblock does not show it at once."""
    started: list[ReadingProcess] = []

    def counted(target: Target, limits: IsolationLimits) -> ReadingProcess:
        started.append(ReadingProcess(target, limits))
        return started[-1]

    monkeypatch.setattr("caterva2.isolation.reader.ReadingProcess", counted)
    path = tmp_path / "x.h5"
    content, end = content_of_a_dead_writer(path), superblock_of(path).end
    limits = Limits(isolation=replace(DEFAULTS.isolation, call=1.5))
    path.write_bytes(content[: end - 1])
    source = isolated_hdf5(path, limits)
    assert source.scan() == {}
    assert f"it is cut off, or grows now: {end - 1} of {end} bytes" in caplog.text
    assert len(started) == 1
    source.close()
    path.write_bytes(content[: len(content) // 2])
    source = isolated_hdf5(path, limits)
    assert source.scan() == {}
    left_out = "a is left out: it can't be read: the process that read it did not"
    eventually(lambda: left_out in caplog.text)
    assert len(started) == 1 + 2
    path.write_bytes(content)
    np.testing.assert_array_equal(read(source, "a.b2nd"), np.arange(5000))
    source.close()


def test_reader_does_not_lock_a_writer_out(tmp_path: Path) -> None:
    path = write(tmp_path / "x.h5", a=np.arange(10))
    source = Hdf5Source(path)
    append = "import h5py, sys; h5py.File(sys.argv[1], 'a')['b'] = 5"
    subprocess.run([sys.executable, "-c", append, str(path)], check=True, timeout=60)
    assert set(source.scan()) == {"a.b2nd", "b.b2nd"}
    source.close()
