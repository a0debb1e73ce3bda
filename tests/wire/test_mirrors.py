"""Subscribers that serve roots again: at another site, beside their origin, in chains and rings"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import blosc2
import pytest
import zmq
from dataserver import Collect
from keyedworld import CONTENT, FOO, MARKED, World, bound, content, is_up
from tapping import tapped
from wiretools import ANY, LIMIT, until

from caterva2.broker.service import Broker, BrokerOptions
from caterva2.errors import CatervaError, Loop
from caterva2.limits import constants
from caterva2.mirror.options import MirrorOptions, Patterns
from caterva2.mirror.service import Mirrors
from caterva2.names import DatasetPath
from caterva2.publisher.readers import RootReaders
from caterva2.publisher.service import Publisher
from caterva2.subscriber.options import SubscriberOptions
from caterva2.subscriber.service import Subscriber
from caterva2.wire import codec
from caterva2.wire import messages as m
from caterva2.wire.auth.curve import Curve, plain
from caterva2.wire.requester import Requester

OTHER = DatasetPath("later.txt")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, keyed=False)


class Sites:
    """Sites with a broker each; mirrors pass data from one to another."""

    def __init__(self, world: World, stack: contextlib.AsyncExitStack) -> None:
        self.world = world
        self.stack = stack
        self.brokers: list[Broker] = []
        self.subscribers: list[Subscriber] = []
        self.mirrors: list[Mirrors] = []

    async def broker(self) -> Broker:
        name = self.world.directory / f"bro{len(self.brokers) or ''}"
        options = BrokerOptions(ANY, ANY, ANY, name, self.world.options())
        serving = Broker.serving(options, self.world.limits)
        self.brokers.append(await self.stack.enter_async_context(serving))
        return self.brokers[-1]

    async def mirror(
        self, at: Broker, to: Broker | None = None, publish: str = "*", **given: Any
    ) -> Mirrors:
        """Add a subscriber of a broker that serves its roots again, at another one if given."""
        name = self.world.directory / f"sub{len(self.subscribers)}"
        options = SubscriberOptions(at.endpoint, name, keys=self.world.options())
        serving = Subscriber.serving(options, self.world.limits)
        self.subscribers.append(await self.stack.enter_async_context(serving))
        mirror = MirrorOptions(
            Patterns.of([publish], "publish"), to=to.endpoint if to else None,
            keys=self.world.options(), to_keys=self.world.options(), **given,
        )  # fmt: skip
        made = Mirrors.serving(self.subscribers[-1], mirror, options, self.world.limits)
        self.mirrors.append(await self.stack.enter_async_context(made))
        return self.mirrors[-1]

    async def reader(self, at: Broker, name: str = "reader") -> Subscriber:
        options = SubscriberOptions(
            at.endpoint, self.world.directory / name, keys=self.world.options()
        )
        serving = Subscriber.serving(options, self.world.limits)
        made = await self.stack.enter_async_context(serving)
        await until(lambda: is_up(made))
        return made


@contextlib.asynccontextmanager
async def sites(world: World) -> AsyncIterator[Sites]:
    async with contextlib.AsyncExitStack() as stack:
        yield Sites(world, stack)


@contextlib.asynccontextmanager
async def asking(
    mirrors: Mirrors, world: World | None = None, holder: str = ""
) -> AsyncIterator[Any]:
    """Ask the mirror of the root directly."""
    await until(lambda: FOO in mirrors.roots)
    protect = Curve(world.pair(holder)).call(mirrors._keys.links.own) if world else plain
    with zmq.Context() as context:
        asker: Requester[m.DataReply] = Requester(
            context, mirrors.roots[FOO].reached.endpoint, codec.data_replies, "the mirror",
            protect=protect,
        )  # fmt: skip
        try:
            yield lambda request: _answer(asker, request)
        finally:
            await asyncio.to_thread(asker.close)


async def _answer(asker: Requester[m.DataReply], request: m.Request) -> Any:
    if not isinstance(request, m.BytesRequest):
        return await asker.ask(request, LIMIT)
    call = Collect(request)
    asker.submit(call)
    await call.done
    return call.replies[0][0]


async def value(reader: Subscriber) -> bytes:
    return bytes(blosc2.decompress2(await content(reader)))


async def until_asked(ask: Any, true: Callable[[Any], bool]) -> None:
    async with asyncio.timeout(LIMIT):
        while not true(await ask(m.Hello())):  # noqa: ASYNC110 - the answers of a mirror
            await asyncio.sleep(0.05)


def mirrors_of(subscriber: Subscriber) -> list[str]:
    """Return the names of the mirrors of the root that a broker announces."""
    where = subscriber._announced.roots.get(FOO)
    return [one.mirror for one in where.mirrors] if where else []


def source(publisher: Publisher) -> Any:
    return publisher._followed.source


def test_a_chain_of_sites_serves_what_the_origin_has(world: World) -> None:
    """Values, etags and revisions of the origin at the third site; a change; the origin away."""

    async def run() -> None:
        async with sites(world) as s, contextlib.AsyncExitStack() as origin:
            brokers = [await s.broker() for _ in range(3)]
            publisher = await origin.enter_async_context(world.publisher(brokers[0]))
            first = await s.mirror(brokers[0], brokers[1])
            last = await s.mirror(brokers[1], brokers[2])
            reader = await s.reader(brokers[2])
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
                assert is_up(reader)
                assert await value(await s.reader(brokers[2], "another")) == CONTENT
                other = await s.reader(brokers[2], "third")
                with pytest.raises(CatervaError):
                    await (await other.dataset(FOO, OTHER)).chunk(0)
            async with world.publisher(brokers[0]) as publisher:
                await until(lambda: root.catalog.inst == publisher.lease.inst)

    asyncio.run(run())


def test_a_mirror_is_announced_beside_its_origin(world: World) -> None:
    """Also when the origin restarts, and when the broker does."""

    async def run() -> None:
        async with sites(world) as s, contextlib.AsyncExitStack() as origin:
            broker = await s.broker()
            await origin.enter_async_context(world.publisher(broker))
            mirrors = await s.mirror(broker)
            reader = s.subscribers[0]
            name = mirrors._provenance.name
            await until(lambda: mirrors_of(reader) == [name])
            await origin.aclose()
            await until(lambda: reader._announced.roots[FOO].away)
            (part,) = broker.registry.snapshot(1)
            assert [one.root for one in part.away] == [FOO]
            async with asking(mirrors) as ask:
                await until_asked(ask, lambda hello: hello.origin.away)
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

                def piece(path: DatasetPath, n: int = 0) -> m.BytesRequest:
                    start = n * constants.FILE_CHUNK
                    return m.BytesRequest(
                        path=path, etag=entries[path].etag, start=start, stop=start + 10,
                        deadline_ms=20_000,
                    )  # fmt: skip

                await ask(piece(MARKED))
                tap.alter = lambda _: b""
                missed = [asyncio.ensure_future(ask(piece(OTHER, n))) for n in range(4)]
                await until(lambda: len(mirrors.roots[FOO].requests.jobs) == 4)
                for _ in range(20):
                    assert (await ask(piece(MARKED))).type == "bytes"
                assert not any(one.done() for one in missed)
                for one in missed:
                    one.cancel()

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
            await until(lambda: refused._failed.get(FOO, "").endswith("has not the role mirror"))
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
