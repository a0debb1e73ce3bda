"""Every implementation of `Reader` keeps the promises of its six contracts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import samples

from caterva2.access.views import UserViews
from caterva2.accounts.policy import Policy
from caterva2.arrays import selection
from caterva2.errors import LoginNeeded, NotFound, RootOffline
from caterva2.model import ChangeEvent, Expression, Upload, User
from caterva2.names import PUBLIC, DatasetPath, Place, RootName
from caterva2.runtime.events import Listeners
from caterva2.runtime.metrics import MemoryMetrics
from caterva2.special.roots import SPACES, SpecialRoots
from caterva2.subscriber.options import SubscriberOptions
from caterva2.subscriber.service import Subscriber
from caterva2.web.reader import Editor, Reader, Readers

ANN = User("1", "ann@example.com", False)
VALUES = np.arange(60).reshape(6, 10)
FRAME = samples.array_frame(VALUES, chunks=(4, 10), blocks=(2, 5))
PATHS = [DatasetPath(path) for path in ("a.b2nd", "d/b.b2nd", "d/c.b2nd", "readme.md")]
UNKNOWN, OTHER = RootName("nope"), DatasetPath("nope.b2nd")
Work = Callable[[Reader], Coroutine[Any, Any, None]]
KINDS: dict[str, tuple[Policy | None, User | None]] = {
    "user": (Policy(), ANN),
    "no session": (Policy(), None),
    "no accounts": (None, None),
}


@contextlib.asynccontextmanager
async def opened(
    directory: Path, policy: Policy | None
) -> AsyncIterator[tuple[Readers, Listeners]]:
    """Open a subscriber without a broker, with some files in ``@public``."""
    for path in PATHS:
        file = directory / SPACES / "public" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"# Read me" if path.endswith(".md") else FRAME)
    spaces = directory / SPACES
    async with Subscriber.serving(SubscriberOptions(None, directory)) as subscriber:
        roots = SpecialRoots(spaces, 0, subscriber.pool, subscriber.listeners, subscriber.reserve)
        async with roots as special:
            yield UserViews(subscriber, special, policy), subscriber.listeners


class Run:
    """Runs tests with a reader of one kind."""

    def __init__(self, kind: str, directory: Path) -> None:
        self.policy, self.user = KINDS[kind]
        self._directory = directory

    def __call__(self, work: Work) -> None:
        async def main() -> None:
            async with opened(self._directory, self.policy) as (readers, self._listeners):
                await work(readers.for_user(self.user))

        asyncio.run(main())

    def announce(self, event: ChangeEvent) -> None:
        self._listeners.changes(event.root, [event], 1)


@pytest.fixture(params=KINDS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    return Run(request.param, tmp_path / "state")


def test_unknown_names_are_refused(run: Run) -> None:
    async def work(reader: Reader) -> None:
        refused = (NotFound, RootOffline)
        calls: list[Callable[[], Coroutine[Any, Any, object]]] = [
            lambda: reader.entries(UNKNOWN),
            lambda: reader.members(UNKNOWN, "", "", 9),
            lambda: reader.group(UNKNOWN, ""),
            lambda: reader.dataset(UNKNOWN, OTHER),
            lambda: reader.dataset(PUBLIC, OTHER),
            lambda: reader.subscribe(UNKNOWN),
            lambda: reader.prefetch(UNKNOWN, ""),
        ]
        for call in calls:
            with pytest.raises(refused):
                await call()
        with pytest.raises(NotFound):
            reader.prefetching(UNKNOWN, "")

    run(work)


def test_catalogue_lists_and_describes(run: Run) -> None:
    async def work(reader: Reader) -> None:
        assert PUBLIC in {root.name for root in reader.roots()}
        await reader.subscribe(PUBLIC)
        assert sorted(await reader.entries(PUBLIC)) == PATHS
        first = list(await reader.members(PUBLIC, "", "", 3))
        rest = list(await reader.members(PUBLIC, "", first[-1], 3))
        assert (first, rest) == (PATHS[:3], PATHS[3:])
        assert list(await reader.members(PUBLIC, "d", "", 9)) == PATHS[1:3]

    run(work)


def test_data_is_read_from_one_version(run: Run) -> None:
    async def work(reader: Reader) -> None:
        dataset = await reader.dataset(PUBLIC, PATHS[0])
        part = selection.parse("1:3, 2", dataset.info.shape)
        await dataset.ready(part)
        values = await dataset.values(part)
        assert values.tolist() == VALUES[1:3, 2].tolist()
        at_once = dataset.try_values(part)
        assert at_once is None or at_once.tolist() == values.tolist()
        raw = await dataset.chunk(1)
        assert [bytes(chunk) for chunk in await dataset.chunks(np.array([1]))] == [raw]
        with pytest.raises(NotFound):
            await dataset.chunk(2)
        assert not dataset.offline

    run(work)


def test_listener_gets_the_events_after_its_begin(run: Run) -> None:
    events = [ChangeEvent(PUBLIC, path, "put", "v") for path in PATHS[:3]]

    async def work(reader: Reader) -> None:
        run.announce(events[0])
        listener = reader.listen(PUBLIC)
        run.announce(events[1])
        assert await listener.next() == events[1]
        listener.close()
        listener.close()
        run.announce(events[2])

    run(work)


def test_prefetch_of_local_data_is_done(run: Run) -> None:
    async def work(reader: Reader) -> None:
        assert (await reader.prefetch(PUBLIC, "d")).state == "done"
        assert reader.prefetching(PUBLIC, "d").done == 2

    run(work)


def test_monitoring_raises_nothing(run: Run) -> None:
    async def work(reader: Reader) -> None:
        assert not reader.health().broker
        metrics = MemoryMetrics()
        await reader.report(metrics)
        ours = ("caterva2_", "process_")
        assert all(family.name.startswith(ours) for family in metrics.families())
        assert await reader.unready() == ""
        assert (await reader.status())["broker"] == {"state": "none", "silent": None}
        reader.answered(RootOffline("away"))
        expected = contextlib.nullcontext() if run.policy is None else pytest.raises(LoginNeeded)
        with expected:
            reader.check_watching()

    run(work)


async def _pieces() -> AsyncIterator[bytes]:
    yield FRAME


def _changes(editor: Editor) -> list[Coroutine[Any, Any, object]]:
    """Return each change once, in an order in which all of them work."""
    new, moved = Place.parse("@public/new.b2nd"), Place.parse("@public/moved.b2nd")
    computed = Place.parse("@public/computed.b2nd")
    expression = Expression("a + 1", {"a": "@public/a.b2nd"})
    return [
        editor.upload(new, Upload("new.b2nd", _pieces())),
        editor.append(new, Upload("more.b2nd", _pieces())),
        editor.move(new, moved),
        editor.copy(moved, new),
        editor.lazyexpr(computed, expression, compute=False),
        editor.remove(moved),
    ]


def test_changes_need_a_user(run: Run) -> None:
    async def work(reader: Reader) -> None:
        answers = [await _outcome(change) for change in _changes(reader)]
        if run.user is not None:
            reader.check_writing("Uploading")
            assert answers == [
                "@public/new.b2nd", [12, 10], "@public/moved.b2nd", "@public/new.b2nd",
                "@public/computed.b2nd", "@public/moved.b2nd",
            ]  # fmt: skip
        else:
            assert answers == [LoginNeeded] * 6
            with pytest.raises(LoginNeeded):
                reader.check_writing("Uploading")
            assert sorted(await reader.entries(PUBLIC)) == PATHS

    run(work)


async def _outcome(change: Coroutine[Any, Any, object]) -> object:
    try:
        return await change
    except LoginNeeded as error:
        return type(error)
