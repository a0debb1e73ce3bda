"""The life cycle of a service: entered, ready, ended by a signal or its failure, and left."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Self

import pytest

from caterva2 import limits
from caterva2.errors import RootTaken, StartError
from caterva2.runtime import service
from caterva2.runtime.tasks import Tasks


class Recorded:
    """A service that notes its life, and fails or ends as it is told."""

    ready = "ready at nowhere"

    def __init__(self, *, start: str = "", failure: str = "", leave: float = 0.0) -> None:
        self.life: list[str] = []
        self._start = start
        self._failure = failure
        self._leave = leave

    async def __aenter__(self) -> Self:
        self.life.append("entered")
        if self._start:
            raise StartError(self._start)
        return self

    async def failed(self) -> None:
        self.life.append("runs")
        if self._failure:
            raise RootTaken(self._failure)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    async def __aexit__(self, *_: object) -> None:
        self.life.append("leaving")
        await asyncio.sleep(self._leave)
        self.life.append("left")


def test_a_signal_ends_a_service_in_order(capfd: pytest.CaptureFixture[str]) -> None:
    made = Recorded()
    assert service.run("cat2x", lambda: made) == 0
    assert made.life == ["entered", "runs", "leaving", "left"]
    assert capfd.readouterr().out == "cat2x: ready at nowhere\n"


def test_a_failure_ends_it_in_order_too(capfd: pytest.CaptureFixture[str]) -> None:
    made = Recorded(failure="another one has it")
    assert service.run("cat2x", lambda: made) == 1
    assert made.life == ["entered", "runs", "leaving", "left"]
    assert capfd.readouterr().err == "cat2x: another one has it\n"


def test_a_start_that_fails_is_not_left(capfd: pytest.CaptureFixture[str]) -> None:
    made = Recorded(start="no room")
    assert service.run("cat2x", lambda: made) == 1
    assert made.life == ["entered"]
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "cat2x: no room\n")


def test_leaving_has_a_deadline(caplog: pytest.LogCaptureFixture) -> None:
    made = Recorded(leave=60.0)
    assert service.run("cat2x", lambda: made) == 0
    assert made.life[-1] == "leaving"
    assert "gave up waiting" in caplog.text
    assert limits.SHUTDOWN < 60.0


def test_tasks_end_with_their_context() -> None:
    async def run() -> None:
        ended = asyncio.Event()

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        async with Tasks() as tasks:
            tasks.start(work(), "work")
            await asyncio.sleep(0)
        assert ended.is_set()

    asyncio.run(run())
