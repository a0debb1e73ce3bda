"""Subscribers that serve roots again: at another site, beside their origin, in chains and rings"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import blosc2
import pytest
import zmq
from keyedworld import CONTENT, FOO, MARKED, World, content, is_up
from wiretools import ANY, LIMIT, until

from caterva2.broker.service import Broker, BrokerOptions
from caterva2.errors import CatervaError, Loop
from caterva2.mirror.options import MirrorOptions, Patterns
from caterva2.mirror.service import Mirrors
from caterva2.names import DatasetPath
from caterva2.publisher.service import Publisher
from caterva2.subscriber.options import SubscriberOptions
from caterva2.subscriber.service import Subscriber
from caterva2.wire import codec
from caterva2.wire import messages as m
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
        name = self.world.directory / f"bro{len(self.brokers)}"
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
async def asking(mirrors: Mirrors) -> AsyncIterator[Any]:
    """Ask the mirror of the root directly."""
    await until(lambda: FOO in mirrors.roots)
    with zmq.Context() as context:
        asker: Requester[m.DataReply] = Requester(
            context, mirrors.roots[FOO].reached.endpoint, codec.data_replies, "the mirror"
        )
        try:
            yield lambda request: asker.ask(request, LIMIT)
        finally:
            await asyncio.to_thread(asker.close)


async def value(reader: Subscriber) -> bytes:
    return bytes(blosc2.decompress2(await content(reader)))


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
                hello = await ask(m.Hello())
                assert is_up(reader)
                assert await value(await s.reader(brokers[2], "another")) == CONTENT
                other = await s.reader(brokers[2], "third")
                with pytest.raises(CatervaError):
                    await (await other.dataset(FOO, OTHER)).chunk(0)
            async with world.publisher(brokers[0]) as publisher:
                await until(lambda: root.catalog.inst == publisher.lease.inst)

    asyncio.run(run())
