"""A root with mirrors: what fails or lies is replaced by the next, and no reader goes back"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mirrorworld import FENCE, INST, PATH, ROOT, World, world
from wiretools import LIMIT, until

from caterva2.cli.commands.status import _root as root_line
from caterva2.errors import Busy, CatervaError, Damaged, Loop, RootOffline, StaleVersion
from caterva2.limits import DEFAULTS
from caterva2.model import Entry, RootEvent, RootInfo, RootStatus
from caterva2.names import DatasetPath
from caterva2.runtime.metrics import MemoryMetrics, Metrics
from caterva2.runtime.monitoring.exposition import Scrapes
from caterva2.subscriber.monitoring import measured
from caterva2.subscriber.monitoring.status import problems
from caterva2.subscriber.monitoring.status import root as shown_root
from caterva2.subscriber.publishers.way import is_origin_away
from caterva2.wire import messages as m

SOON = 5.0
"""Seconds within which another provider is asked."""


def run(test: Callable[[World], Awaitable[None]], directory: Path, *names: str, **kwargs) -> None:  # type: ignore[no-untyped-def]
    async def main() -> None:
        async with asyncio.timeout(2 * LIMIT), world(directory, *names, **kwargs) as made:
            await test(made)

    asyncio.run(main())


def test_a_mirror_that_is_preferred_is_read_from(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.read(1, 2, 3)
        assert world.mirrors[1].chunks() == 1
        assert not world.publisher.chunks()
        assert not world.mirrors[0].chunks()

    run(test, tmp_path, "m1", "m2", prefer=["m2", "publisher"])


@pytest.mark.parametrize("how", ["closed", "silent"])
def test_a_read_goes_on_elsewhere_when_its_provider_dies(tmp_path: Path, how: str) -> None:
    async def test(world: World) -> None:
        await world.read(0)
        first = world.mirrors[0]
        assert first.chunks() == 1
        if how == "closed":
            first.close()
        first.silent = True
        began = time.monotonic()
        await world.read(*range(1, 40))
        assert time.monotonic() - began < SOON
        assert world.mirrors[1].chunks()
        assert not world.publisher.chunks()
        await until(lambda: world.root.providers.current == "m2")
        assert world.judged

    run(test, tmp_path, "m1", "m2", prefer=["m1", "m2", "publisher"])


def test_a_provider_that_is_back_is_used_again(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.read(0)
        world.mirrors[0].close()
        await until(lambda: world.root.providers.connections[1].suspect)
        await world.read(1)
        assert world.publisher.chunks() == 1
        world.mirrors[0].again()
        await until(lambda: world.root.providers.current == "m1")
        await world.read(2)
        assert world.mirrors[0].chunks() == 2

    run(test, tmp_path, "m1", prefer=["m1"])


def test_the_root_is_up_as_long_as_any_provider_is(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.publisher.close()
        world.announce(away=True)
        await world.read(0)
        assert not world.root.offline
        world.mirrors[0].close()
        await until(lambda: world.root.offline)
        with pytest.raises(RootOffline):
            await world.read(1)
        world.mirrors[0].again()
        await until(lambda: not world.root.offline)
        await world.read(1)

    run(test, tmp_path, "m1")


@pytest.mark.parametrize("error", [RootOffline("no"), Loop("a ring"), StaleVersion("older")])
def test_what_a_mirror_does_not_have_is_asked_of_the_next(
    tmp_path: Path, error: CatervaError
) -> None:
    async def test(world: World) -> None:
        world.mirrors[0].refuses = world.mirrors[1].refuses = error
        await world.read(*range(40))
        assert world.publisher.chunks()
        assert world.mirrors[0].chunks()
        assert world.root.providers.failures["m1", error.name]

    run(test, tmp_path, "m1", "m2", prefer=["m1", "m2"])


def test_what_no_provider_has_is_an_error(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.announce(away=True)
        for one in world.mirrors:
            one.refuses = RootOffline("not cached")
        began = time.monotonic()
        with pytest.raises(RootOffline, match=r"not cached|away"):
            await world.read(0)
        assert time.monotonic() - began < SOON
        assert all(one.chunks() == 1 for one in world.mirrors)

    run(test, tmp_path, "m1", "m2")


def test_flipped_bytes_are_fetched_elsewhere_and_their_sender_avoided(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(world: World) -> None:
        world.mirrors[0].flipped = True
        await world.read(*range(10))
        assert world.publisher.chunks()
        asked = world.mirrors[0].chunks()
        await world.read(20)
        assert world.mirrors[0].chunks() == asked
        assert world.root.providers.failures["m1", Damaged.name]
        assert "mirror m1 at 127.0.0.1" in caplog.text
        assert "is avoided for a while: chunk 0 of a.b2nd was damaged" in caplog.text

    run(test, tmp_path, "m1", prefer=["m1"])


@pytest.mark.parametrize("how", ["older revision", "other run", "lower fence"])
def test_an_older_catalog_is_refused_and_the_next_provider_asked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    async def test(world: World) -> None:
        rev = world.root.revision
        assert rev >= 0
        mirror = world.mirrors[0]
        mirror.behind = 1 if how == "older revision" else 0
        mirror.inst = "other" if how == "other run" else INST
        mirror.fence -= how == "lower fence"
        await world.root.sync()
        assert world.root.revision == rev
        assert "mirror m1" in caplog.text
        assert "older catalog" in caplog.text or "another run" in caplog.text
        assert world.publisher.asked.count("catalog?") == 1

    run(test, tmp_path, "m1", prefer=["m1"])


def test_a_catalog_that_drips_is_left_for_that_of_the_next_provider(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(world: World) -> None:
        world.mirrors[0].drips = 0.05
        world.rewrite(1)
        await world.root.sync()
        assert world.root.revision == world.ledger.rev
        assert world.publisher.asked.count("catalog?") == 1
        assert "did not arrive within CATALOG_TURN, 0.5 s" in caplog.text

    hasty = replace(DEFAULTS, subscriber=replace(DEFAULTS.subscriber, catalog_turn=0.5))
    run(test, tmp_path, "m1", prefer=["m1"], limits=hasty)


def test_a_mirror_in_place_of_a_publisher_takes_no_reader_back(tmp_path: Path) -> None:
    """Such as an upstream that was started anew while its own publisher is away."""

    async def test(world: World) -> None:
        world.rewrite(1)
        await world.root.sync()
        rev, mirror = world.root.revision, world.mirrors[0]
        mirror.behind = 1
        given = {"root": ROOT, "inst": INST, "fence": FENCE}
        place = {"endpoints": (mirror.router.endpoint,), "mirror": "m1"}
        world.root.move(RootInfo.model_validate({**given, **place}))
        beat = m.RootBeat.model_validate({**given, "rev": rev - 1})
        assert all(world.root.note(beat) for _ in range(4))
        with pytest.raises(CatervaError, match="older catalog"):
            await world.root.sync()
        assert world.root.revision == rev
        assert not world.root.note(beat.model_copy(update={"rev": 0}))
        assert world.root.way.path == ("m1",)

    run(test, tmp_path, "m1")


def test_a_description_of_another_version_than_the_catalog_has_is_refused(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        old = await world.root.infos.one(PATH)
        world.rewrite(1)
        await world.root.sync()
        assert world.root.entry(PATH).etag != old.etag  # type: ignore[union-attr]
        served = world.mirrors[0]._source
        served_info = served.info
        world.mirrors[0]._source = type("Old", (), {"info": lambda *_: old})()
        assert (await world.root.infos.one(PATH)).etag == served_info(PATH).etag

    run(test, tmp_path, "m1", prefer=["m1"])


def test_a_known_revision_is_not_changed_by_a_mirror(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(world: World) -> None:
        before = dict(world.root.entries)
        forged = Entry(DatasetPath("forged.b2nd"), "array", "e" * 16, 1, 0.0)
        world.mirrors[0].forged = (forged,)
        await world.root.sync()
        assert world.root.entries == before
        assert "which is known" in caplog.text

    run(test, tmp_path, "m1", prefer=["m1"])


def test_a_mirror_opens_no_restricted_root_to_everybody(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        mirror = world.mirrors[0]
        mirror.rights = world.publisher.rights = "r1"
        mirror.readers, world.publisher.readers = ("public",), ("a@b.example",)
        world.announce(rights="r1", away=True)
        world.rights.announced(world.root.name, "r1")
        await world.root.keep_up()
        assert not world.rights.readers(world.root.name)
        world.rights.announced(world.root.name, "r2")
        mirror.rights = world.publisher.rights = "r2"
        world.announce(rights="r2")
        await world.root.keep_up()
        assert world.rights.readers(world.root.name) == {"a@b.example"}

    run(test, tmp_path, "m1", prefer=["m1"])


def test_the_nearest_provider_is_found_by_its_round_trip(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await until(lambda: len(world.root.providers.hellos) == 3)
        trips = world.pool.trips
        for one in world.root.providers.choice.providers.values():
            trips.measured(one.place, 5.0, time.monotonic())
        near = world.root.providers.choice.providers["m2"].place
        for _ in range(50):
            trips.measured(near, 0.0001, time.monotonic())

        def settled() -> bool:
            world.root.providers.choice._settled = -60.0
            return world.root.providers.current == "m2"

        await until(settled)
        await world.read(0)
        assert world.mirrors[1].chunks() == 1

    run(test, tmp_path, "m1", "m2")


def test_the_way_of_a_root_tells_its_mirrors_and_as_of_when_without_its_publisher(
    tmp_path: Path,
) -> None:
    async def test(world: World) -> None:
        assert world.root.way.path == ("m1",)
        assert world.root.way.origin == "up"
        assert not is_origin_away(world.root.providers)
        world.mirrors[0].away = True
        world.announce(away=True)
        began = time.time()
        await world.root.sync()
        now = world.root.way
        assert (now.origin, now.via) == ("away", world.mirrors[0].info().endpoint[6:])
        assert is_origin_away(world.root.providers)
        assert now.as_of is not None
        assert began - 60 < now.as_of <= time.time()
        metrics = MemoryMetrics()
        measured.report_root(metrics, world.root)
        text = Scrapes(metrics)
        shown = await text.text(_nothing)
        assert 'caterva2_root_origin_up{root="foo"} 0' in shown
        assert 'caterva2_provider_used{provider="m1",root="foo"} 1' in shown
        status = RootStatus(world.root.name, "", subscribed=True, offline=False, way=now)
        found = shown_root(status, world.root)
        [problem] = problems({"state": "up", "silent": 0.1}, [found], [], lambda _: True)
        assert problem["problem"] == "origin-away"
        assert [one["state"] for one in found["providers"]] == ["used"]
        assert RootEvent.of(status) == RootEvent(world.root.name, "up", "", "away", 1)
        assert f"by m1 at {now.via}, its publisher is away, as of 20" in root_line(dict(found))

    run(test, tmp_path, "m1", prefer=["m1"])


def test_other_mirrors_of_a_root_are_no_news(tmp_path: Path) -> None:
    """Nor their load: otherwise all readers would ask for the catalog again."""

    async def test(world: World) -> None:
        await world.read(0)
        where = world.root.where
        assert where is not None
        used, other = (one.info() for one in world.mirrors)
        busy = other.model_copy(update={"load": 50})
        assert not world.root.move(where.model_copy(update={"mirrors": (used, busy)}))
        assert not world.root.move(where.model_copy(update={"mirrors": (used,)}))
        assert world.root.move(where.model_copy(update={"mirrors": (used,), "away": True}))
        assert world.root.move(where.model_copy(update={"mirrors": (busy,)}))

    run(test, tmp_path, "m1", "m2", prefer=["m1"])


def test_a_root_that_is_not_read_has_no_round_trips_measured(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        providers = world.root.providers
        await until(lambda: not providers._measuring._tasks)
        asked = len(world.mirrors[0].asked)
        world.pool.trips._of.clear()
        providers._used = -1e9
        providers.settle()
        assert not providers._measuring._tasks
        await world.read(0)
        providers.settle()
        assert providers._measuring._tasks
        await until(lambda: len(world.mirrors[0].asked) > asked + 1)

    run(test, tmp_path, "m1", prefer=["publisher"])


def test_a_catalog_of_several_revisions_is_not_passed_on(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.root.catalog._copy.even = False
        with pytest.raises(Busy):
            await world.root.catalog.page(m.CatalogRequest())
        world.root.catalog._copy.even = True
        assert (await world.root.catalog.page(m.CatalogRequest())).entries

    run(test, tmp_path)


async def _nothing(_: Metrics) -> None:
    """Report no more than what is there."""
