"""What the holder of a key may do: its own roots, and nothing in the name of others"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zmq
from keyedworld import FOO, World, following, is_up
from wiretools import ANY, LIMIT, until

from caterva2 import config
from caterva2.broker.service import Broker, BrokerOptions
from caterva2.errors import CatervaError, ConfigError, Fenced, NotAllowed, RootTaken
from caterva2.names import RootName
from caterva2.subscriber.options import SubscriberOptions, pinned
from caterva2.subscriber.service import Subscriber
from caterva2.wire import codec, sockets
from caterva2.wire import messages as m
from caterva2.wire.auth import keys
from caterva2.wire.auth.curve import Curve
from caterva2.wire.networks import Networks
from caterva2.wire.requester import Requester


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.allow("pub", "publish", "foo")
    made.allow("sub", "read")
    made.allow("other", "both", "foo,mine")
    return made


class Holder:
    """The connections of somebody with a key to a broker."""

    def __init__(self, world: World, broker: Broker, pair: keys.Keypair) -> None:
        self.key = pair.public
        self.context: sockets.Context = zmq.Context()
        protect = Curve(pair).call(world.pair("bro").public)
        at = broker.endpoint.endpoint
        self._requester: Requester[m.ControlReply] = Requester(
            self.context, at, codec.control_replies, "x", protect=protect
        )
        self.pub = sockets.make(self.context, zmq.PUB, protect=protect)
        self.pub.connect(broker._bound.xsub.address.endpoint)

    async def ask(self, request: m.Request) -> Any:
        return await self._requester.ask(request, LIMIT)

    async def register(self, root: str, **given: Any) -> Any:
        fields: dict[str, Any] = {
            "root": root, "inst": "i", "fence": 0, "endpoints": ("tcp://127.0.0.1:9",),
            "curve_key": self.key,
        }  # fmt: skip
        return await self.ask(m.Register.model_validate(fields | given))

    def note(self, note: m.RootNote) -> None:
        self.pub.send_multipart([codec.root_topic(note.root), *codec.encode(note)])

    async def close(self) -> None:
        await asyncio.to_thread(self._requester.close)
        self.context.destroy(linger=0)


@contextlib.asynccontextmanager
async def holder(world: World, broker: Broker, pair: keys.Keypair) -> AsyncIterator[Holder]:
    made = Holder(world, broker, pair)
    try:
        yield made
    finally:
        await made.close()


def test_a_root_belongs_to_the_holder_of_the_key(world: World) -> None:
    """Register, renew, unregister, takeover and notes of another key than the holder's."""

    async def run() -> None:
        async with (
            following(world) as (broker, publisher, sub, _),
            holder(world, broker, world.pair("other")) as other,
        ):
            lease = publisher.lease
            theirs = {"inst": lease.inst, "fence": lease.fence}
            tries: list[tuple[type[CatervaError], str, dict[str, Any]]] = [
                (RootTaken, "foo", {}),
                (RootTaken, "foo", theirs),
                (RootTaken, "foo", {"takeover": True}),
                (RootTaken, "foo", {**theirs, "takeover": True}),
                (NotAllowed, "foo", {**theirs, "curve_key": world.pair("pub").public}),
                (NotAllowed, "mine", {"curve_key": ""}),
                (NotAllowed, "bar", {}),
            ]
            for error, root, given in tries:
                with pytest.raises(error):
                    await other.register(root, **given)
            with pytest.raises(Fenced):
                await other.ask(m.Unregister(root=FOO, **theirs))
            deleted = m.Change(
                root=FOO, rev=5, op="delete", path=next(iter(await sub.entries(FOO))), **theirs
            )
            assert (await other.register("mine")).fence == 1
            mine = m.RootBeat(root=RootName("mine"), inst="i", fence=1, rev=0)
            passed: list[m.RootNote] = []
            sub._announced._on_root_note = passed.append  # type: ignore[union-attr]
            sub._announced.listen(RootName("mine"))
            async with asyncio.timeout(LIMIT):
                while mine not in passed:
                    other.note(deleted)
                    other.note(mine)
                    await asyncio.sleep(0.02)
            assert deleted not in passed
            assert is_up(sub)

    asyncio.run(run())


def test_a_reader_registers_nothing_and_a_publisher_lists_nothing(world: World) -> None:
    async def run() -> None:
        async with world.broker() as broker:
            async with holder(world, broker, world.pair("sub")) as reader:
                with pytest.raises(NotAllowed, match="the key of sub may not publish root foo"):
                    await reader.register("foo")
                assert (await reader.ask(m.SnapshotRequest())).type == "snapshot"
            async with holder(world, broker, world.pair("pub")) as publisher:
                with pytest.raises(NotAllowed, match="the key of pub may not read"):
                    await publisher.ask(m.SnapshotRequest())

    asyncio.run(run())


def test_only_a_key_with_the_role_announces_a_mirror(world: World) -> None:
    world.allow("near", "mirror", "foo")

    async def run() -> None:
        async with following(world) as (broker, publisher, sub, _):
            lease = publisher.lease
            fields = {"inst": lease.inst, "fence": lease.fence, "endpoint": "tcp://127.0.0.1:9"}

            def mirror(key: str) -> m.Mirror:
                given = fields | {"root": "foo", "mirror": "m1", "curve_key": key}
                return m.Mirror.model_validate(given)

            async with holder(world, broker, world.pair("other")) as other:
                with pytest.raises(NotAllowed, match="the key of other may not mirror root foo"):
                    await other.ask(mirror(other.key))
            async with holder(world, broker, world.pair("near")) as near:
                with pytest.raises(NotAllowed, match="curve_key"):
                    await near.ask(mirror(world.pair("other").public))
                assert (await near.ask(mirror(near.key))).fence == lease.fence
                await until(lambda: bool(sub._announced.roots[FOO].mirrors))
                world.revoke("near")
                await until(lambda: not sub._announced.roots[FOO].mirrors)
            assert is_up(sub)

    asyncio.run(run())


def test_two_keys_of_one_name_have_its_authority(world: World) -> None:
    """A service goes on with another key, while leases of the first one are not over."""
    second = keys.make()
    world.allow("pub", "publish", "foo", second.public)

    async def run() -> None:
        async with (
            world.broker() as broker,
            holder(world, broker, world.pair("pub")) as before,
            holder(world, broker, second) as after,
        ):
            assert (await before.register("foo")).fence == 1
            assert (await after.register("foo")).fence == 1
            taken = await after.register("foo", inst="j", takeover=True)
            assert taken.fence == 2
            given_back = m.Unregister(root=FOO, inst="j", fence=2)
            assert (await before.ask(given_back)).type == "pong"

    asyncio.run(run())


def test_leases_of_a_former_run_of_the_broker_belong_to_their_keys(world: World) -> None:
    async def run() -> None:
        async with world.broker() as broker, holder(world, broker, world.pair("pub")) as pub:
            assert (await pub.register("foo")).fence == 1
        async with world.broker() as broker:
            async with holder(world, broker, world.pair("other")) as other:
                with pytest.raises(RootTaken):
                    await other.register("foo", fence=1)
            async with holder(world, broker, world.pair("pub")) as pub:
                assert (await pub.register("foo", fence=1)).fence == 1

    asyncio.run(run())


def test_leases_of_a_key_that_was_revoked_without_a_broker_are_over(world: World) -> None:
    async def run() -> None:
        async with world.broker() as broker, holder(world, broker, world.pair("pub")) as pub:
            await pub.register("foo", ttl_ms=3_600_000)
        world.revoke("pub")
        async with world.broker() as broker, holder(world, broker, world.pair("sub")) as reader:
            assert (await reader.ask(m.SnapshotRequest())).roots == ()

    asyncio.run(run())


def test_a_subscriber_uses_the_publishers_whose_keys_its_settings_name(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever key a broker announces for a root."""
    text = '[subscriber.publisher_keys]\nfoo = "{}"\nmine = ["{}", "{}"]\n'
    file = world.directory / "caterva2.toml"
    ours, theirs = world.pair("pub").public, world.pair("other").public
    file.write_text(text.format(ours, theirs.upper(), "0" * 64))
    named = pinned(config.load(config.SubscriberSettings, file))
    assert named == {FOO: {ours}, RootName("mine"): {theirs, "0" * 64}}
    for wrong in ('foo = "5c"', 'foo = [""]', '"a b" = []'):
        file.write_text(f"[subscriber.publisher_keys]\n{wrong}\n")
        with pytest.raises(ConfigError, match=r"\[subscriber.publisher_keys\]"):
            pinned(config.load(config.SubscriberSettings, file))

    async def run() -> None:
        async with world.broker() as broker, holder(world, broker, world.pair("other")) as other:
            await other.register("mine")
            await other.register("foo")  # its list of the broker lets it
            reader = SubscriberOptions(
                broker.endpoint, world.directory / "sub", keys=world.options(), pinned=named
            )
            async with Subscriber.serving(reader, world.limits) as sub:
                await until(lambda: is_up(sub, RootName("mine")))
                refused = f"root foo at tcp://127.0.0.1:9 is not used: its key {theirs}"
                await until(lambda: refused in caplog.text)
                assert not is_up(sub)

    asyncio.run(run())


def test_a_root_is_at_no_address_that_publishers_may_not_have(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither registered at the broker, nor used by a subscriber that was told of it."""
    some = Networks(["10.0.0.0/8"])
    at = BrokerOptions(ANY, ANY, ANY, world.directory / "bro", world.options(), some)
    reader = SubscriberOptions(ANY, world.directory / "sub", keys=world.options(), publishers=some)

    async def run() -> None:
        async with (
            Broker.serving(at, world.limits) as broker,
            holder(world, broker, world.pair("pub")) as pub,
        ):
            for host in ("127.0.0.1", "169.254.169.254", "*"):
                with pytest.raises(NotAllowed, match=r"root foo can't be at tcp://"):
                    await pub.register("foo", endpoints=("tcp://10.0.0.1:1", f"tcp://{host}:1"))
            assert (await pub.register("foo", endpoints=("tcp://10.0.0.1:1",))).fence == 1
        async with world.broker() as broker, holder(world, broker, world.pair("other")) as other:
            await other.register("mine")
            options = replace(reader, broker=broker.endpoint)
            async with Subscriber.serving(options, world.limits) as sub:
                await until(lambda: "is not used: it is not in the setting" in caplog.text)
                await until(lambda: is_up(sub))
                assert not is_up(sub, RootName("mine"))

    asyncio.run(run())
