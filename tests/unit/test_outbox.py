"""Notes of a broker wait for the disk together, and its beats do not wait for it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence

from caterva2.broker.leases import Registry
from caterva2.broker.outbox import Outbox
from caterva2.names import RootName
from caterva2.wire.messages import Register, RootsNote

COUNT = 300


def notes(registry: Registry, count: int = COUNT) -> list[RootsNote]:
    made: list[RootsNote] = []
    for n in range(count):
        request = Register(
            root=RootName(f"r{registry.seq}"), inst="i", fence=0, endpoints=("tcp://127.0.0.1:1",)
        )
        made += registry.register(request, b"%d" % n, 0.0)[1]
    return made


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - threads set no event
            await asyncio.sleep(0.001)


class SlowDisk:
    """A disk that takes as long as a test wants."""

    def __init__(self) -> None:
        self.writes = 0
        self.go_on = threading.Event()

    def save(self, notes: Sequence[RootsNote]) -> None:
        self.writes += 1
        assert self.go_on.wait(10)


def test_one_write_is_for_all_notes_that_wait() -> None:
    async def run() -> None:
        disk, sent, registry = SlowDisk(), list[RootsNote](), Registry("b", (), 0.0)
        outbox = Outbox(disk.save, sent.append)
        outbox.put(notes(registry, 1))
        working = asyncio.create_task(outbox.run())
        await until(lambda: disk.writes == 1)
        for note in notes(registry):
            outbox.put([note])
        assert (sent, outbox.sent) == ([], 0)
        disk.go_on.set()
        await until(lambda: outbox.sent == registry.seq)
        assert [note.seq for note in sent] == list(range(1, COUNT + 2))
        assert disk.writes == 2
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working

    asyncio.run(run())


def test_notes_are_sent_though_the_disk_fails() -> None:
    def save(notes: Sequence[RootsNote]) -> None:
        raise OSError("disk full")

    async def run() -> None:
        registry = Registry("b", (), 0.0)
        sent: list[RootsNote] = []
        outbox = Outbox(save, sent.append)
        outbox.put([])  # nothing to write
        working = asyncio.create_task(outbox.run())
        for _ in range(2):
            outbox.put(notes(registry, 1))
            await until(lambda: outbox.sent == registry.seq)
        assert len(sent) == 2
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working

    asyncio.run(run())
