"""Links with keys: what others see on them, and who gets on them"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
import zmq
from keyedworld import CONTENT, FOO, MARKED, World, bound, following, is_up
from tapping import tapped
from wiretools import ANY, LIMIT, until

from caterva2.broker.service import Broker, BrokerOptions
from caterva2.errors import ConfigError, StartError
from caterva2.wire import codec, dealers, sockets
from caterva2.wire import messages as m
from caterva2.wire.auth import keys
from caterva2.wire.auth.curve import Curve, plain
from caterva2.wire.auth.service_keys import KeyOptions
from caterva2.wire.requester import Requester
from caterva2.wire.sockets import Address


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.allow("pub", "publish", "foo")
    made.allow("sub", "read")
    return made


@pytest.mark.parametrize("keyed", [True, False])
def test_an_eavesdropper_sees_plaintext_exactly_without_keys(world: World, keyed: bool) -> None:
    world.keyed = keyed

    async def run() -> None:
        async with following(world) as (_, _, subscriber, tap):
            dataset = await subscriber.dataset(FOO, MARKED)
            await dataset.fill()
            assert dataset.cached_bytes > 0
            for marker in (MARKED.encode(), CONTENT[:18], b"catalog?", codec.MAGIC):
                assert (marker in tap.heard) is not keyed
            assert (b"CURVE" in tap.heard) is keyed

    asyncio.run(run())


def stranger_at(
    world: World, kind: int, address: Address, server: str, who: str = "stranger"
) -> tuple[sockets.Context, sockets.Socket]:
    """Connect a socket with a key of somebody else to a service; it is closed by its context."""
    context: sockets.Context = zmq.Context()
    protect = Curve(world.pair(who)).call(world.pair(server).public) if who else plain
    made = sockets.make(context, kind, protect=protect)
    made.connect(address.endpoint)
    return context, made


def test_strangers_are_refused_at_every_socket(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A rogue publisher and a rogue subscriber, and keys that may do something else."""
    stranger = world.pair("stranger").public

    async def run() -> None:
        async with following(world) as (broker, publisher, _, _):
            control, xsub, xpub = (
                one.address
                for one in (broker._bound.control, broker._bound.xsub, broker._bound.xpub)
            )
            data = bound(publisher)
            tries = [
                (zmq.DEALER, control, "bro", "stranger"), (zmq.PUB, xsub, "bro", "stranger"),
                (zmq.SUB, xpub, "bro", "stranger"), (zmq.DEALER, data, "pub", "stranger"),
                (zmq.PUB, xsub, "bro", "sub"), (zmq.SUB, xpub, "bro", "pub"),
                (zmq.DEALER, data, "pub", "pub"),
            ]  # fmt: skip
            made = [stranger_at(world, kind, *at) for kind, *at in tries]
            expected = [
                f"at the {where} socket: key {key} {why}"
                for where, key, why in [
                    *((where, stranger, "is not on the list")
                      for where in ("control", "xsub", "xpub", "data")),
                    ("xsub", world.pair("sub").public, "is sub's, who may not use it"),
                    ("xpub", world.pair("pub").public, "is pub's, who may not use it"),
                    ("data", world.pair("pub").public, "is pub's, who may not use it"),
                ]
            ]  # fmt: skip
            try:
                await until(lambda: all(line in caplog.text for line in expected))
                refused = [one for one in caplog.messages if one.startswith("refused 127.0.0.1")]
                assert len(refused) == len(expected)  # however often they try
            finally:
                for context, _ in made:
                    context.destroy(linger=0)

    asyncio.run(run())


def test_who_has_no_key_or_another_servers_key_gets_no_answer(world: World) -> None:
    async def run() -> None:
        async with world.broker() as broker:
            context: sockets.Context = zmq.Context()
            ways = [plain, Curve(world.pair("sub")).call(world.pair("other").public)]
            askers: list[Requester[m.ControlReply]] = [
                Requester(
                    context, broker.endpoint.endpoint, codec.control_replies, "x", protect=way
                )
                for way in ways
            ]
            try:
                for asker in askers:
                    with pytest.raises(TimeoutError):
                        async with asyncio.timeout(0.5):
                            await asker.ask(m.Hello(), LIMIT)
                    assert dealers.DENIED not in asker._given_up
            finally:
                for asker in askers:
                    await asyncio.to_thread(asker.close)
                context.destroy(linger=0)

    asyncio.run(run())


def test_a_service_that_is_not_admitted_says_so_and_gets_on_once_it_is(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.revoke("sub")

    async def run() -> None:
        async with (
            world.broker() as broker, world.publisher(broker), world.subscriber(broker) as sub,
        ):  # fmt: skip
            await until(lambda: "at the control socket" in caplog.text)
            world.allow("sub", "read")
            await until(lambda: is_up(sub))

    asyncio.run(run())
    assert "does not admit our key: its operator has to run cat2keys allow" in caplog.text


@pytest.mark.parametrize("keyed_first", [False, True])
def test_a_service_gets_on_once_the_broker_uses_keys_as_it_does(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
    keyed_first: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(dealers, "DENIED_PAUSE", 0.05)
    off, on = KeyOptions(curve="off"), world.options()
    before, after = (on, off) if keyed_first else (off, on)

    async def run() -> None:
        stack = contextlib.AsyncExitStack()
        async with stack:
            first = BrokerOptions(ANY, ANY, ANY, world.directory / "bro", before)
            async with Broker.serving(first, world.limits) as broker:
                world.keyed = not keyed_first
                sub = await stack.enter_async_context(world.subscriber(broker))
                await until(lambda: "does only one side use keys?" in caplog.text)
                assert not sub.monitor.health().broker
            again = BrokerOptions(broker.endpoint, ANY, ANY, world.directory / "bro", after)
            async with Broker.serving(again, world.limits):
                await until(lambda: sub.monitor.health().broker)

    asyncio.run(run())


def test_altered_and_repeated_messages_reach_nobody(world: World) -> None:
    async def run() -> None:
        async with world.broker() as broker, tapped() as tap:
            tap.target = broker.endpoint
            context: sockets.Context = zmq.Context()
            protect = Curve(world.pair("sub")).call(world.pair("bro").public)
            asker: Requester[m.ControlReply] = Requester(
                context, tap.address.endpoint, codec.control_replies, "x", protect=protect
            )
            heard: list[m.ControlRequest] = []
            broker._control.handle(m.Ping, lambda peer, ping: (
                heard.append(ping), broker._pong(peer, ping)
            ))  # fmt: skip
            try:
                assert (await asker.ask(m.Ping(), LIMIT)).type == "pong"
                first = bytes(tap.forth)
                reader, writer = await asyncio.open_connection("127.0.0.1", broker.endpoint.port)
                writer.write(first)  # the whole conversation again
                async with asyncio.timeout(LIMIT):
                    while await reader.read(65_536):
                        pass  # until the broker has closed it
                writer.close()
                assert len(heard) == 1
                tap.alter = lambda piece: piece[:-1] + bytes([piece[-1] ^ 1])
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.5):
                        await asker.ask(m.Ping(), LIMIT)
                assert len(heard) == 1
                tap.alter = lambda piece: piece
                assert (await asker.ask(m.Ping(), LIMIT)).type == "pong"
            finally:
                await asyncio.to_thread(asker.close)
                context.destroy(linger=0)

    asyncio.run(run())


def test_a_user_id_that_a_peer_claims_itself_is_no_key(world: World) -> None:
    """Without CURVE the properties of a connection are those that its peer names."""
    world.keyed = False

    async def run() -> None:
        async with world.broker() as broker:
            reader, writer = await asyncio.open_connection("127.0.0.1", broker.endpoint.port)
            writer.write(b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16 + 1 + 31))
            claims = {b"Socket-Type": b"DEALER", b"User-Id": world.pair("pub").public.encode()}
            ready = b"\x05READY" + b"".join(
                bytes([len(k)]) + k + len(v).to_bytes(4, "big") + v for k, v in claims.items()
            )
            writer.write(b"\x04" + bytes([len(ready)]) + ready)
            async with asyncio.timeout(LIMIT):
                await reader.readuntil(b"READY")  # ZeroMQ may drop what comes earlier
            first, second = codec.encode(m.Ping(id=7))
            for flags, frame in ((1, first), (0, second)):
                writer.write(bytes([flags, len(frame)]) + bytes(frame))
            heard: list[str] = []
            broker._control.handle(m.Ping, lambda peer, _: heard.append(peer.key))
            await until(lambda: bool(heard))
            assert heard == [""]
            writer.close()

    asyncio.run(run())


OPEN = Address("0.0.0.0", 0)


@pytest.mark.parametrize("place", ["control", "xsub", "xpub"])
def test_a_broker_without_keys_listens_to_this_machine_only(tmp_path: Path, place: str) -> None:
    at = [OPEN if one == place else ANY for one in ("control", "xsub", "xpub")]

    async def start(options: KeyOptions) -> None:
        async with Broker.serving(BrokerOptions(*at, tmp_path, options)):
            pass

    with pytest.raises(StartError, match=rf"{place} at 0.0.0.0:0 would be open.*cat2keys allow"):
        asyncio.run(start(KeyOptions()))
    with pytest.raises(StartError, match="would be open"):
        asyncio.run(start(KeyOptions(curve="off")))
    asyncio.run(start(KeyOptions(insecure=True)))
    World(tmp_path).allow("sub", "read")
    asyncio.run(start(KeyOptions()))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"broker_key": ""}, "broker_key is missing"),
        ({"broker_key": "12"}, "is not a public key"),
        ({"broker_key": ["a" * 64, ""]}, "is not a public key"),
        ({"broker_key": []}, "broker_key is missing"),
        ({"broker_key": [c * 64 for c in "abc"]}, "3 keys are more than BROKER_KEYS"),
        ({"allowed": Path("nowhere")}, "allow list nowhere is not there"),
        ({"curve": "required", "allowed": None}, "is not there"),
    ],
)
def test_keys_that_are_incomplete_are_named(
    world: World, given: dict[str, object], why: str
) -> None:
    async def run() -> None:
        async with world.broker() as broker:
            world.options = lambda **_: World.options(world, **given)  # type: ignore[method-assign]
            async with world.publisher(broker):
                pytest.fail("it started")

    with pytest.raises((StartError, ConfigError), match=why):
        asyncio.run(run())


def test_a_service_makes_its_key_at_the_first_start_and_needs_none(tmp_path: Path) -> None:
    async def start(options: KeyOptions) -> None:
        async with Broker.serving(BrokerOptions(ANY, ANY, ANY, tmp_path, options)):
            pass

    asyncio.run(start(KeyOptions(curve="off")))
    assert not (tmp_path / keys.FILE).exists()
    asyncio.run(start(KeyOptions()))
    made = (tmp_path / keys.FILE).read_text()
    asyncio.run(start(KeyOptions()))
    assert (tmp_path / keys.FILE).read_text() == made
