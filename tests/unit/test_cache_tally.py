"""Bytes that the cache has of a root: counted anew, but not at each question."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

from caterva2.cache.tally import REST, Tally
from caterva2.names import DatasetPath, RootName

ROOT, OTHER = RootName("foo"), RootName("bar")
PATHS = [DatasetPath(f"x{n}") for n in range(3)]


class Clock:
    """Every look at it takes a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def place(directory: Path, root: RootName, path: DatasetPath) -> Path:
    return directory / root[:2] / f"{root}-{path}"


def put(directory: Path, root: RootName, path: DatasetPath, size: int) -> None:
    folder = place(directory, root, path)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{len(list(folder.iterdir()))}.data").write_bytes(bytes(size))


def of(tally: Tally, root: RootName = ROOT) -> int:
    return asyncio.run(tally.of(root, PATHS))


def test_all_files_of_the_datasets_count(tmp_path: Path) -> None:
    put(tmp_path, ROOT, PATHS[0], 10)
    put(tmp_path, ROOT, PATHS[0], 5)
    put(tmp_path, ROOT, PATHS[2], 1)
    put(tmp_path, OTHER, PATHS[0], 100)
    (tmp_path / "file").write_bytes(b"x")
    tally = Tally(tmp_path, place)
    assert (of(tally), of(tally, OTHER)) == (16, 100)
    assert of(Tally(tmp_path / "nothing", place)) == 0


def test_a_count_holds_for_longer_than_counting_took(tmp_path: Path) -> None:
    clock = Clock()
    tally = Tally(tmp_path, place, clock)
    assert of(tally) == 0
    put(tmp_path, ROOT, PATHS[0], 10)
    assert of(tally) == 0
    clock.now += 10 * REST
    assert of(tally) == 10


def test_one_thread_counts_for_all_who_ask(tmp_path: Path) -> None:
    put(tmp_path, ROOT, PATHS[0], 10)
    begun, go, counted = threading.Event(), threading.Event(), list[None]()
    tally = Tally(tmp_path, place, clock=lambda: float(go.is_set()))  # counting takes 1 s

    class Paths(list[DatasetPath]):
        def __iter__(self) -> Iterator[DatasetPath]:
            counted.append(None)
            begun.set()
            assert go.wait(60)
            return super().__iter__()

    async def many() -> list[int]:
        tasks = [asyncio.create_task(tally.of(ROOT, Paths(PATHS))) for _ in range(100)]
        assert await asyncio.to_thread(begun.wait, 60)  # threads are left for other work
        go.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(many()) == [10] * 100
    assert len(counted) == 1
