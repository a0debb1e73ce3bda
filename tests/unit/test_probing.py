"""Metrics and readiness cost the same however many ask at once"""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from caterva2.access.views import UserViews
from caterva2.accounts.policy import Policy
from caterva2.names import RootName
from caterva2.runtime.metrics import Gauge, MemoryMetrics, Metrics
from caterva2.runtime.monitoring.exposition import Scrapes
from caterva2.special.roots import SPACES, SpecialRoots
from caterva2.subscriber.monitoring import monitor
from caterva2.subscriber.options import SubscriberOptions
from caterva2.subscriber.service import Subscriber

ROOTS = Gauge("roots", "Roots")
MANY = 30


def test_metrics_are_made_once_for_all_who_ask_meanwhile() -> None:
    async def run() -> None:
        made = 0

        async def report(metrics: Metrics) -> None:
            nonlocal made
            made += 1
            metrics.set(ROOTS, made)

        scrapes = Scrapes(MemoryMetrics())
        left = [asyncio.create_task(scrapes.text(report)) for _ in range(MANY)]
        await asyncio.sleep(0)
        for one in left:
            one.cancel()  # as connections that end
        texts = await asyncio.gather(*(scrapes.text(report) for _ in range(MANY)))
        assert {text.splitlines()[-1] for text in texts} == {"roots 1"}
        assert (await scrapes.text(report)).endswith("roots 2\n")

    asyncio.run(run())


def test_without_accounts_metrics_name_no_root_that_its_publisher_hides(tmp_path: Path) -> None:
    async def run() -> None:
        metrics = MemoryMetrics()
        options = SubscriberOptions(None, tmp_path)
        async with Subscriber.serving(options, metrics=metrics) as subscriber:
            for name in ("hidden", "open"):
                subscriber.monitor.faults.note("broken-file", "it is broken", name)
            subscriber.rights.learned(RootName("hidden"), "x", ["users"])
            roots = SpecialRoots(tmp_path / SPACES, 0, subscriber.pool, subscriber.listeners)
            async with roots as special:
                for policy, hides in ((None, True), (Policy(watched="public"), False)):
                    view = UserViews(subscriber, special, policy).for_user(None)
                    text = await Scrapes(metrics).text(view.report, view.shows_metrics)
                    assert ('root="hidden"' not in text) == hides
                    assert 'root="open"' in text

    asyncio.run(run())


def test_a_disk_that_hangs_holds_one_thread_of_those_who_ask_whether_the_service_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, works = 0, threading.Event()

    def access(*_: object) -> bool:
        nonlocal asked
        asked += 1
        return works.wait(10)

    async def run() -> None:
        async with Subscriber.serving(SubscriberOptions(None, tmp_path)) as subscriber:
            monkeypatch.setattr(monitor.os, "access", access)
            monkeypatch.setattr(monitor, "_ANSWERS", 0.02)
            for _ in range(2):
                unready = [subscriber.monitor.unready() for _ in range(MANY)]
                assert set(await asyncio.gather(*unready)) == {"cache: its disk does not answer"}
            assert asked == 1
            works.set()
            monkeypatch.setattr(monitor, "_ANSWERS", 10)
            assert await subscriber.monitor.unready() == ""

    asyncio.run(run())
