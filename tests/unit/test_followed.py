"""A followed source: its catalog stays in step with it; one suite for every kind of source."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any, NoReturn

import pytest
from rootkinds import ARRAY, OTHER, TIME_LIMIT, Root

from caterva2.limits import DEFAULTS
from caterva2.names import DatasetPath
from caterva2.sources.base import ALL
from caterva2.sources.catalog import Step
from caterva2.sources.followed import FollowedSource
from caterva2.sources.memory import MemorySource

A, NEW = DatasetPath("a.b2nd"), DatasetPath("d/new.b2nd")


@contextlib.asynccontextmanager
async def following(followed: FollowedSource) -> AsyncIterator[list[Step]]:
    """The steps that listeners get while the source is followed."""
    steps: list[Step] = []
    await followed.scan()
    followed.listen(steps.extend)
    task = asyncio.create_task(followed.follow())
    try:
        yield steps
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool], nudge: Callable[[], object] | None = None) -> None:
    async with asyncio.timeout(TIME_LIMIT):
        while not condition():
            if nudge is not None:
                nudge()
            await asyncio.sleep(0.2 if nudge else 0.02)


def test_a_scan_makes_the_catalog(arrays: Root) -> None:
    async def run() -> None:
        followed = FollowedSource(arrays.source)
        assert (dict(followed.entries), followed.rev) == ({}, 0)
        steps = await followed.scan()
        assert followed.entries == arrays.source.scan()
        assert followed.rev == len(steps) == len(followed.entries)
        assert await followed.scan() == []

    asyncio.run(run())


def test_listeners_get_the_steps_of_each_scan_in_order(arrays: Root) -> None:
    async def run() -> None:
        followed, heard = FollowedSource(arrays.source), []
        await followed.scan()
        followed.listen(lambda steps: heard.append((steps, followed.rev)))
        arrays.put("a.b2nd", OTHER)
        arrays.delete("d/e/b.b2nd")
        await followed.scan()
        await followed.scan()  # no change, no call
        [(steps, rev)] = heard
        there = {step.path: step.entry is not None for step in steps}
        assert (there["a.b2nd"], there["d/e/b.b2nd"]) == (True, False)
        assert [step.rev for step in steps] == list(range(rev - len(steps) + 1, rev + 1))

    asyncio.run(run())


def test_steps_say_by_how_many_bytes_the_root_grew(arrays: Root) -> None:
    async def run() -> None:
        followed = FollowedSource(arrays.source)
        stored = sum(step.grown for step in await followed.scan())
        assert stored == sum(entry.size for entry in followed.entries.values())
        arrays.delete("a.b2nd")
        arrays.put("d/new.b2nd", ARRAY)
        arrays.put("d/e/b.b2nd", ARRAY)
        stored += sum(step.grown for step in await followed.scan())
        assert stored == sum(entry.size for entry in followed.entries.values())

    asyncio.run(run())


def test_a_change_of_the_source_is_found_by_itself(arrays: Root) -> None:
    async def run() -> None:
        followed = FollowedSource(arrays.source)
        async with following(followed) as steps:
            # Again and again, since the watch may not have begun yet.
            await until(lambda: NEW in followed.entries, lambda: arrays.put("d/new.b2nd", ARRAY))
            assert NEW in [step.path for step in steps]
            arrays.delete("d/new.b2nd")
            await until(lambda: NEW not in followed.entries)
            assert steps[-1].path == NEW or steps[-1].rev == followed.rev
        assert followed.entries == arrays.source.scan()

    asyncio.run(run())


class Silent(MemorySource):
    """Hints at nothing by itself, and counts its scans."""

    def __init__(self) -> None:
        super().__init__()
        self.scans: list[str] = []
        self.remembered = 0
        self.go = threading.Event()
        self.go.set()

    def changes(self, stop: threading.Event) -> Iterator[set[str]]:
        stop.wait()
        yield from ()

    def scan(self, scope: str = ALL) -> Any:
        self.scans.append(scope)
        self.go.wait(TIME_LIMIT)
        return super().scan(scope)

    def remember(self) -> None:
        self.remembered += 1


def test_a_hint_has_a_path_scanned() -> None:
    async def run() -> None:
        source = Silent()
        source.put("a.b2nd", ARRAY)
        followed = FollowedSource(source)
        async with following(followed) as steps:
            source.put("a.b2nd", OTHER)
            followed.hint(A)
            await until(lambda: bool(steps))
            assert [step.path for step in steps] == [A]
            assert source.scans == [ALL, A]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("path", "met", "scanned"),
    [("a.b2nd", "same", False), ("a.b2nd", "other", True), ("a.b2nd", "", True),
     ("x", "", False), ("x", "other", True)],
)  # fmt: skip
def test_a_version_that_was_met_is_a_hint_if_the_catalog_has_another(
    path: str, met: str, scanned: bool
) -> None:
    async def run() -> None:
        source = Silent()
        entry = source.put("a.b2nd", ARRAY)
        source.put("z", b"")
        followed = FollowedSource(source)
        async with following(followed):
            followed.hint(DatasetPath(path), entry.etag if met == "same" else met)
            followed.hint(DatasetPath("z"))
            await until(lambda: "z" in source.scans)
            assert (path in source.scans) == scanned

    asyncio.run(run())


def test_a_hint_before_it_is_followed_is_kept() -> None:
    async def run() -> None:
        source = Silent()
        followed = FollowedSource(source)
        followed.hint(A)
        async with following(followed):
            await until(lambda: A in source.scans)

    asyncio.run(run())


def test_scans_wait_for_whoever_changes_names() -> None:
    async def run() -> None:
        source = Silent()
        followed = FollowedSource(source)
        async with followed.changing:
            scan = asyncio.create_task(followed.scan())
            await asyncio.sleep(0.05)
            assert source.scans == []
            source.put("a.b2nd", ARRAY)
            assert [step.path for step in await followed.scan_held("a.b2nd")] == [A]
        assert await scan == []

    asyncio.run(run())


def test_a_scan_that_fails_changes_nothing_and_is_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def run() -> None:
        source = Silent()
        source.put("a.b2nd", ARRAY)
        followed = FollowedSource(source)
        await followed.scan()
        before, scan = dict(followed.entries), source.scan

        def broken(scope: str = ALL) -> NoReturn:
            raise FileNotFoundError("a link vanished")

        async with following(followed):
            source.scan = broken  # type: ignore[method-assign]
            with pytest.raises(FileNotFoundError):
                await followed.scan()
            assert (followed.entries, followed.rev) == (before, 1)
            followed.hint(A)
            await until(lambda: "a link vanished" in caplog.text)
            assert (followed.entries, followed.rev) == (before, 1)
            source.scan = scan  # type: ignore[method-assign]
            source.put("a.b2nd", OTHER)
            followed.hint(A)
            await until(lambda: followed.rev == 2)

    asyncio.run(run())


@pytest.mark.parametrize("error", [OSError("no watches left"), RuntimeError("b\\xE9"), KeyError(1)])
def test_a_watch_that_breaks_is_tried_again_and_all_is_scanned(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    class Unwatched(Silent):
        tries = 0

        def changes(self, stop: threading.Event) -> Iterator[set[str]]:
            self.tries += 1
            if self.tries < 4:
                raise error
            yield {"a.b2nd"}
            stop.wait()

    async def run() -> None:
        source = Unwatched()
        async with following(FollowedSource(source, replace(DEFAULTS.publisher, poll=0.3))):
            await until(lambda: source.tries >= 4 and source.scans.count(ALL) >= 2)

    asyncio.run(run())
    assert caplog.text.count("the watch broke") <= 1  # not at each try


@pytest.mark.parametrize(("interval", "saves"), [(0.0, 2), (300.0, 1)])
def test_what_took_long_is_saved_from_time_to_time(interval: float, saves: int) -> None:
    """After the first scan of everything, and then once in an interval."""

    async def run() -> None:
        source = Silent()
        followed = FollowedSource(source, replace(DEFAULTS.publisher, remember=interval))
        async with following(followed):
            followed.hint(A)
            await until(lambda: A in source.scans)
            assert source.remembered == 0
            for count in (2, 3):
                followed._watcher.hint(ALL)
                await until(lambda count=count: source.scans.count(ALL) == count)  # type: ignore[misc]
            await until(lambda: source.remembered == saves)

    asyncio.run(run())


def test_a_page_is_of_the_catalog(arrays: Root) -> None:
    async def run() -> None:
        followed = FollowedSource(arrays.source, replace(DEFAULTS.publisher, catalog_page=1))
        await followed.scan()
        page = followed.page(3, "i", -1, "")
        assert (page.id, page.inst, page.rev, page.full) == (3, "i", followed.rev, True)
        assert [entry.path for entry in page.entries] == [page.cursor] == ["a.b2nd"]

    asyncio.run(run())
