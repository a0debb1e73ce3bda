"""A prefetch bears what goes wrong for a while, and lets go of everything at its end."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from caterva2.errors import CacheFull, CatervaError, RootOffline, SourceCorrupt
from caterva2.limits import DEFAULTS
from caterva2.model import PrefetchStatus
from caterva2.names import DatasetPath, RootName
from caterva2.subscriber.prefetch import Prefetcher
from caterva2.subscriber.prefetch_job import LONGEST_PAUSE, Backoff

FOO = RootName("foo")
NO_ENTRY: Any = None


class Dataset:
    """A dataset that is fetched when `fetch` returns."""

    def __init__(self, fetch: Callable[[], Awaitable[None]], cbytes: int) -> None:
        self.info = SimpleNamespace(nchunks=3, cbytes=cbytes)
        self.cached_chunks = 3
        self.fill = fetch


async def soon(look: Callable[[], bool]) -> None:
    """Let others work until something is true."""
    until = time.monotonic() + 10
    while not look():
        assert time.monotonic() < until
        await asyncio.sleep(0.001)


class World:
    """A prefetcher, and the datasets that it opened."""

    def __init__(self, fetch: Callable[[], Awaitable[None]]) -> None:
        self.opened: list[weakref.ref[Dataset]] = []
        self.unreadable: dict[str, CatervaError] = {}
        self.described: list[DatasetPath] = []
        self.cbytes = 100
        self._fetch = fetch
        self.prefetcher = Prefetcher(self._open, self._describe)  # type: ignore[arg-type]

    async def _describe(self, root: RootName, paths: Sequence[DatasetPath]) -> None:
        self.described += paths
        raise RootOffline("it went away")

    async def _open(self, root: RootName, path: DatasetPath) -> Dataset:
        if path in self.unreadable:
            raise self.unreadable[path]
        made = Dataset(self._fetch, self.cbytes)
        self.opened.append(weakref.ref(made))
        return made

    async def start(self, paths: list[str]) -> PrefetchStatus:
        return await self.prefetcher.start(FOO, "", {DatasetPath(path): NO_ENTRY for path in paths})

    async def until(self, *states: str) -> PrefetchStatus:
        await soon(lambda: self.prefetcher.status(FOO).state in states)
        return self.prefetcher.status(FOO)

    def held(self) -> int:
        """Datasets that something still refers to."""
        return sum(ref() is not None for ref in self.opened)


async def at_once() -> None:
    """A fetch that takes no time."""


async def never() -> None:
    """A fetch that does not end."""
    await asyncio.Event().wait()


def run(work: Callable[[World], Awaitable[None]], fetch: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        world = World(fetch)
        task = asyncio.create_task(world.prefetcher.run())
        try:
            await work(world)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


def test_ended_prefetch_lets_go_of_its_datasets_and_still_tells_its_figures() -> None:
    async def work(world: World) -> None:
        await world.start(["b", "a"])
        status = await world.until("done")
        assert (status.datasets, status.done, status.nchunks, status.cached) == (2, 2, 6, 6)
        assert (len(world.opened), world.held()) == (2, 0)
        assert world.prefetcher._jobs[FOO].paths == []

    run(work, at_once)


def test_cancelled_prefetch_lets_go_of_its_datasets() -> None:
    async def work(world: World) -> None:
        await world.start(["a"])
        await world.until("running")
        await asyncio.sleep(0)
        assert world.prefetcher.cancel(FOO).state == "cancelled"
        await soon(lambda: not world.held())
        assert world.prefetcher._jobs[FOO].paths == []
        assert world.prefetcher.status(FOO).datasets == 1

    run(work, never)


def test_unreadable_datasets_are_named_up_to_a_limit_and_the_rest_is_fetched() -> None:
    bad = [f"bad{n:02}" for n in range(DEFAULTS.subscriber.prefetch_failures + 5)]

    async def work(world: World) -> None:
        world.unreadable = {name: SourceCorrupt("it is torn", subject=name) for name in bad}
        await world.start([*bad, "good"])
        status = await world.until("done", "failed")
        assert (status.state, status.done, status.failed) == ("done", 1, len(bad))
        assert status.failures == tuple(bad[: DEFAULTS.subscriber.prefetch_failures])
        assert status.error == f"foo/{bad[-1]}: it is torn"

    run(work, at_once)


def test_prefetch_of_which_nothing_could_be_had_has_failed() -> None:
    async def work(world: World) -> None:
        world.unreadable = {"a": SourceCorrupt("it is torn", subject="foo/a")}
        await world.start(["a"])
        status = await world.until("done", "failed")
        assert (status.state, status.error) == ("failed", "foo/a: it is torn")

    run(work, at_once)


def test_small_datasets_are_fetched_at_once_and_large_ones_one_by_one() -> None:
    names = [f"{n:03}" for n in range(2 * DEFAULTS.subscriber.prefetch_at_once)]

    async def work(world: World) -> None:
        await world.start(names)
        await soon(lambda: fetching == DEFAULTS.subscriber.prefetch_at_once)
        await asyncio.sleep(0.01)
        assert (fetching, len(world.opened)) == (DEFAULTS.subscriber.prefetch_at_once,) * 2
        assert world.prefetcher.status(FOO).nchunks == 3 * DEFAULTS.subscriber.prefetch_at_once
        assert world.described == names

    async def work_of_large_ones(world: World) -> None:
        world.cbytes = 2 * DEFAULTS.subscriber.prefetch_at_once_bytes
        await world.start(names)
        await soon(lambda: len(world.opened) == DEFAULTS.subscriber.prefetch_at_once)
        await asyncio.sleep(0.01)
        assert fetching == 1

    async def counted() -> None:
        nonlocal fetching
        fetching += 1
        await asyncio.Event().wait()

    for each in (work, work_of_large_ones):
        fetching = 0
        run(each, counted)


def test_what_goes_wrong_with_the_cache_ends_a_prefetch() -> None:
    async def full() -> None:
        raise CacheFull("foo/a does not fit into the cache")

    async def work(world: World) -> None:
        await world.start(["a", "b", "c"])
        status = await world.until("done", "failed")
        assert (status.state, status.done) == ("failed", 0)
        assert status.error.endswith("foo/a does not fit into the cache")

    run(work, full)


def test_time_without_progress_counts_from_the_first_failure_and_again_after_progress() -> None:
    backoff = Backoff(600.0)
    late = 100 * 600.0  # a long healthy download before anything went wrong
    assert backoff.pause(10, late) is not None
    assert backoff.pause(10, late + 600.0 - 1) is not None
    assert backoff.pause(11, late + 600.0 + 1) is not None
    assert backoff.pause(11, late + 2 * 600.0) is not None
    assert backoff.pause(11, late + 2 * 600.0 + 2) is None


def test_pauses_grow_up_to_the_longest_and_start_small_after_progress() -> None:
    backoff = Backoff(600.0)
    pauses = [backoff.pause(0, 0.0) for _ in range(10)]
    assert pauses == sorted(pauses, key=lambda pause: pause or 0.0)
    assert pauses[-1] == LONGEST_PAUSE
    assert backoff.pause(1, 1.0) == pauses[0]


@pytest.mark.parametrize("below", ["", "d"])
def test_datasets_are_fetched_in_order(below: str) -> None:
    async def work(world: World) -> None:
        entries = {DatasetPath(path): NO_ENTRY for path in ("d/b", "d/a", "d/c")}
        assert (await world.prefetcher.start(FOO, below, entries)).datasets == 3
        assert world.prefetcher._jobs[f"foo/{below}" if below else "foo"].paths == [
            "d/a", "d/b", "d/c"
        ]  # fmt: skip

    run(work, never)
