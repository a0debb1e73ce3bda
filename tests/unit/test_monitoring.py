"""Faults are counted, logged and remembered within bounds; stalls are recent for a while"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from caterva2.errors import Busy, Damaged, SourceCorrupt
from caterva2.names import RootName
from caterva2.runtime.metrics import MemoryMetrics
from caterva2.runtime.monitoring import faults as module
from caterva2.runtime.monitoring import process
from caterva2.runtime.monitoring.faults import FAULTS, KEPT, REMEMBERED, Faults
from caterva2.runtime.monitoring.loop_delay import LONGEST_STALL, LoopDelay
from caterva2.signing.checks import Forged
from caterva2.subscriber.fetch.traffic import SLOW_DISK, SLOW_LINK, Traffic
from caterva2.subscriber.monitoring.measured import READS
from caterva2.subscriber.options import SubscriberOptions
from caterva2.subscriber.service import Subscriber


def test_a_fault_is_counted_each_time_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    metrics = MemoryMetrics()
    faults = Faults(metrics)
    for n in range(5):
        faults.note("slow-disk", f"{n} s", "foo")
    faults.note("slow-disk", "other", "bar")
    (fault,) = [one for one in faults.recent() if one.root == "foo"]
    assert (fault.kind, fault.text, fault.count) == ("slow-disk", "4 s", 5)
    assert [sample.value for sample in metrics.families()[FAULTS]] == [1, 5]
    assert caplog.messages == ["slow-disk: 0 s", "slow-disk: other"]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_a_fault_that_goes_on_is_logged_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(module.time, "time", lambda: now)
    faults = Faults()
    faults.note("refused", "a")
    faults.note("refused", "b")
    now += module.QUIET + 1
    faults.note("refused", "c")
    assert caplog.messages == ["refused: a", "refused: c (3 so far)"]
    now += REMEMBERED + 1
    assert faults.recent() == []
    faults.note("refused", "d")
    assert faults.recent()[0].count == 1


def test_faults_of_many_roots_take_no_more_memory_than_a_bound() -> None:
    faults = Faults()
    for n in range(2 * KEPT):
        faults.note("broken-file", "x", f"root{n}")
    recent = faults.recent()
    assert len(recent) == KEPT
    assert recent[0].root == f"root{2 * KEPT - 1}"


def test_what_is_slow_or_broken_becomes_a_fault() -> None:
    faults = Faults(MemoryMetrics())
    traffic = Traffic("foo", faults)
    traffic.stored(SLOW_DISK / 2, "a")
    traffic.waited(SLOW_LINK / 2, "a")
    traffic.retried(Busy("full"))
    traffic.failed(Busy("full"))
    assert faults.recent() == []
    assert (traffic.retries, traffic.failures) == ({"busy": 1}, {"busy": 1})
    traffic.stored(2 * SLOW_DISK, "a")
    traffic.waited(2 * SLOW_LINK, "b")
    traffic.refused("No space left on device", "c")
    traffic.retried(Damaged("d was damaged in transfer"))
    traffic.failed(SourceCorrupt("e can't be decoded"))
    traffic.failed(Forged("chunk 0 of f is not signed by the origin of foo"))
    assert [(one.kind, one.root) for one in reversed(faults.recent())] == [
        ("slow-disk", ""), ("slow-link", "foo"), ("cache-full", ""), ("damaged-transfer", "foo"),
        ("broken-file", "foo"), ("not-signed", "foo"),
    ]  # fmt: skip


def test_a_stall_is_recent_for_seconds_and_the_longest_for_ever() -> None:
    metrics = MemoryMetrics()
    delay = LoopDelay(metrics)
    delay.record(100.0, 0.01)
    assert delay.lately(100.0) == 0.0
    delay.record(101.0, 7.0)
    delay.record(102.0, 0.5)
    assert (delay.lately(103.0), delay.lately(111.5), delay.lately(113.0)) == (7.0, 0.5, 0.0)
    assert metrics.families()[LONGEST_STALL][0].value == 7.0


def test_processor_time_of_the_process_only_grows() -> None:
    first, second = MemoryMetrics(), MemoryMetrics()
    process.report(first)
    sum(range(10**6))
    process.report(second)
    assert 0 < first.families()[process.CPU][0].value < second.families()[process.CPU][0].value


def test_metrics_of_many_roots_hold_up_no_request(tmp_path: Path) -> None:
    async def run() -> None:
        metrics = MemoryMetrics()
        options = SubscriberOptions(None, tmp_path)
        async with Subscriber.serving(options, metrics=metrics) as subscriber:
            for n in range(300):
                await subscriber._root(RootName(f"root{n}"))
            shown, steps = metrics.copy(), 0
            reporting = asyncio.create_task(subscriber.monitor.report(shown))
            while not reporting.done():
                await asyncio.sleep(0)
                steps += 1
            assert steps > 10  # the loop ran on
            assert len(shown.families()[READS]) == 600

    asyncio.run(run())
