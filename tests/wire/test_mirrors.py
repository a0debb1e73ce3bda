"""Subscribers that serve roots again: at another site, beside their origin, in chains and rings"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from keyedworld import CONTENT, FOO, MARKED, World, bound, is_up
from mirrorsites import (
    OTHER,
    asking,
    mirrors_of,
    piece,
    sites,
    source,
    until_asked,
    until_true,
    value,
)
from tapping import tapped
from wiretools import ANY, LIMIT, until

from caterva2.broker.service import Broker, BrokerOptions
from caterva2.errors import CatervaError, Loop, RootOffline
from caterva2.mirror.options import Patterns
from caterva2.publisher.readers import RootReaders
from caterva2.subscriber.trust.options import TrustOptions
from caterva2.wire import messages as m


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, keyed=False)


def test_a_chain_of_sites_serves_what_the_origin_has(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values, etags and revisions of the origin at the third site; a change; the origin away."""
    monkeypatch.setattr("caterva2.subscriber.publishers.measuring.EVERY", 0.1)

    async def run() -> None:
        async with sites(world) as s, contextlib.AsyncExitStack() as origin:
            brokers = [await s.broker() for _ in range(3)]
            publisher = await origin.enter_async_context(world.publisher(brokers[0]))
            first = await s.mirror(brokers[0], brokers[1])
            last = await s.mirror(brokers[1], brokers[2])
            key = frozenset({publisher._signers[0].key})
            trust = TrustOptions(keys={FOO: key})  # so a change counts once its signature is here
            reader = await s.reader(brokers[2], trust=trust)
            assert await value(reader) == CONTENT
            etag = publisher._followed.entries[MARKED].etag
            assert (await reader.entries(FOO))[MARKED].etag == etag
            assert publisher._requests.served.chunks + publisher._requests.served.bytes > 0
            sent = publisher._requests.served.bytes
            async with asking(last) as ask:
                hello = await ask(m.Hello())
                name = [one._provenance.name for one in (first, last)]
                assert list(hello.origin.path) == name
                assert (hello.inst, hello.origin.fence) == (publisher.lease.inst, 1)
                with pytest.raises(Loop):
                    await ask(m.Hello(mirror=name[0]))
                source(publisher).put(OTHER, b"new")
                await publisher._followed.scan()
                root = await reader.followed(FOO)
                await until(lambda: OTHER in root.entries)
                assert root.revision == publisher._followed.rev
                assert publisher._requests.served.bytes == sent
                await origin.aclose()
                await until(lambda: s.subscribers[0]._roots[FOO].offline)
                assert not hello.origin.away
                await until_asked(ask, lambda hello: hello.origin.away)
                await until(lambda: root.way.origin == "away")
                assert is_up(reader)
                assert await value(await s.reader(brokers[2], "another", trust=trust)) == CONTENT
                other = await s.reader(brokers[2], "third")
                with pytest.raises(CatervaError):
                    await (await other.dataset(FOO, OTHER)).chunk(0)
            async with world.publisher(brokers[0]) as publisher:
                inst = publisher.lease.inst
                await until(lambda: root.catalog.inst == inst)
                await until(lambda: reader._announced.roots[FOO].inst == inst)

    asyncio.run(run())


def test_a_mirror_is_announced_beside_its_origin(world: World) -> None:
    """Also when the origin restarts, and when the broker does."""

    async def run() -> None:
        async with sites(world) as s, contextlib.AsyncExitStack() as origin:
            broker = await s.broker()
            await origin.enter_async_context(world.publisher(broker))
            mirrors = await s.mirror(broker, publish="foo/part/*")
            reader = s.subscribers[0]
            name = mirrors._provenance.name
            await until(lambda: mirrors_of(reader) == [name])
            await origin.aclose()
            await until(lambda: reader._announced.roots[FOO].away)
            (part,) = broker.registry.snapshot(1)
            assert [one.root for one in part.away] == [FOO]
            async with asking(mirrors) as ask:
                await until_asked(ask, lambda hello: hello.origin.away)
                with pytest.raises(RootOffline, match="does not serve it"):
                    await ask(piece((await reader.entries(FOO))[MARKED]))
            async with world.publisher(broker) as publisher:
                roots = reader._announced.roots
                await until(lambda: roots[FOO].inst == publisher.lease.inst and not roots[FOO].away)
                await until(lambda: mirrors_of(reader) == [name])
                assert (roots[FOO].fence, reader._roots[FOO].offline) == (2, False)

    asyncio.run(run())


def test_hits_do_not_wait_for_misses(world: World) -> None:
    world.contents[OTHER] = b"x" * 5_000_000

    async def run() -> None:
        async with sites(world) as s, tapped() as tap:
            broker = await s.broker()
            publisher = await s.stack.enter_async_context(world.publisher(broker, tap=tap))
            tap.target = bound(publisher)
            mirrors = await s.mirror(broker)
            async with asking(mirrors) as ask:
                entries = await s.subscribers[0].entries(FOO)
                for path in (MARKED, OTHER):
                    await ask(m.InfoRequest(path=path))

                await ask(piece(entries[MARKED]))
                tap.alter = lambda _: b""
                missed = [asyncio.ensure_future(ask(piece(entries[OTHER], n))) for n in range(4)]
                await until(lambda: len(mirrors.roots[FOO].requests.jobs) == 4)
                for _ in range(20):
                    assert (await ask(piece(entries[MARKED]))).type == "bytes"
                assert not any(one.done() for one in missed)
                for one in missed:
                    one.cancel()

    asyncio.run(run())


def test_a_second_mirror_at_another_site_stands_by_and_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caterva2.mirror.registration.RETRY", 0.05)
    monkeypatch.setattr("caterva2.publisher.lease.RENEWAL_CHECK", 0.05)

    async def run() -> None:
        async with sites(world) as s, world.publisher(await s.broker()):
            here, there = s.brokers[0], await s.broker()
            async with contextlib.AsyncExitStack() as stack:
                leaving = type(s)(world, stack)
                leaving.subscribers = [*s.subscribers]
                first = await leaving.mirror(here, there)
                reader = await s.reader(there)
                s.subscribers = [*leaving.subscribers]
                second = await s.mirror(here, there)
                name = second._provenance.name
                await until(lambda: mirrors_of(reader) == [name])
                async with asking(second) as ask:
                    where = reader._announced.roots[FOO]
                    assert where.mirror == first._provenance.name
                    assert (await ask(m.Hello())).fence == where.fence
                assert await value(reader) == CONTENT
            await until(lambda: reader._announced.roots[FOO].mirror == name)
            assert mirrors_of(reader) == []
            assert await value(await s.reader(there, "another")) == CONTENT

    asyncio.run(run())


def test_a_ring_ends_at_the_first_that_comes_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The publisher goes, and a mirror far from it takes its place at its own broker."""

    async def run() -> None:
        async with sites(world) as s, contextlib.AsyncExitStack() as origin:
            near, far = [await s.broker() for _ in range(2)]
            await origin.enter_async_context(world.publisher(near))
            first = await s.mirror(near, far)
            await until(lambda: FOO in first.roots)
            await s.mirror(far, near)
            await value(s.subscribers[0])
            await until(lambda: is_up(s.subscribers[1]))
            await origin.aclose()
            there = s.subscribers[0]._announced.roots
            await until(lambda: FOO in there and bool(there[FOO].mirror))
            await until(lambda: first.roots[FOO].away)
            assert await value(await s.reader(far)) == CONTENT
        assert "would come back to mirror" in caplog.text

    asyncio.run(run())


def test_a_restricted_root_goes_to_those_only_that_may_read_it(tmp_path: Path) -> None:
    world = World(tmp_path, keyed=True)
    world.readers["pub"] = RootReaders(frozenset({"ann@x.org", "key:near"}))
    for name, role in (("pub", "publish"), ("sub0", "mirror"), ("sub1", "read"), ("near", "read")):
        world.allow(name, role)

    async def run() -> None:
        async with sites(world) as s:
            broker = await s.broker()
            await s.stack.enter_async_context(world.publisher(broker))
            mirrors = await s.mirror(broker)
            refused = await s.mirror(broker)
            await until(lambda: mirrors_of(s.subscribers[0]) == [mirrors._provenance.name])
            await until(lambda: FOO in refused.roots)
            assert refused.roots[FOO].unready.endswith("to keys of the role mirror")
            assert await value(s.subscribers[1]) == CONTENT
            assert mirrors_of(s.subscribers[1]) == [mirrors._provenance.name]
            for holder, readers in (("near", ("public",)), ("sub1", ("ann@x.org",))):
                async with asking(mirrors, world, holder) as ask:
                    hello = await ask(m.Hello())
                    assert hello.readers == readers
                    path = m.InfoRequest(path=MARKED, rights=hello.rights)
                    assert (await ask(path)).path == MARKED
                    for rights in (None, "other"):
                        with pytest.raises(CatervaError):
                            await ask(m.InfoRequest(path=MARKED, rights=rights))

    asyncio.run(run())


def test_a_reader_that_is_revoked_is_ended_at_mirrors_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path, keyed=True)
    for name, role in (("pub", "publish"), ("sub0", "mirror"), ("reader", "read")):
        world.allow(name, role)
    key = world.pair("reader").public

    async def run() -> None:
        async with sites(world) as s:
            broker = await s.broker()
            await s.stack.enter_async_context(world.publisher(broker))
            mirrors = await s.mirror(broker)
            async with asking(mirrors, world, "reader") as ask:
                assert (await ask(m.Hello())).root == FOO
                world.revoke("reader")
                ended = f"ended a connection to the data/foo socket: key {key} is revoked"
                await until(lambda: ended in caplog.text)
                refused = f"at the data/foo socket: key {key} is not on the list"
                await until(lambda: refused in caplog.text)

    asyncio.run(run())


def test_a_root_is_hidden_behind_a_mirror_that_may_not_know_its_readers(tmp_path: Path) -> None:
    """What was read before, when everybody might, is cached there."""
    world = World(tmp_path, keyed=True)
    for name, role in (("pub", "publish"), ("sub0", "both"), ("reader", "read")):
        world.allow(name, role)
    world.pair("bro")
    shutil.copytree(tmp_path / "bro", tmp_path / "bro1")  # both brokers have one key

    async def run() -> None:
        async with sites(world) as s:
            near, far = [await s.broker() for _ in range(2)]
            await s.stack.enter_async_context(world.publisher(near))
            await s.mirror(near, far)
            reader = await s.reader(far)
            assert await value(reader) == CONTENT
            assert reader.rights.readers(FOO) == {"public"}
            world.readers["pub"].replace(frozenset({"ann@x.org"}))
            await until(lambda: not reader.rights.readers(FOO))

    asyncio.run(run())


def test_a_mirror_knows_after_a_restart_where_its_data_is_from(world: World) -> None:
    async def run() -> None:
        async with sites(world) as s, contextlib.AsyncExitStack() as first:
            near, far = [await s.broker() for _ in range(2)]
            async with world.publisher(near) as publisher:
                former = s.stack
                s.stack = first
                mirrors = await s.mirror(near, far)
                async with asking(mirrors) as ask:
                    hello = await ask(m.Hello())
                await value(s.subscribers[0])
                inst = publisher.lease.inst
            await first.aclose()
            s.stack = former
            s.subscribers.clear()
            mirrors = await s.mirror(near, far)
            async with asking(mirrors) as ask:
                await until_asked(ask, lambda hello: hello.origin.away)
                again = await ask(m.Hello())
            assert (again.inst, again.origin.path) == (inst, hello.origin.path)
            assert again.origin.as_of == pytest.approx(hello.origin.as_of, abs=LIMIT)
            assert await value(await s.reader(far)) == CONTENT

    asyncio.run(run())


def test_what_is_fetched_ahead_is_served_when_the_origin_is_gone(world: World) -> None:
    """Each version of it, also by a broker that restarts; nothing of it is evicted then."""

    async def run() -> None:
        async with sites(world) as s, contextlib.AsyncExitStack() as origin:
            near = await s.broker()
            options = BrokerOptions(ANY, ANY, ANY, world.directory / "far", world.options())
            publisher = await origin.enter_async_context(world.publisher(near))
            async with Broker.serving(options, world.limits) as far:
                every = Patterns.of(["*"], "mirror")
                mirrors = await s.mirror(near, far, fills=every, follow=True)
                await until(lambda: FOO in mirrors.roots and mirrors.roots[FOO].complete)
                source(publisher).put(MARKED, CONTENT[::-1])
                await publisher._followed.scan()
                sub = s.subscribers[0]
                now = publisher._followed.entries[MARKED].etag
                await until(lambda: sub._roots[FOO].entries[MARKED].etag == now)
                await until_true(lambda: sub.dataset(FOO, MARKED), lambda one: one.cached_chunks)
                await origin.aclose()
                await until(lambda: bool(sub.store.quota.kept))
                at = far.endpoint
            options = replace(options, endpoint=at)
            async with Broker.serving(options, world.limits) as far:
                reader = await s.reader(far)
                assert await value(reader) == CONTENT[::-1]
                assert (await reader.entries(FOO))[MARKED].etag == now

    asyncio.run(run())
