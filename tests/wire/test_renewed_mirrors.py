"""Mirrors renew their leases together, where the broker knows how"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from keyedworld import World
from mirrorsites import sites
from wiretools import until

from caterva2.errors import BadMessage
from caterva2.wire import messages as m


@pytest.mark.parametrize("older", [False, True])
def test_a_mirror_renews_its_lease_at_any_broker(tmp_path: Path, older: bool) -> None:
    world = World(tmp_path, keyed=False)
    world.limits = replace(world.limits, broker=replace(world.limits.broker, lease_ttl=1.5))
    asked = list[type[object]]()
    handlers: dict[type[object], Any] = {}

    def answer(peer: object, request: m.Mirror | m.Renew) -> None:
        if older and isinstance(request, m.Renew):
            asked.append(m.Renew)
            raise BadMessage("the type is unknown")
        handlers[type(request)](peer, request)
        asked.append(type(request))

    async def run() -> None:
        async with sites(world) as s:
            broker = await s.broker()
            handlers.update(broker._control._handlers)
            for kind in (m.Mirror, m.Renew):
                broker._control.handle(kind, answer)
            await s.stack.enter_async_context(world.publisher(broker))
            await s.mirror(broker)
            await until(lambda: asked.count(m.Mirror if older else m.Renew) >= 3)
            assert asked[:2] == [m.Mirror, m.Renew]
            assert not older or asked.count(m.Renew) == 1

    asyncio.run(run())
