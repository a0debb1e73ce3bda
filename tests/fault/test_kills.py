"""Services killed at any instant: the cache opens, what was answered is there, nothing is wrong."""

from __future__ import annotations

import contextlib
import random
import re
import threading
import time
from pathlib import Path

import blosc2
import numpy as np
import pytest

import caterva2
from caterva2.cache.check import check
from caterva2.cache.index import Index
from tests.conftest import Stack, eventually

ROWS = 300


def make_data(directory: Path) -> np.ndarray:
    directory.mkdir()
    values = np.random.default_rng(0).random((ROWS, 4_000))
    quick = {"codec": blosc2.Codec.LZ4, "clevel": 1}
    blosc2.asarray(values, chunks=(1, 4_000), cparams=quick, urlpath=str(directory / "a.b2nd"))
    return values


class Load:
    """Clients that read rows at random until told to end; what they got is checked."""

    def __init__(self, url: str, values: np.ndarray, seed: int) -> None:
        self.url = url
        self.values = values
        self.answered: set[int] = set()
        self.refused = 0
        self.wrong: list[int] = []
        self.ended = threading.Event()
        self.threads = [
            threading.Thread(target=self._read, args=(seed * 10 + n,), daemon=True)
            for n in range(3)
        ]
        for thread in self.threads:
            thread.start()

    def _read(self, seed: int) -> None:
        rng = random.Random(seed)
        with caterva2.Client(self.url, timeout=40) as client:
            while not self.ended.is_set():
                n = rng.randrange(ROWS)
                try:
                    row = client.fetch("data/a.b2nd", n)
                except (caterva2.HttpError, caterva2.Unreachable):
                    self.refused += 1
                    self.ended.wait(0.02)
                    continue
                if not (row == self.values[n]).all():
                    self.wrong.append(n)
                self.answered.add(n)
                self.ended.wait(0.002)  # a load, but not all that the machine can do

    def stop(self) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()
        assert self.wrong == []


def kill_subscribers(stack: Stack, tmp_path: Path, times: int) -> str:
    """Kill a subscriber again and again while it fills its cache."""
    values = make_data(tmp_path / "data")
    stack.start_broker()
    stack.start_publisher("data", tmp_path / "data")
    rng = random.Random(1)
    acknowledged: set[int] = set()
    cache = stack.directory / "sub" / "cache"
    starts = answers = 0
    for turn in range(times):
        if len(acknowledged) > ROWS * 0.9:
            starts += 1
            for file in cache.rglob("*.*"):
                file.unlink()
            acknowledged.clear()
        stack.start_subscriber()
        load = Load(stack.url, values, turn)
        time.sleep(rng.uniform(0.0, 0.4))  # the instant of the fault
        stack.kill("sub")
        load.stop()
        acknowledged |= load.answered
        answers += len(load.answered)
        report = check(cache)
        assert report.clean, report
        for path in cache.rglob("*.index"):
            records = Index.open(path).records
            assert acknowledged <= set(np.flatnonzero(records["length"]).tolist())
    return f"{times} kills, {answers} rows answered, {starts} fresh starts, every check clean"


def kill_and_restart(stack: Stack, tmp_path: Path, name: str, times: int) -> str:
    """Kill a broker or publisher under load; seconds until everything works again."""
    values = make_data(tmp_path / "data")
    stack.start_broker()
    stack.start_publisher("data", tmp_path / "data", name="pub")
    stack.start_subscriber()
    stack.subscribe("data")
    rng = random.Random(2)
    took: list[float] = []
    for turn in range(times):
        load = Load(stack.url, values, turn)
        time.sleep(rng.uniform(0.0, 0.3))  # the instant of the fault
        stack.kill(name)
        began = time.monotonic()
        if name == "bro":
            stack.start_broker()
        else:
            stack.start_publisher("data", tmp_path / "data", name="pub")
        note = tmp_path / "data" / f"{turn}.txt"
        note.write_text(str(turn))
        eventually(lambda note=note: note.name in stack.client.get_list("data"), 60)  # type: ignore[misc]
        assert stack.client.fetch(f"data/{note.name}") == str(turn).encode()
        took.append(time.monotonic() - began)
        load.stop()
    low, high = np.quantile(took, [0.5, 0.99])
    return f"{times} kills, recovery p50 {low:.1f} s, p99 {high:.1f} s, no wrong answer"


def test_killed_subscriber_keeps_what_it_answered(stack: Stack, tmp_path: Path) -> None:
    kill_subscribers(stack, tmp_path, 2)


def test_killed_broker_comes_back(stack: Stack, tmp_path: Path) -> None:
    kill_and_restart(stack, tmp_path, "bro", 1)


def test_killed_publisher_comes_back(stack: Stack, tmp_path: Path) -> None:
    kill_and_restart(stack, tmp_path, "pub", 1)


@pytest.mark.parametrize("kills", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_killed_subscriber_goes_on_with_the_chunks_of_former_versions(
    stack: Stack, tmp_path: Path, kills: int
) -> None:
    source, rng = tmp_path / "data", random.Random(5)
    source.mkdir()
    values = np.random.default_rng(1).random((50, 4_000))

    def write(count: int) -> None:
        made = source / ".new"
        blosc2.asarray(values[:count], chunks=(1, 4_000), urlpath=str(made))
        made.rename(source / "a.b2nd")

    def same(expected: np.ndarray) -> bool:
        return np.array_equal(stack.client.fetch("data/a.b2nd"), expected)

    write(40)
    stack.start(data=source).fetch("data/a.b2nd")
    for count in range(41, 41 + kills):
        write(count)
        eventually(lambda count=count: stack.client.get_info("data/a.b2nd")["shape"][0] == count)
        reading = threading.Thread(target=read_or_lose, args=(stack.url,), daemon=True)
        reading.start()
        time.sleep(rng.uniform(0, 0.1))  # the kill comes at any time
        stack.kill("sub")
        reading.join(60)
        stack.start_subscriber()
        eventually(lambda count=count: same(values[:count]))
    stack.stop("pub-data")
    served = re.search(r"served \d+ requests, (\d+) chunks", stack.log("pub-data"))
    assert served
    assert (
        40 + kills <= int(served[1]) <= 40 + 2 * kills
    )  # a new one may be lost on its way by each kill


def read_or_lose(url: str) -> None:
    with contextlib.suppress(caterva2.HttpError, caterva2.Unreachable):
        caterva2.Client(url).fetch("data/a.b2nd")


@pytest.mark.slow
@pytest.mark.timeout(4000)
def test_a_thousand_killed_subscribers(stack: Stack, tmp_path: Path) -> None:
    print(kill_subscribers(stack, tmp_path, 1000))


@pytest.mark.slow
@pytest.mark.timeout(4000)
@pytest.mark.parametrize("name", ["bro", "pub"])
def test_two_hundred_killed_services(stack: Stack, tmp_path: Path, name: str) -> None:
    print(kill_and_restart(stack, tmp_path, name, 200))
