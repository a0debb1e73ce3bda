"""Logs of workers follow the level of their subscriber"""

from __future__ import annotations

import asyncio
import logging
import os
from types import SimpleNamespace
from typing import Any

import pytest

from caterva2.limits import DEFAULTS
from caterva2.web.server.options import HttpOptions
from caterva2.workers import channel, settings
from caterva2.workers.generations import Generations
from caterva2.workers.member import Member
from caterva2.workers.serving import Worker


def test_a_worker_has_the_level_of_logs_that_was_set_anew(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)  # and put it back at the end
    anew = SimpleNamespace(level=logging.ERROR)
    monkeypatch.setattr("caterva2.workers.member.logging", SimpleNamespace(getLogger=lambda: anew))
    described = settings.described(HttpOptions(), DEFAULTS, recorded=False, accounts=False)
    made = settings.restored(described)
    post: Any = None

    async def work() -> None:
        generations, (ours, theirs) = Generations(), channel.pair()
        page = os.dup(generations.descriptor)
        worker = Worker(theirs, page, made.manner, made.limits, False, False)
        member = Member(7, ours, post)
        member.look()
        async with asyncio.timeout(30):
            while member._unanswered:  # noqa: ASYNC110 - it tells no event
                await asyncio.sleep(0.001)
        member.close()
        worker.close()
        os.close(page)
        generations.close()

    asyncio.run(work())
    assert logging.getLogger().level == logging.ERROR
