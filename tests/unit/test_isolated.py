"""A source in a process of its own: whatever that does, others are served and the end is near."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import fragile
import pytest

from caterva2.errors import (
    Busy,
    CatervaError,
    Internal,
    NotFound,
    SourceCorrupt,
    StaleVersion,
    StartError,
)
from caterva2.isolation.file import IsolatedFile
from caterva2.isolation.process import Target
from caterva2.isolation.reader import Reader
from caterva2.isolation.source import IsolatedSource
from caterva2.limits import DEFAULTS
from caterva2.limits.constants import MIB
from caterva2.names import DatasetPath

QUICK = replace(DEFAULTS.isolation, call=1.5, isolated_memory=2048 * MIB)
Opener = Callable[..., IsolatedSource]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    """Opens sources of which the datasets behave as they are told to."""
    made: list[IsolatedSource] = []

    def open_source(**ways: str) -> IsolatedSource:
        path = fragile.write(tmp_path / "x.fragile", **ways)
        made.append(IsolatedSource(Target(fragile.MAKE, path), QUICK))
        return made[-1]

    yield open_source
    for source in made:
        source.close()


def value(source: IsolatedSource, name: str, ids: tuple[int, ...] = (0,)) -> list[bytes]:
    return [run.payload for run in source.chunks(DatasetPath(f"{name}.b2nd"), "v", ids)]


def wait_for(condition: Callable[[], object], seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# --- what is passed on ---


def test_values_come_through(opened: Opener) -> None:
    source = opened(a="good", b="good")
    assert list(source.scan()) == ["a.b2nd", "b.b2nd"]
    assert list(source.scan("b.b2nd")) == ["b.b2nd"]
    assert value(source, "a", (3, 1, 2)) == [b"abc"] * 3
    assert source.blocks(DatasetPath("a.b2nd"), "v", 0, [1]).payload == b"abc"
    assert b"".join(source.read_bytes(DatasetPath("a.b2nd"), "v", 2, 6)) == bytes([2, 3, 4, 5])
    assert list(source.read_bytes(DatasetPath("a.b2nd"), "v", 2, 2)) == []


def test_errors_come_through_as_they_are(opened: Opener) -> None:
    source = opened(a="good")
    with pytest.raises(StaleVersion, match="has changed") as caught:
        list(source.chunks(DatasetPath("a.b2nd"), "another", [0]))
    assert (caught.value.info, caught.value.after_ms) == ({"etag": "v"}, 7)
    with pytest.raises(NotFound):
        value(source, "x")
    with pytest.raises(Internal, match="ZeroDivisionError"):
        source.info(DatasetPath("a.b2nd"))


def test_an_error_whose_text_can_not_be_sent_is_one_all_the_same(opened: Opener) -> None:
    source = opened(bad="odd-error", good="good")
    with pytest.raises(Internal, match="UnicodeEncodeError"):
        value(source, "bad")
    assert value(source, "good") == [b"abc"]


def test_its_log_is_ours(opened: Opener, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    source = opened(a="good")
    with pytest.raises(Internal):
        source.info(DatasetPath("a.b2nd"))
    wait_for(lambda: any("info failed" in r.getMessage() for r in caplog.records))


# --- a process that does not live ---


def test_read_whose_process_is_killed_is_answered(opened: Opener, tmp_path: Path) -> None:
    source = opened(a="slow")
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(value, source, "a", (0, 1))
        wait_for(fragile.begun(tmp_path / "x.fragile").exists)
        os.kill(source.pid, signal.SIGKILL)
        assert reading.result(30) == [b"abc"] * 2


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("crash", "ended by SIGSEGV"),
        ("hang", "did not answer in time"),
        ("eat", "ISOLATED_MEMORY"),
        ("odd-reply", "sent nonsense"),
    ],
)
def test_dataset_that_ends_the_process_is_damaged_and_others_are_served(
    opened: Opener, tmp_path: Path, way: str, reason: str
) -> None:
    source = opened(bad=way, good="good")
    started = time.monotonic()
    with pytest.raises(SourceCorrupt, match=reason) as caught:
        value(source, "bad")
    assert time.monotonic() - started < 30
    assert "bad.b2nd can't be read from x.fragile" in caught.value.detail
    assert value(source, "good") == [b"abc"]
    pid = source.pid
    with pytest.raises(SourceCorrupt, match=reason):
        value(source, "bad")
    assert source.pid == pid  # it was not tried again
    fragile.write(tmp_path / "x.fragile", bad="good")
    assert value(source, "bad") == [b"abc"]


def test_hung_dataset_is_tried_twice_however_many_wait_for_it(
    opened: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    source = opened(bad="hang", good="good")
    with ThreadPoolExecutor(4) as pool:
        for bad in [pool.submit(value, source, "bad") for _ in range(4)]:
            assert isinstance(bad.exception(60), SourceCorrupt)
    assert caplog.text.count("bad.b2nd is damaged") == 1


def test_call_may_take_longer_while_others_are_answered(opened: Opener) -> None:
    source = opened(long="long", good="good")
    pid = source.pid
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(value, source, "long")
        while not slow.done():
            assert value(source, "good") == [b"abc"]
            time.sleep(0.1)
        assert slow.result() == [b"abc"]
    assert source.pid == pid


def test_those_that_were_read_meanwhile_are_not_to_blame(opened: Opener) -> None:
    source = opened(bad="crash", slow="slow", good="good")
    with ThreadPoolExecutor(4) as pool:
        bad = pool.submit(value, source, "bad")
        others = [pool.submit(value, source, name) for name in ("slow", "good") * 10]
        assert all(other.result(60) == [b"abc"] for other in others)
        with pytest.raises(SourceCorrupt):
            bad.result(60)


def test_dataset_that_ends_the_listing_is_left_out(
    opened: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    source = opened(a="good", bad="scan-crash", b="good", worse="scan-hang", c="good")
    assert list(source.scan()) == ["a.b2nd", "b.b2nd", "c.b2nd"]
    assert "bad.b2nd is damaged: the process that read it ended by SIGSEGV" in caplog.text
    with pytest.raises(SourceCorrupt, match="worse"):
        value(source, "worse")
    assert value(source, "c") == [b"abc"]


def test_what_was_listed_of_a_former_version_is_void(opened: Opener) -> None:
    source = opened(a="good", b="scan-moves")
    assert list(source.scan()) == ["a.b2nd", "b.b2nd"]


@pytest.mark.parametrize("way", ["scan-nonsense", "scan-no-entries"])
def test_process_that_lists_nonsense_is_ended(opened: Opener, way: str) -> None:
    source = opened(a=way, b="good")
    pid = source.pid
    assert source.scan() == {}
    assert source.pid != pid


def test_file_with_too_many_of_these_is_damaged(opened: Opener, tmp_path: Path) -> None:
    ways = {f"x{n}": "scan-hang" for n in range(40)}
    source = opened(**ways)
    started = time.monotonic()
    assert source.scan() == {}
    assert time.monotonic() - started < 30
    with pytest.raises(SourceCorrupt, match="too often"):
        value(source, "x39")
    fragile.write(tmp_path / "x.fragile", a="good")
    assert list(source.scan()) == ["a.b2nd"]


def test_list_stands_while_the_file_cant_be_listed(opened: Opener, tmp_path: Path) -> None:
    source = opened(a="good")
    assert list(source.scan()) == ["a.b2nd"]
    (tmp_path / "x.fragile").write_text("{")
    assert list(source.scan()) == ["a.b2nd"]
    stop = threading.Event()
    hints = source.changes(stop)
    assert next(hints) == {""}
    stop.set()
    (tmp_path / "x.fragile").unlink()
    assert source.scan() == {}


def test_what_cant_start_is_told_at_the_first_scan(tmp_path: Path) -> None:
    path = fragile.write(tmp_path / "x.fragile", a="good")
    source = IsolatedSource(Target("fragile:Nothing", path), QUICK)
    with pytest.raises(StartError, match="ended with 1"):
        source.scan()
    with pytest.raises(Busy):
        value(source, "a")
    source.close()


# --- the files of a directory ---


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Reader]:
    """Reads files of a directory in which one is good and one is not."""
    fragile.write(tmp_path / "good.fragile", a="good")
    fragile.write(tmp_path / "bad.fragile", a="crash", b="good")
    reader = Reader(Target(fragile.MAKE, tmp_path), QUICK)
    yield reader
    reader.close()


def read(reader: Reader, name: str, dataset: str) -> bytes:
    file = IsolatedFile(reader, f"{name}.fragile", room=100)
    (run,) = file.chunks(DatasetPath(f"{dataset}.b2nd"), "v", [0])
    return run.payload


def test_dataset_that_ends_the_process_is_damaged_in_its_file_only(
    files: Reader, tmp_path: Path
) -> None:
    with pytest.raises(SourceCorrupt, match=r"a\.b2nd can't be read from bad\.fragile"):
        read(files, "bad", "a")
    pid = files.running().pid
    assert read(files, "good", "a") == read(files, "bad", "b") == b"abc"
    with pytest.raises(SourceCorrupt):
        read(files, "bad", "a")
    assert files.running().pid == pid  # it was not tried again
    fragile.write(tmp_path / "bad.fragile", a="good")
    assert read(files, "bad", "a") == b"abc"


def test_file_that_ends_its_listing_leaves_the_others(files: Reader, tmp_path: Path) -> None:
    ways = {f"x{n}": "scan-hang" for n in range(40)}
    fragile.write(tmp_path / "bad.fragile", **ways)
    with pytest.raises(SourceCorrupt, match="too often"):
        IsolatedFile(files, "bad.fragile", room=100).scan()
    pid = files.running().pid
    assert list(IsolatedFile(files, "good.fragile", room=100).scan()) == ["a.b2nd"]
    with pytest.raises(SourceCorrupt, match="too often"):
        IsolatedFile(files, "bad.fragile", room=100).scan()
    assert files.running().pid == pid


# --- its life ---


def test_process_ends_when_the_source_is_closed(opened: Opener) -> None:
    source = opened(a="hang")
    with ThreadPoolExecutor(1) as pool:
        source.scan()
        pid = source.pid
        reading = pool.submit(value, source, "a")
        time.sleep(0.1)
        source.close()
        assert isinstance(reading.exception(10), CatervaError)
    wait_for(lambda: not is_there(pid))


PARENT = """
import sys, time
from pathlib import Path
from caterva2.isolation.file import IsolatedFile
from caterva2.isolation.open_sources import OpenSources
from caterva2.isolation.process import Target
from caterva2.isolation.reader import Reader
from caterva2.isolation.source import IsolatedSource
from caterva2.names import DatasetPath
source = IsolatedSource(Target("fragile:Fragile", Path(sys.argv[1])))
source.scan()
print(source.pid, flush=True)
list(source.chunks(DatasetPath("a.b2nd"), "v", [0]))
time.sleep(3600)
"""


@pytest.mark.parametrize("way", [pytest.param("good", marks=pytest.mark.slow), "hang"])
def test_process_ends_with_its_parent(tmp_path: Path, way: str) -> None:
    path = fragile.write(tmp_path / "x.fragile", a=way)
    places = os.pathsep.join(place for place in sys.path if place)
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(path)], stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": places},
    ) as parent:  # fmt: skip
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert is_there(pid)
        parent.kill()
    wait_for(lambda: not is_there(pid))


def test_idle_process_never_wakes_up(opened: Opener) -> None:
    source = opened(a="good")
    source.scan()

    def switches() -> int:
        tasks = Path(f"/proc/{source.pid}/task").iterdir()
        lines = [line for task in tasks for line in (task / "status").read_text().splitlines()]
        return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary"))

    def woke_up() -> bool:
        before = switches()
        time.sleep(1)
        return switches() != before

    wait_for(lambda: not woke_up())
