"""Services that know two keys, one of which their broker has"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import zmq
from keyedworld import FOO, QUICK, World, is_up
from tapping import tapped
from wiretools import ANY, until

from caterva2.broker.service import Broker, BrokerOptions
from caterva2.errors import DeadlineExceeded
from caterva2.wire import broker_link
from caterva2.wire import messages as m
from caterva2.wire.auth.curve import Curve, OneOfKeys
from caterva2.wire.broker_link import BrokerLink


@pytest.fixture
def world(tmp_path: Path) -> World:
    limits = replace(QUICK, wire=replace(QUICK.wire, first_byte=0.5))
    made = World(tmp_path, limits=limits)
    made.allow("pub", "publish", "foo")
    made.allow("sub", "read")
    return made


def test_links_go_on_with_a_broker_that_has_the_other_key(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    old, new = world.pair("bro").public, world.pair("new").public
    world.options = lambda **_: World.options(world, broker_key=[new, old])  # type: ignore[method-assign]

    async def run() -> None:
        options = BrokerOptions(ANY, ANY, ANY, world.directory / "new", world.options())
        async with contextlib.AsyncExitStack() as stack, contextlib.AsyncExitStack() as former:
            tap = await stack.enter_async_context(tapped())
            first = await former.enter_async_context(world.broker())
            second = await stack.enter_async_context(Broker.serving(options, world.limits))
            tap.target = first.endpoint
            at = cast("Broker", SimpleNamespace(endpoint=tap.address))
            await stack.enter_async_context(world.publisher(at))
            sub = await stack.enter_async_context(world.subscriber(at))
            await until(linked(first, old))
            await until(lambda: is_up(sub))
            assert await sub.entries(FOO)  # from here on it hears of changes
            tap.target = second.endpoint
            await former.aclose()
            await until(linked(second, new))
            await until(lambda: is_up(sub) and sub.monitor.health().broker)
            announced: Any = sub.monitor.broker
            heard: list[m.RootNote] = []
            announced._on_root_note = heard.append
            await until(lambda: bool(heard))

    def linked(broker: Broker, key: str) -> Callable[[], bool]:
        """Whether notes of the publisher pass the broker, and the subscriber listens there."""

        def found() -> bool:
            listening = {one.key for one in broker._xpub.connections._by_fd.values()}
            said = caplog.text.count(f"the broker has the key {key}, one of 2")
            passed = broker.monitor.forwarded > 0 and world.pair("sub").public in listening
            return said == 2 and passed

        return found

    asyncio.run(run())


@pytest.mark.parametrize("refused", [False, True])
def test_another_key_is_tried_unless_something_else_is_at_fault(
    world: World, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    """The broker does not listen, or does not admit us, or has the second key."""
    used: list[str] = []
    answered: list[None] = []
    keys = [world.pair("bro").public, world.pair("new").public]

    class Unanswered:
        def __init__(self, *_: object, protect: OneOfKeys, **__: object) -> None:
            self.refused = refused
            socket: Any = {}
            protect(cast("Any", SimpleNamespace(setsockopt=socket.__setitem__)))
            used.append(socket[zmq.CURVE_SERVERKEY].hex())

        async def ask(self, *_: object, **__: object) -> m.BrokerHello:
            answered.append(None)
            if len(answered) < 3:
                raise DeadlineExceeded("silent")
            return m.BrokerHello(id=1, xsub="tcp://h:1", xpub="tcp://h:2", binst="b" * 32)

        def close(self) -> None:
            used.append("closed")

    monkeypatch.setattr(broker_link, "Requester", Unanswered)

    async def run() -> None:
        protect = OneOfKeys(Curve(world.pair("sub")), keys)
        link = BrokerLink(cast("Any", None), ANY, lambda: None, protect=protect)
        assert (await link.hello()).xsub == "tcp://h:1"

    asyncio.run(run())
    turns = [keys[0], "closed", keys[1], "closed", keys[0]]
    assert used == (keys[:1] if refused else turns)


def test_the_roots_of_one_link_greet_the_broker_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, their leases would end meanwhile."""
    asked: list[object] = []

    class Answering:
        def __init__(self, *_: object, **__: object) -> None:
            self.refused = False

        async def ask(self, request: object, **__: object) -> m.BrokerHello:
            asked.append(request)
            await asyncio.sleep(0)
            return m.BrokerHello(id=1, xsub="tcp://h:1", xpub="tcp://h:2", binst="b" * 32)

    monkeypatch.setattr(broker_link, "Requester", Answering)

    async def run() -> None:
        link = BrokerLink(cast("Any", None), ANY, lambda: None)
        found = await asyncio.gather(*(link.hello() for _ in range(9)))
        assert {one.xsub for one in found} == {"tcp://h:1"}
        assert len(asked) == 1
        await link.hello()
        assert len(asked) == 2

    asyncio.run(run())
