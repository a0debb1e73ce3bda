"""A search in a root: what it describes to know it, within its bounds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from caterva2.browsing.facts import Facts, KnownFacts
from caterva2.browsing.index import Index
from caterva2.browsing.query import parse
from caterva2.browsing.search import Bounds, Found, search
from caterva2.model import Entry
from caterva2.names import DatasetPath

PATHS = [DatasetPath(f"d{n % 3}/x{n:04}") for n in range(3000)]
EVEN = parse(ndim="2")


class Root:
    """A root in which every second dataset has two axes; it may be slow, or tell nothing."""

    def __init__(self, seconds: float = 0.0, *, offline: bool = False) -> None:
        self.facts = KnownFacts()
        self.asked = 0
        self._seconds = seconds
        self._offline = offline
        self.is_described = False
        self.left: Sequence[DatasetPath] = ()

    async def index(self) -> Index:
        return Index.of([Entry(path, "array", "e", 1, 1.0) for path in PATHS])

    async def learn(self, paths: Sequence[DatasetPath]) -> int:
        self.asked += len(paths)
        await asyncio.sleep(self._seconds)
        for path in () if self._offline else paths:
            self.facts.put(path, Facts("<f4", (3,) * (1 + (PATHS.index(path) % 2))))
        return 0 if self._offline else len(paths)

    def describe_later(self, paths: Sequence[DatasetPath]) -> bool:
        self.left = paths
        return True


def run(root: Root, directory: str = "", described: int = 10_000, seconds: float = 60.0) -> Found:
    bounds = Bounds(time.monotonic() + seconds, described)
    found = asyncio.run(search(root, directory, EVEN, bounds))
    assert found is not None
    return found


def test_all_are_described_once() -> None:
    root = Root()
    assert (len(run(root).paths), run(root).unknown, root.asked) == (1500, 0, 3000)
    assert run(root).behind("d2/x2993") == ["d2/x2999"]
    assert len(run(root, "d0").paths) == 500


def test_the_rest_is_unknown_when_enough_are_described() -> None:
    root = Root()
    unknown = [run(root, described=1200).unknown for _ in range(4)]
    assert unknown == [1800, 600, 0, 0]


def test_the_rest_is_left_to_the_background() -> None:
    root = Root()
    found = run(root, described=1200)
    assert (found.named, found.unknown, found.describing) == (3000, 1800, True)
    assert len(root.left) == 1800
    root.is_described = True
    assert (run(root, described=1200).unknown, root.asked) == (1800, 1200)
    assert run(root, described=1800).unknown == 0  # few enough to wait for
    assert not run(root).describing


def test_the_rest_is_unknown_when_the_time_is_over() -> None:
    assert run(Root(seconds=30.0), seconds=0.05).unknown == 3000
    assert run(Root(), seconds=-1.0).unknown == 3000


def test_a_publisher_that_tells_nothing_is_asked_once() -> None:
    root = Root(offline=True)
    assert (run(root).unknown, root.asked) == (3000, 1024)


def test_a_directory_that_does_not_exist() -> None:
    bounds = Bounds(time.monotonic() + 60, 9)
    assert asyncio.run(search(Root(), "nope", EVEN, bounds)) is None
