"""The life cycle of a service: entered, ready, ended by a signal or its failure, and left."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Self

import pytest

from caterva2.errors import ConfigError, RootTaken, StartError
from caterva2.limits import constants
from caterva2.runtime import service
from caterva2.runtime.single_flight import SingleFlight
from caterva2.runtime.tasks import Tasks
from caterva2.runtime.uncancellable import run_to_completion


class Recorded:
    """A service that notes its life, and fails or ends as it is told."""

    ready = "ready at nowhere"
    status = "3 roots"

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
    assert constants.SHUTDOWN < 60.0


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


class Hung(Recorded):
    """A service that gets SIGHUP, and then SIGTERM when its settings were read."""

    def __init__(self, signals: int) -> None:
        super().__init__()
        self._signals = signals
        self.reloads = 0
        self.until = 1
        self.error: Exception | None = None

    async def failed(self) -> None:
        for _ in range(self._signals):
            os.kill(os.getpid(), signal.SIGHUP)
        while self.reloads < self.until:  # noqa: ASYNC110 - a thread counts
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        await super().failed()

    def reload(self) -> None:
        self.reloads += 1
        if self.error is not None:
            raise self.error


def test_settings_are_read_again_at_sighup() -> None:
    made = Hung(1)
    assert service.run("cat2x", lambda: made, reload=made.reload) == 0
    assert made.reloads == 1
    assert made.life == ["entered", "runs", "leaving", "left"]


def test_signals_that_arrive_together_count_once() -> None:
    made = Hung(5)
    assert service.run("cat2x", lambda: made, reload=made.reload) == 0
    assert made.reloads == 1


def test_sighup_without_settings_is_ignored() -> None:
    made = Hung(1)
    made.until = 0
    assert service.run("cat2x", lambda: made) == 0


@pytest.mark.parametrize("error", [ConfigError("no such setting"), KeyError("unexpected")])
def test_an_error_of_the_settings_is_logged(
    caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    made = Hung(1)
    made.error = error
    assert service.run("cat2x", lambda: made, reload=made.reload) == 0
    assert str(error) in caplog.text


def test_sighup_during_a_start_counts_when_it_is_ready() -> None:
    class Early(Hung):
        async def __aenter__(self) -> Self:
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.sleep(0)
            return await super().__aenter__()

    made = Early(0)
    assert service.run("cat2x", lambda: made, reload=made.reload) == 0
    assert made.reloads == 1


def unretrieved(work: Callable[[], Coroutine[Any, Any, None]]) -> list[str]:
    """What a loop reports about exceptions that were never retrieved."""
    reported: list[str] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context["message"]))
        await work()
        gc.collect()

    gc.freeze()  # what is old belongs to no task of this loop
    asyncio.run(run())
    return reported


def test_a_failure_of_work_that_had_to_complete_is_not_reported_as_forgotten() -> None:
    async def work() -> None:
        go = asyncio.Event()

        async def fail() -> None:
            await go.wait()
            raise OSError("no space left")

        task = asyncio.create_task(run_to_completion(fail()))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(task, return_exceptions=True)

    assert unretrieved(work) == []


def test_a_failure_of_shared_work_whose_callers_left_is_not_reported_as_forgotten() -> None:
    async def work() -> None:
        go = asyncio.Event()

        async def fail() -> None:
            await go.wait()
            raise StartError("the connection was closed")

        shared: SingleFlight[int, None] = SingleFlight(cancel_abandoned=False)
        caller = asyncio.create_task(shared.run(1, fail))
        await asyncio.sleep(0)
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        go.set()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not shared

    assert unretrieved(work) == []
