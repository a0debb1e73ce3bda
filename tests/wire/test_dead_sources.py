"""Readers where broker and publisher are gone, and a mirror or an upstream is left"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from keyedworld import CONTENT, FOO, World
from mirrorsites import mirrors_of, sites, value
from wiretools import ANY, until

from caterva2.broker.service import Broker, BrokerOptions
from caterva2.mirror.options import Patterns
from caterva2.model import RootInfo
from caterva2.names import RootName
from caterva2.subscriber.announcements import Joined, NullAnnouncements
from caterva2.web.answers import warning


@pytest.mark.slow
@pytest.mark.parametrize("first", ["broker", "publisher"])
def test_a_mirror_serves_misses_without_broker_and_publisher(
    tmp_path: Path, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As well as hits; the answers say that they may be old once the origin is away, not before."""
    monkeypatch.setattr("caterva2.subscriber.publishers.measuring.EVERY", 0.1)
    world = World(tmp_path, keyed=False)

    async def run() -> None:
        async with sites(world) as s:
            gone = {"broker": contextlib.AsyncExitStack(), "publisher": contextlib.AsyncExitStack()}
            options = BrokerOptions(ANY, ANY, ANY, world.directory / "bro", world.options())
            broker = await gone["broker"].enter_async_context(Broker.serving(options, world.limits))
            await gone["publisher"].enter_async_context(world.publisher(broker))
            mirrors = await s.mirror(broker, fills=Patterns.of(["*"], "mirror"))
            await until(lambda: FOO in mirrors.roots and mirrors.roots[FOO].complete)
            reader = await s.reader(broker)
            root = await reader.followed(FOO)
            await until(lambda: bool(mirrors_of(reader)))
            entry = next(iter(root.entries))
            dataset = await reader.dataset(FOO, entry)
            assert (dataset.cached_chunks, warning(offline=dataset.offline)) == (0, {})
            await gone.pop(first).aclose()
            await gone.popitem()[1].aclose()
            assert await value(reader) == CONTENT
            assert not root.offline
            await until(lambda: dataset.offline)
            assert root.way.path == (mirrors._provenance.name,)
            [status] = [one for one in reader.roots() if one.name == FOO]
            assert (status.offline, status.stale) == (False, True)

    asyncio.run(run())


class Announcing(NullAnnouncements):
    """Says what it is given."""

    def __init__(self, moved: object, noted: object) -> None:
        self.roots: dict[RootName, RootInfo] = {}
        self.connected = True
        self.moved, self.noted = moved, noted

    def says(self, *infos: RootInfo) -> None:
        self.roots = {one.root: one for one in infos}
        self.moved({FOO})  # type: ignore[operator]

    def hears(self, _: RootName) -> bool:
        return self.connected


def info(endpoint: str, fence: int = 1) -> RootInfo:
    return RootInfo(root=FOO, inst="i" * 16, fence=fence, endpoints=(endpoint,))


def test_a_root_without_broker_and_publisher_is_the_upstreams_until_the_broker_is_heard() -> None:
    moved: list[set[RootName]] = []
    joined = Joined(Announcing, Announcing, moved.append, lambda _: None)  # type: ignore[arg-type]
    broker, upstream = joined._broker, joined._upstream
    assert isinstance(broker, Announcing)
    assert isinstance(upstream, Announcing)
    near, far = info("tcp://10.0.0.1:1"), info("tcp://10.0.0.2:1", 7)
    broker.says(near)
    upstream.says(far)
    assert joined.roots == {FOO: near}
    joined.judged(FOO, offline=True)
    assert joined.roots == {FOO: near}, "the broker will say that it is gone"
    broker.connected = False
    broker.moved(set())  # type: ignore[operator]
    assert joined.roots == {FOO: far}
    assert joined.hears(FOO)
    joined.judged(FOO, offline=False)  # where it is now
    assert joined.roots == {FOO: far}
    broker.connected = True
    broker.moved(set())  # type: ignore[operator]
    assert joined.roots == {FOO: near}
    assert moved == [{FOO}] * 3
    broker.connected = False
    broker.moved(set())  # type: ignore[operator]
    assert joined.roots == {FOO: near}, "where it is now it was not judged yet"
    joined.judged(FOO, offline=True)
    assert joined.roots == {FOO: far}
    upstream.says()
    assert joined.roots == {FOO: near}
    joined.judged(FOO, offline=False)
    upstream.says(far)
    assert joined.roots == {FOO: near}
