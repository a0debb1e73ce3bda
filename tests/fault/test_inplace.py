"""Readers while another process updates a published frame in place, chunk by chunk.

The writer fills one chunk after the other with the number of its lap, so every answer tells
between which two updates the file was read: each chunk that it touches narrows it down. An
answer that no moment fits is a mixture.
"""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections import Counter
from itertools import product
from pathlib import Path

import blosc2
import numpy as np
import numpy.typing as npt
import pytest

import caterva2
from tests.conftest import Stack

SHAPE, GRID = (128, 256), (64, 64)
CORNERS = list(product(range(0, SHAPE[0], GRID[0]), range(0, SHAPE[1], GRID[1])))
NOISE_BITS = 16
"""The lap stands above these bits; what is below only makes chunks compress differently."""
READERS = 4
REFUSALS = {409, 502, 503, 504}
WRITER = """
import random, sys, time
import blosc2, numpy as np

path, seconds, noisy = sys.argv[1], float(sys.argv[2]), sys.argv[3] == "noisy"
array = blosc2.open(path, mode="a")
grid, columns = array.chunks, array.shape[1] // array.chunks[1]
noise = np.random.default_rng(1)
print("ready", flush=True)
updates, until = 0, time.monotonic() + seconds
while time.monotonic() < until:
    lap, n = divmod(updates, array.schunk.nchunks)
    y, x = (n // columns) * grid[0], (n % columns) * grid[1]
    values = np.full(grid, (lap + 1) << 16)
    if noisy:
        rows = random.randrange(grid[0])
        values[:rows] += noise.integers(0, 1 << 16, (rows, grid[1]))
    array[y : y + grid[0], x : x + grid[1]] = values
    updates += 1
    if updates % 40 == 0:
        time.sleep(1.0)  # the pace of the writer, with pauses in which readers catch up
    elif random.random() < 0.5:  # else the next one follows at once
        time.sleep(random.uniform(0.02, 0.06))
print(updates)
"""


def moments(values: npt.NDArray[np.int64], top: int, left: int) -> tuple[int, int, bool]:
    """First and last count of updates after which a piece of the file can look as it does.

    The third is whether every chunk of it is of one lap; if not, or if the first is behind the
    last, it never looked so.
    """
    first, last, whole = 0, sys.maxsize, True
    for n, (y, x) in enumerate(CORNERS):
        rows = slice(max(y - top, 0), max(y + GRID[0] - top, 0))
        piece = values[rows, max(x - left, 0) : max(x + GRID[1] - left, 0)]
        laps = np.unique(piece >> NOISE_BITS)
        if len(laps):
            lap = int(laps[0])
            whole = whole and len(laps) == 1
            first = max(first, (lap - 1) * len(CORNERS) + n + 1)
            last = min(last, lap * len(CORNERS) + n)
    return first, last, whole


class Reader(threading.Thread):
    """Reads all and slices, and keeps account of what is wrong with them."""

    def __init__(self, url: str, seed: int, until: float) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.random = random.Random(seed)
        self.until = until
        self.seen = 0
        self.reads = 0
        self.refused: Counter[str] = Counter()
        self.wrong: list[str] = []

    def run(self) -> None:
        with caterva2.Client(self.url) as client:
            while time.monotonic() < self.until:
                try:
                    self.read(client)
                except caterva2.HttpError as error:
                    self.refused[str(error)] += 1
                    if error.status_code not in REFUSALS:
                        self.wrong.append(str(error))
                except Exception as error:
                    self.wrong.append(repr(error))
                    raise

    def read(self, client: caterva2.Client) -> None:
        y, x, key = 0, 0, None
        if self.random.random() < 0.9:  # else all of it is in the cache at once
            y, x = self.random.randrange(SHAPE[0]), self.random.randrange(SHAPE[1])
            key = slice(y, y + self.random.randrange(1, 80)), slice(x, x + 80)
        self.take(client.fetch("data/a.b2nd", key), y, x)

    def take(self, values: npt.NDArray[np.int64], top: int, left: int) -> None:
        self.reads += 1
        first, last, whole = moments(values, top, left)
        if not whole or first > last:
            self.wrong.append(f"states mixed: after {first}, before {last}, whole: {whole}")
        elif last < self.seen:
            self.wrong.append(f"state {last} or older after {self.seen}")
        self.seen = max(self.seen, first)


def check_updates(stack: Stack, tmp_path: Path, seconds: float, content: str) -> None:
    """Update and read for a while; how much of it was right."""
    file = tmp_path / "data" / "a.b2nd"
    file.parent.mkdir()
    blosc2.asarray(
        np.zeros(SHAPE, "i8"), chunks=GRID, blocks=(32, 64), contiguous=True, urlpath=str(file),
        cparams={"clevel": 5 if content == "noisy" else 0},
    )  # fmt: skip
    stack.start(data=file.parent)
    arguments = [sys.executable, "-c", WRITER, str(file), str(seconds), content]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        until = time.monotonic() + seconds
        readers = [Reader(stack.url, seed, until) for seed in range(READERS)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(seconds + 60)
            assert not reader.is_alive()
        updates = int(writer.communicate(timeout=60)[0])
    wrong = [entry for reader in readers for entry in reader.wrong]
    refused = sum((reader.refused for reader in readers), Counter[str]())
    reads = sum(reader.reads for reader in readers)
    print(f"{updates} updates, {reads} reads, {refused.total()} refused, {len(wrong)} violations")
    print(*(f"{count} times {why}" for why, count in refused.most_common(5)), sep="\n")
    assert wrong == []
    assert updates > 3 * seconds
    assert max(reader.seen for reader in readers) > updates / 2


@pytest.mark.parametrize("content", ["noisy", pytest.param("plain", marks=pytest.mark.slow)])
def test_every_answer_is_one_state_of_a_file_updated_in_place(
    stack: Stack, tmp_path: Path, content: str
) -> None:
    check_updates(stack, tmp_path, 1.5, content)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("content", ["plain", "noisy"])
def test_every_answer_is_one_state_of_a_file_updated_in_place_for_two_minutes(
    stack: Stack, tmp_path: Path, content: str
) -> None:
    check_updates(stack, tmp_path, 120, content)
