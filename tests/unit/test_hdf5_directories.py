"""HDF5 files in a directory, read by one process: values, versions, links, damage, many files."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
from hdf5reads import read, write
from test_hdf5_changes import writing

from caterva2.errors import NotFound, StaleVersion
from caterva2.hdf5 import superblock
from caterva2.hdf5.source import Hdf5Source
from caterva2.isolation.hdf5 import IsolatedHdf5
from caterva2.limits import DEFAULTS, Limits
from caterva2.names import DatasetPath
from caterva2.sources.directory.seen import Seen
from caterva2.sources.directory.source import DirectorySource

OPEN = 3
LIMITS = Limits(isolation=replace(DEFAULTS.isolation, open_files=OPEN, call=5))


class Root:
    """A directory as a publisher has it."""

    def __init__(self, directory: Path, memory: Path | None = None) -> None:
        self.path = directory
        self.format = IsolatedHdf5(directory, LIMITS)
        seen = Seen(directory, memory, age=0.0, formats=[self.format.identity])
        self.source = DirectorySource(directory, seen=seen, formats=[self.format])


class Files:
    """The files of one test, below a root that all tests share, since its process is dear."""

    def __init__(self, root: Root, name: str) -> None:
        self.path = root.path / name
        self.path.mkdir()
        self.root, self.source, self._prefix = root, root.source, f"{name}/"

    def at(self, path: str) -> DatasetPath:
        """Return the path in the root."""
        return DatasetPath(self._prefix + path)

    def names(self, scope: str = "") -> set[str]:
        found = self.source.scan((self._prefix + scope).rstrip("/"))
        return {path.removeprefix(self._prefix) for path in found}

    def read(self, path: str) -> Any:
        return read(self.source, self.at(path))

    def processor_time(self) -> float:
        """Seconds that the process has computed."""
        fields = Path(f"/proc/{self.root.format.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def open_files(self) -> set[str]:
        """The files of all tests that the process has open."""
        found = set()
        for fd in Path(f"/proc/{self.root.format.pid}/fd").iterdir():
            target = os.readlink(fd)
            if target.startswith(f"{self.root.path}/"):
                found.add(os.path.basename(target).removesuffix(" (deleted)"))
        return found


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Root]:
    made = Root(tmp_path_factory.mktemp("root"))
    yield made
    made.source.close()


@pytest.fixture
def files(root: Root, request: pytest.FixtureRequest) -> Files:
    return Files(root, re.sub(r"\W", "-", request.node.name))


def test_datasets_of_all_files_are_read_by_one_process(files: Files) -> None:
    (files.path / "d").mkdir()
    for n in range(6):
        with h5py.File(files.path / "d" / f"f{n}.nc", "w") as file:
            file["g/a"] = np.arange(10) + n
            file.create_dataset("b", data=np.full(100, n), chunks=(10,), **hdf5plugin.Blosc2())
    expected = {f"d/f{n}.nc{rest}" for n in range(6) for rest in ("", "/g/a.b2nd", "/b.b2nd")}
    assert files.names() == expected
    pid = files.root.format.pid
    for n in (0, 5, 2, 0, 4, 1, 3):
        np.testing.assert_array_equal(files.read(f"d/f{n}.nc/g/a.b2nd"), np.arange(10) + n)
        np.testing.assert_array_equal(files.read(f"d/f{n}.nc/b.b2nd"), np.full(100, n))
        assert len(files.open_files()) <= OPEN
    assert files.root.format.pid == pid
    whole = (files.path / "d" / "f3.nc").read_bytes()
    info = files.source.info(files.at("d/f3.nc"))
    assert info.kind == "file"
    assert b"".join(files.source.read_bytes(info.path, info.etag, 0, info.nbytes)) == whole


@pytest.mark.parametrize("offset", [0, 512, 1024, 2048, 8192])
def test_a_file_is_hdf5_by_its_signature_not_its_name(files: Files, offset: int) -> None:
    with h5py.File(files.path / "run17", "w", userblock_size=offset) as file:
        file["a"] = 1
    (files.path / "b.h5").write_text("no HDF5")
    assert files.names() == {"run17", "run17/a.b2nd", "b.h5"}
    assert files.read("run17/a.b2nd") == 1


def test_files_that_are_damaged_are_files_and_the_others_go_on(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    write(files.path / "good.h5", a=np.arange(3))
    cut = write(files.path / "cut.h5", a=np.arange(10_000))
    os.truncate(cut, 3000)
    (files.path / "forged.h5").write_bytes(superblock.SIGNATURE + os.urandom(3000))
    (files.path / "short.h5").write_bytes(superblock.SIGNATURE)
    (files.path / "empty.h5").touch()
    expected = {"good.h5", "good.h5/a.b2nd", "cut.h5", "forged.h5", "short.h5", "empty.h5"}
    assert files.names() == expected
    for name in ("cut", "forged"):
        assert (
            caplog.text.count(f"/{name}.h5 is served as a file only: the file can't be read") == 1
        )
    np.testing.assert_array_equal(files.read("good.h5/a.b2nd"), np.arange(3))
    write(files.path / "cut.h5", a=np.arange(5))
    assert "cut.h5/a.b2nd" in files.names("cut.h5")
    np.testing.assert_array_equal(files.read("cut.h5/a.b2nd"), np.arange(5))


def circle(n: int) -> str:
    return f"/l{(n + 1) % 10_000}"


def circle_in_a_group(n: int) -> str:
    return f"l{(n + 1) % 10_000}"


def long_ways(n: int) -> str:
    return f"/l{n - 1}" if n % 200 else "/a"


def long_ways_to_nothing(n: int) -> str:
    return f"/l{n - 1}" if n % 200 else "/nothing"


@pytest.mark.parametrize(
    "way",
    [
        circle,
        pytest.param(circle_in_a_group, marks=pytest.mark.slow),
        pytest.param(long_ways, marks=pytest.mark.slow),
        long_ways_to_nothing,
    ],
)
def test_ten_thousand_links_to_others_hold_nothing_up(
    files: Files, way: Callable[[int], str], caplog: pytest.LogCaptureFixture
) -> None:
    with h5py.File(files.path / "links.h5", "w", libver="latest") as file:
        file["a"] = 1
        group = file.create_group("g") if way == circle_in_a_group else file
        for n in range(10_000):
            group[f"l{n}"] = h5py.SoftLink(way(n))
    before = files.processor_time()
    found = files.names()
    assert {"links.h5", "links.h5/a.b2nd"} <= found
    assert len(found) == (10_002 if way == long_ways else 2)
    assert files.processor_time() - before < 10
    assert caplog.text.count("links.h5/") <= 2 * 100


def test_file_that_its_writer_has_locked_is_read(files: Files) -> None:
    path = write(files.path / "x.h5", a=np.arange(5))
    with path.open("rb") as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        assert files.names() == {"x.h5", "x.h5/a.b2nd"}
        np.testing.assert_array_equal(files.read("x.h5/a.b2nd"), np.arange(5))


def test_what_is_left_out_of_a_file_is_named_with_it(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    with h5py.File(files.path / "x.h5", "w") as file:
        file["g/empty"] = h5py.Empty("f8")
        file["loop"] = h5py.SoftLink("/loop")
        file["g/up"] = file["/"]
    assert files.names() == {"x.h5"}
    until = time.monotonic() + 10
    while f"{files.at('x.h5')}/g/empty is left out: it has an empty dataspace" not in caplog.text:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_file_that_is_replaced_while_it_is_read_gives_one_version(files: Files) -> None:
    with h5py.File(files.path / "x.h5", "w") as file:
        file.create_dataset("a", data=np.arange(100), chunks=(10,), compression="gzip")
    files.names()
    info = files.source.info(files.at("x.h5/a.b2nd"))
    reading = files.source.chunks(info.path, info.etag, [0])
    assert next(reading).ids == [0]
    write(files.path / "x.h5", a=np.arange(7))
    with pytest.raises(StaleVersion, match=r"x\.h5/a\.b2nd has changed") as caught:
        list(files.source.chunks(info.path, info.etag, [1]))
    entry = files.source.scan(files.at("x.h5"))[info.path]
    assert entry.etag == caught.value.info["etag"] != info.etag
    np.testing.assert_array_equal(files.read("x.h5/a.b2nd"), np.arange(7))


def test_file_that_a_swmr_writer_makes_longer_is_followed(files: Files) -> None:
    etags = set()
    with writing(files.path / "x.h5") as (_, grow):
        for size in (25, 43):
            grow(size)
            found = files.source.scan(files.at("x.h5"))
            etags.add(found[files.at("x.h5/a.b2nd")].etag)
            np.testing.assert_array_equal(files.read("x.h5/a.b2nd"), np.arange(size))
    assert len(etags) == 2


def test_removed_file_is_closed(files: Files) -> None:
    write(files.path / "removed.h5", a=1)
    files.names()
    assert files.read("removed.h5/a.b2nd") == 1
    assert "removed.h5" in files.open_files()
    (files.path / "removed.h5").unlink()
    assert files.names("removed.h5") == set()
    assert "removed.h5" not in files.open_files()
    with pytest.raises(NotFound):
        files.source.info(files.at("removed.h5/a.b2nd"))


def test_file_behind_a_link_out_of_the_directory_is_never_opened(
    files: Files, tmp_path: Path
) -> None:
    secret = write(tmp_path / "secret.h5", a=1)
    inner = write(files.path / "x.h5", a=2)
    files.names()
    inner.unlink()
    inner.symlink_to(secret)  # between a scan and a read
    with pytest.raises(NotFound):
        files.source.info(files.at("x.h5/a.b2nd"))
    assert files.names() == set()


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_names_of_one_file_that_is_written_in_place_agree(files: Files, link: object) -> None:
    with h5py.File(files.path / "x.h5", "w") as file:
        file["a"] = np.zeros(1000)
    link(files.path / "x.h5", files.path / "y.h5")  # type: ignore[operator]
    files.names()
    for value in (1, 2, 3):
        first, second = ("x.h5/a.b2nd", "y.h5/a.b2nd")[:: 1 if value % 2 else -1]
        assert (files.read(first) == value - 1).all()
        assert (files.read(second) == value - 1).all()
        with h5py.File(files.path / "x.h5", "r+", locking=False) as file:
            del file["a"]
            file["a"] = np.full(1000 * value, value, float)
        assert (files.read(second) == value).all()
        assert (files.read(first) == value).all()


def test_versions_that_share_a_file_outlive_each_other(tmp_path: Path) -> None:
    path = write(tmp_path / "x.h5", a=np.arange(100))
    os.link(path, tmp_path / "y.h5")
    first, second = Hdf5Source(path), Hdf5Source(tmp_path / "y.h5")
    for source in (first, second):
        np.testing.assert_array_equal(read(source, "a.b2nd"), np.arange(100))
    first.close()
    assert second.info(DatasetPath("a.b2nd")).shape == (100,)
    np.testing.assert_array_equal(read(second, "a.b2nd"), np.arange(100))
    second.close()


def test_process_that_is_killed_is_replaced(files: Files) -> None:
    for name in ("x", "y"):
        write(files.path / f"{name}.h5", a=np.arange(4))
    files.names()
    os.kill(files.root.format.pid, signal.SIGKILL)
    np.testing.assert_array_equal(files.read("x.h5/a.b2nd"), np.arange(4))
    os.kill(files.root.format.pid, signal.SIGKILL)
    write(files.path / "y.h5", b=np.arange(5))
    assert files.names("y.h5") == {"y.h5", "y.h5/b.b2nd"}


def test_directory_without_hdf5_starts_no_process(tmp_path: Path) -> None:
    root = Root(tmp_path)
    (tmp_path / "a.txt").write_text("text")
    root.source.scan()
    root.source.warm_up()
    assert root.format._reader._process is None


def list_twice(directory: Path, memory: Path, count: int) -> tuple[float, float]:
    """List a directory of HDF5 files, and again in a new process; the processor time of both."""
    directory.mkdir()
    for n in range(count):
        with h5py.File(directory / f"f{n:04}.nc", "w") as file:
            for d in range(20):
                file[f"g/v{d:02}"] = np.arange(4) + n
    found, took = [], []
    for _ in range(2):
        started = sum(os.times()[:4])
        root = Root(directory, memory)
        found.append(root.source.scan())
        is_started = root.format._reader._process is not None
        root.source.remember()
        root.source.close()  # the process that read it has ended then, and counts
        took.append(sum(os.times()[:4]) - started)
        assert is_started == (len(found) == 1)  # nothing is opened the second time
    assert found[0] == found[1]
    assert len(found[0]) == 21 * count
    return took[0], took[1]


def test_unchanged_files_are_not_opened_after_a_restart(tmp_path: Path) -> None:
    list_twice(tmp_path / "files", tmp_path / "listing", 20)


@pytest.mark.slow
def test_a_thousand_files_are_listed_quickly(tmp_path: Path) -> None:
    first, again = list_twice(tmp_path / "files", tmp_path / "listing", 1000)
    assert first < 20
    assert again < 2
