"""Caches that others may touch, disks that are full, and machines that sleep: no wrong value."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import caterva2
from caterva2.client.errors import OfflineWarning, Unreachable
from caterva2.client.http.transport import HttpTransport
from caterva2.depot import place
from tests.client import crowd
from tests.client.arrays import GRID, MANY
from tests.client.line import Line, cached
from tests.conftest import Stack, eventually, run
from tests.fault.proxy import Proxy
from tests.forking import PYTHON

PATH = "foo/grid.b2nd"


def _crowd(what: str, url: str, directory: Path, count: int) -> None:
    done = run(
        PYTHON, "-m", "tests.client.crowd", what, url, str(directory), str(count), timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_answers_that_break_off_are_asked_for_again(line: Line, tmp_path: Path) -> None:
    def cut(body: bytearray) -> None:
        del body[-100:]
        line.damage = None

    dataset = cached(line, tmp_path)[PATH]
    line.damage = cut
    assert (dataset[:] == GRID).all()
    assert len([one for one in line.targets if "chunks/" in one]) == 2

    def long(body: bytearray) -> None:
        body += b"0"
        line.damage = None

    line.damage = long
    line.requests.clear()
    assert (cached(line, tmp_path / "more")[PATH][:] == GRID).all()
    assert len([one for one in line.targets if "chunks/" in one]) == 1  # all of it had arrived

    def always(body: bytearray) -> None:
        del body[-100:]

    line.damage = always
    with pytest.raises(Unreachable, match=r"grid\.b2nd: 12 chunks are not in the cache"):
        cached(line, tmp_path / "other")[PATH][:]


def test_parts_that_are_links_or_of_others_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "http://127.0.0.1:9"
    own = place.own_directory(tmp_path, HttpTransport(url))
    with monkeypatch.context() as patched:
        patched.setattr(os, "geteuid", lambda: own.stat().st_uid + 1)
        with pytest.raises(caterva2.BadRequest, match="belongs to another user"):
            caterva2.Client(url, cache=tmp_path)
    own.rename(tmp_path / "precious")
    own.symlink_to(tmp_path / "precious")
    with pytest.raises(caterva2.BadRequest, match="is a link"):
        caterva2.Client(url, cache=tmp_path)


def test_what_a_newer_version_made_is_fetched_again(line: Line, tmp_path: Path) -> None:
    assert (cached(line, tmp_path)[PATH][:] == GRID).all()
    [index] = tmp_path.glob("*/replicas/*/*/*.index")
    data = bytearray(index.read_bytes())
    magic = data.index(b"2", 0, 16)
    data[magic : magic + 1] = b"9"
    index.write_bytes(data)
    line.requests.clear()
    assert (cached(line, tmp_path)[PATH][:] == GRID).all()
    assert [one for one in line.targets if "chunks/" in one]
    line.cut = True
    with pytest.warns(OfflineWarning):
        assert (cached(line, tmp_path).fetch(PATH) == GRID).all()


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that other users reach, as they don't those of pytest."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


def test_a_cache_that_can_only_be_read_leaves_values_right(
    lab: Stack, open_directory: Path
) -> None:
    cache = open_directory / "cache"
    cache.mkdir()
    user = 65534 if os.geteuid() == 0 else os.geteuid()
    os.chown(cache, user, -1)

    def in_child(work: Callable[[], None]) -> int:
        def go() -> None:
            os.setuid(user)
            work()

        return os.waitpid(crowd.forked(go), 0)[1]

    def refused() -> None:
        with pytest.raises(caterva2.BadRequest, match="can't be used"):
            caterva2.Client(lab.url, cache=cache)

    def read() -> None:
        dataset = caterva2.Client(lab.url, cache=cache)[PATH]
        assert (dataset[5:] == GRID[5:]).all()
        assert (dataset[:] == GRID).all()

    cache.chmod(0o555)
    assert in_child(refused) == 0
    cache.chmod(0o755)
    assert in_child(read) == 0
    below = [one for one in cache.rglob("*") if one.is_dir()]
    for one in (*below, *(file for file in cache.rglob("*") if file.is_file())):
        one.chmod(0o500 if one in below else 0o400)
    assert in_child(read) == 0


def test_pinned_data_above_the_quota_stays_and_others_are_read(line: Line, tmp_path: Path) -> None:
    client = cached(line, tmp_path, quota=5_000)
    assert client.take(PATH).taken == [PATH]
    for _ in range(2):
        assert (client["foo/many.b2nd"][:70] == MANY[:70]).all()
    assert len([*tmp_path.glob("*/replicas/*/*/*.index")]) == 1
    line.cut = True
    with pytest.warns(OfflineWarning):
        assert (cached(line, tmp_path).fetch(PATH) == GRID).all()


def test_what_was_never_taken_is_not_replaced(line: Line, tmp_path: Path) -> None:
    client, mine = caterva2.Client.over(line), tmp_path / "foo/dir1/ds-2d.b2nd"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    for _ in range(2):
        report = client.take("foo/dir1", to=tmp_path)
        assert "was not taken: move it away" in report.failed["foo/dir1/ds-2d.b2nd"]
        assert mine.read_text() == "mine"
    assert report.unchanged == ["foo/dir1/ds-3d.b2nd"]
    mine.unlink()
    assert client.sync(to=tmp_path).taken == ["foo/dir1/ds-2d.b2nd"]
    assert client.take("foo/dir1/ds-2d.b2nd", to=tmp_path).failed == {}  # by another name


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for a quarter of an array."""
    there = tmp_path / "small"
    there.mkdir()
    given = ["mount", "-t", "tmpfs", "-o", "size=200k,mode=0700", "tmpfs", str(there)]
    if os.geteuid() or subprocess.run(given, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield there
    finally:
        subprocess.run(["umount", "-l", str(there)], check=True)


@pytest.mark.slow
def test_a_disk_that_becomes_full_leaves_values_right(lab: Stack, small_disk: Path) -> None:
    _crowd("full", lab.url, small_disk / "cache", 3)


@pytest.mark.slow
def test_files_that_can_not_grow_leave_values_right(lab: Stack, tmp_path: Path) -> None:
    _crowd("limited", lab.url, tmp_path / "cache", 3)


@pytest.mark.slow
def test_one_is_killed_while_another_fills_the_cache(lab: Stack, tmp_path: Path) -> None:
    _crowd("beside", lab.url, tmp_path / "cache", 12)


@pytest.mark.slow
def test_a_machine_that_sleeps_between_two_chunks_reads_on(lab: Stack, tmp_path: Path) -> None:
    """It is stopped, and its connection is gone when it goes on."""
    with Proxy(int(lab.url.rpartition(":")[2])) as proxy:
        proxy.bandwidth = 100_000.0
        url = f"http://127.0.0.1:{proxy.port}"
        child = crowd.forked(lambda: crowd.read(url, tmp_path / "cache", 3, 0))
        eventually(lambda: proxy.carried > 60_000)
        os.kill(child, signal.SIGSTOP)
        proxy.heal()
        os.kill(child, signal.SIGCONT)
        assert os.waitpid(child, 0)[1] == 0
        dataset = caterva2.Client(url, cache=tmp_path / "cache")["foo/many.b2nd"]
        proxy.carried = 0
        assert (dataset[:] == MANY).all()
        assert not proxy.carried
