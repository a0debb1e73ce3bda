"""A slow disk is named by a metric, the log and the status of the service whose disk it is"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from keyedworld import FOO, MARKED, World, following

from caterva2.publisher.monitoring import READS
from caterva2.runtime import durable
from caterva2.runtime.metrics import MemoryMetrics
from caterva2.runtime.monitoring.faults import FAULTS
from caterva2.sources.memory import MemorySource

SLOW = 1.2


def test_a_slow_disk_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write, chunks = durable.pwrite, MemorySource.read_bytes

    def slowly(*given: Any) -> Any:
        time.sleep(SLOW)  # this is the fault
        return write(*given)

    def read_slowly(*given: Any) -> Any:
        time.sleep(SLOW)  # this, too
        yield from chunks(*given)

    async def run() -> None:
        async with following(World(tmp_path, keyed=False)) as (_, publisher, sub, _):
            dataset = await sub.dataset(FOO, MARKED)
            await sub.followed(FOO)
            monkeypatch.setattr(MemorySource, "read_bytes", read_slowly)
            monkeypatch.setattr(durable, "pwrite", slowly)
            await dataset.fill()
            monkeypatch.undo()
            status = await sub.monitor.status(lambda _: True, True)
            (problem,) = [one for one in status["problems"] if one["problem"] == "slow-disk"]
            assert str(MARKED) in problem["text"]
            shown = MemoryMetrics()
            await publisher.monitor.report(shown)
            faults = publisher.monitor.metrics.families()
            assert dict(faults[FAULTS][0].labels)["fault"] == "slow-disk"
            assert faults[READS][-2].value >= SLOW
            of_a_reader = await sub.monitor.status(lambda _: True, False)
            assert (of_a_reader["problems"], of_a_reader["cache"]) == ([], None)

    asyncio.run(run())
    named = [message for message in caplog.messages if message.startswith("slow-disk: ")]
    assert any(message.startswith("slow-disk: the cache's disk took 1.") for message in named)
    assert any("reading a part of foo/" in message for message in named)
