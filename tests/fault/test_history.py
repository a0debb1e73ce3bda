"""Readers while datasets are rewritten or grow: every answer is one version, none goes back."""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path

import blosc2
import numpy as np
import pytest

import caterva2
from tests.conftest import Stack

SHARING = ["c", "d"]
"""Datasets whose versions share every other row of chunks, and differ in the number of rows."""
NAMES = ["a", "b", *SHARING]
SHARED = -1
"""What is in the shared chunks."""
SHAPES = [(40, 50), (40, 50), (30, 70), (80, 20)]
PAUSE = 0.05


class Writer(threading.Thread):
    """Rewrites the datasets in turn; each version is filled with its number, where not shared."""

    def __init__(self, directory: Path) -> None:
        super().__init__(daemon=True)
        self.directory = directory
        self.written = 0
        self.ended = threading.Event()
        for name in NAMES:
            self.put(name)

    def put(self, name: str) -> None:
        self.written += 1
        shape = random.Random(self.written).choice(SHAPES)
        values = np.full(shape, self.written, "i8")
        if name in SHARING:
            values[np.arange(shape[0]) // 10 % 2 == 1] = SHARED
        temporary = self.directory / f".{name}"
        temporary.unlink(missing_ok=True)
        # Without compression versions of one shape have one length.
        blosc2.asarray(
            values, chunks=(10, 10), blocks=(5, 10), cparams={"clevel": 0}, urlpath=str(temporary)
        )
        os.replace(temporary, self.directory / f"{name}.b2nd")

    def run(self) -> None:
        while not self.ended.wait(PAUSE):
            self.put(NAMES[self.written % len(NAMES)])


class Reader(threading.Thread):
    """Reads random slices and keeps account of what is wrong with them."""

    def __init__(self, url: str, seed: int, until: float) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.random = random.Random(seed)
        self.until = until
        self.reads = 0
        self.refused: list[str] = []
        self.wrong: list[str] = []

    def run(self) -> None:
        seen = dict.fromkeys(NAMES, 0)
        with caterva2.Client(self.url) as client:
            while time.monotonic() < self.until:
                name = self.random.choice(NAMES)
                y, x = self.random.randrange(25), self.random.randrange(15)
                key = (slice(y, y + self.random.randrange(1, 30)), slice(x, x + 20))
                whole = self.random.random() < 0.2
                try:
                    values = client.fetch(f"data/{name}.b2nd", None if whole else key)
                except caterva2.HttpError as error:
                    self.refused.append(str(error))
                    continue
                self.reads += 1
                versions = np.unique(values[values != SHARED])
                if len(versions) > 1:
                    self.wrong.append(f"{name}: versions {versions.tolist()} mixed")
                elif len(versions) and versions[0] < seen[name]:
                    self.wrong.append(f"{name}: {versions[0]} after {seen[name]}")
                seen[name] = max(seen[name], int(versions.max(initial=0)))


def check_history(stack: Stack, tmp_path: Path, seconds: float) -> str:
    """Write and read for a while; how much of it was right."""
    source = tmp_path / "data"
    source.mkdir()
    writer = Writer(source)
    stack.start(data=source)
    writer.start()
    until = time.monotonic() + seconds
    readers = [Reader(stack.url, seed, until) for seed in range(8)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(seconds + 60)
        assert not reader.is_alive()
    writer.ended.set()
    writer.join(10)
    wrong = [entry for reader in readers for entry in reader.wrong]
    refused = [entry for reader in readers for entry in reader.refused]
    reads = sum(reader.reads for reader in readers)
    assert wrong == []
    assert stack.metric("kept_chunks_total") > 0
    assert reads > 5 * seconds
    assert len(refused) < reads / 100, refused[:3]
    return f"{writer.written} versions, {reads} reads, {len(refused)} refused, 0 violations"


def test_no_answer_mixes_versions_or_goes_back(stack: Stack, tmp_path: Path) -> None:
    check_history(stack, tmp_path, 1.5)


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_no_answer_mixes_versions_or_goes_back_for_five_minutes(
    stack: Stack, tmp_path: Path
) -> None:
    print(check_history(stack, tmp_path, 300))
