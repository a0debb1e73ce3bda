"""Sites with subscribers that serve roots again, and questions to these"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import blosc2
import zmq
from dataserver import Collect
from keyedworld import FOO, World, content, is_up
from wiretools import ANY, LIMIT, until

from caterva2.broker.service import Broker, BrokerOptions
from caterva2.limits import constants
from caterva2.mirror.options import MirrorOptions, Patterns
from caterva2.mirror.service import Mirrors
from caterva2.model import Entry
from caterva2.names import DatasetPath
from caterva2.publisher.service import Publisher
from caterva2.subscriber.options import SubscriberOptions
from caterva2.subscriber.service import Subscriber
from caterva2.wire import codec
from caterva2.wire import messages as m
from caterva2.wire.auth.curve import Curve, plain
from caterva2.wire.requester import Requester

OTHER = DatasetPath("later.txt")


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

    async def reader(self, at: Broker, name: str = "reader", **given: Any) -> Subscriber:
        options = SubscriberOptions(
            at.endpoint, self.world.directory / name, keys=self.world.options(), **given
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


def piece(entry: Entry, n: int = 0) -> m.BytesRequest:
    """Return a request for bytes of a file's chunk."""
    start = n * constants.FILE_CHUNK
    given = {"start": start, "stop": start + 10, "deadline_ms": 20_000}
    return m.BytesRequest.model_validate({"path": entry.path, "etag": entry.etag, **given})


async def value(reader: Subscriber) -> bytes:
    return bytes(blosc2.decompress2(await content(reader)))


async def until_asked(ask: Any, true: Callable[[Any], object]) -> None:
    await until_true(lambda: ask(m.Hello()), true)


async def until_true(ask: Callable[[], Awaitable[Any]], true: Callable[[Any], object]) -> None:
    async with asyncio.timeout(LIMIT):
        while not true(await ask()):  # noqa: ASYNC110 - it has to be asked for
            await asyncio.sleep(0.05)


def mirrors_of(subscriber: Subscriber) -> list[str]:
    """Return the names of the mirrors of the root that a broker announces."""
    where = subscriber._announced.roots.get(FOO)
    return [one.mirror for one in where.mirrors] if where else []


def source(publisher: Publisher) -> Any:
    return publisher._followed.source
