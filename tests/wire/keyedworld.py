"""A broker, a publisher and a subscriber in one process, with keys or without."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from tapping import Tap, tapped
from wiretools import ANY, LIMIT, until

from caterva2.broker.service import Broker, BrokerOptions
from caterva2.limits import DEFAULTS, Limits
from caterva2.names import DatasetPath, RootName
from caterva2.publisher.readers import RootReaders
from caterva2.publisher.service import Publisher, PublisherOptions
from caterva2.sources.memory import MemorySource
from caterva2.subscriber.options import SubscriberOptions
from caterva2.subscriber.service import Subscriber
from caterva2.wire.auth import allow_list, keys, list_file
from caterva2.wire.auth.service_keys import KeyOptions
from caterva2.wire.sockets import Address

FOO = RootName("foo")
MARKED = DatasetPath("Plaintext-Name.txt")
CONTENT = b"Plaintext-Content " * 2000
QUICK = replace(
    DEFAULTS,
    broker=replace(DEFAULTS.broker, beat=0.1),
    wire=replace(DEFAULTS.wire, first_byte=LIMIT, backoff=0.01),
)


@dataclass
class World:
    """The directory of all state, and whether keys are used."""

    directory: Path
    keyed: bool = True
    limits: Limits = QUICK
    contents: dict[str, bytes] = field(default_factory=lambda: {MARKED: CONTENT})
    readers: dict[str, RootReaders] = field(default_factory=lambda: defaultdict(RootReaders))
    """By the names of publishers."""

    @property
    def allowed(self) -> Path:
        return self.directory / "allowed"

    def pair(self, name: str) -> keys.Keypair:
        (self.directory / name).mkdir(exist_ok=True)
        return keys.read_or_make(self.directory / name / keys.FILE)

    def allow(self, name: str, role: str, roots: str = "*", key: str = "") -> None:
        line = f"{name} {key or self.pair(name).public} {role} {roots}"
        list_file.change(self.allowed, lambda text: allow_list.with_line(text, line))

    def revoke(self, who: str) -> None:
        list_file.change(self.allowed, lambda text: allow_list.without(text, who)[0])

    def options(self, **given: object) -> KeyOptions:
        """The options of a service; both lists are one."""
        if not self.keyed:
            return KeyOptions(curve="off")
        known = KeyOptions(allowed=self.allowed, broker_key=self.pair("bro").public)
        return replace(known, **given)  # type: ignore[arg-type]

    @contextlib.asynccontextmanager
    async def broker(self) -> AsyncIterator[Broker]:
        options = BrokerOptions(ANY, ANY, ANY, self.directory / "bro", self.options())
        async with Broker.serving(options, self.limits) as made:
            yield made

    @contextlib.asynccontextmanager
    async def publisher(
        self, broker: Broker, name: str = "pub", tap: Tap | None = None, root: RootName = FOO
    ) -> AsyncIterator[Publisher]:
        def opened() -> MemorySource:
            source = MemorySource()
            for path, data in self.contents.items():
                source.put(path, data)
            return source

        options = PublisherOptions(
            root, broker.endpoint, ANY, tap.address if tap else None, self.directory / name,
            self.options(), self.readers[name],
        )  # fmt: skip
        async with Publisher.serving(options, opened, self.limits) as made:
            yield made

    @contextlib.asynccontextmanager
    async def subscriber(
        self, broker: Broker, name: str = "sub", **given: object
    ) -> AsyncIterator[Subscriber]:
        options = SubscriberOptions(
            broker.endpoint, self.directory / name, keys=self.options(**given)
        )
        async with Subscriber.serving(options, self.limits) as made:
            yield made


@contextlib.asynccontextmanager
async def following(
    world: World,
) -> AsyncIterator[tuple[Broker, Publisher, Subscriber, Tap]]:
    """Run all three services, with a tap in front of the publisher, until the root is known."""
    async with contextlib.AsyncExitStack() as stack:
        tap = await stack.enter_async_context(tapped())
        broker = await stack.enter_async_context(world.broker())
        publisher = await stack.enter_async_context(world.publisher(broker, tap=tap))
        tap.target = bound(publisher)
        subscriber = await stack.enter_async_context(world.subscriber(broker))
        await until(lambda: is_up(subscriber))
        yield broker, publisher, subscriber, tap


def is_up(subscriber: Subscriber, root: RootName = FOO) -> bool:
    return any(one.name == root and not one.offline for one in subscriber.roots())


async def content(subscriber: Subscriber, root: RootName = FOO) -> bytes:
    """Read the dataset, from the publisher if it is not cached."""
    dataset = await subscriber.dataset(root, MARKED)
    return b"".join([bytes(await dataset.chunk(n)) for n in range(1)])


def bound(publisher: Publisher) -> Address:
    """Where its data socket listens."""
    return Address.parse(publisher.ready.partition(" ready at ")[2].partition(",")[0])
