"""A publisher's lease: its messages, its file, and when another's is waited for."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from caterva2.errors import RootTaken
from caterva2.names import RootName
from caterva2.publisher.lease import (
    RENEWAL_CHECK,
    ExpiryWait,
    Lease,
    LeaseFile,
    LeaseKeeper,
    SavedLease,
)
from caterva2.runtime.statedir import StateDir
from caterva2.wire import messages

FOO = RootName("foo")


def taken(lease_ms: object) -> RootTaken:
    return RootTaken("root foo is published by another", info={"lease_ms": lease_ms})


def test_a_copied_state_directory_gives_back_no_lease_of_the_one_that_it_was_copied_from(
    tmp_path: Path,
) -> None:
    with StateDir(tmp_path / "original") as original:
        LeaseFile(original.path / "lease.json", FOO, original.identity).write(SavedLease("i", 4))
        shutil.copytree(original.path, tmp_path / "copy", copy_function=shutil.copy2)
        with StateDir(tmp_path / "copy") as copy:
            copied = LeaseFile(copy.path / "lease.json", FOO, copy.identity).read()
    assert copied == SavedLease("", 4)
    with StateDir(tmp_path / "original") as again:  # after a kill, say
        read = LeaseFile(again.path / "lease.json", FOO, again.identity).read()
    assert read == SavedLease("i", 4)


def test_a_lease_is_registered_with_the_fence_of_the_former_run() -> None:
    lease = Lease(FOO, "i2", "tcp://h:1", 5.0, SavedLease("i1", 7))
    request = lease.registration()
    assert (request.root, request.inst, request.fence) == (FOO, "i2", 7)
    assert (request.endpoints, request.ttl_ms) == (("tcp://h:1",), 5_000)
    former = lease.return_of(lease.former_inst)
    assert (former.root, former.inst, former.fence) == (FOO, "i1", 7)


def test_notes_and_the_file_follow_the_fence() -> None:
    lease = Lease(FOO, "i", "tcp://h:1", 10.0, SavedLease())
    lease.fence = 3
    beat = lease.beat(rev=12)
    assert (beat.root, beat.inst, beat.fence, beat.rev) == (FOO, "i", 3, 12)
    assert lease.saved == SavedLease("i", 3)


def test_a_holder_that_renews_is_not_waited_for() -> None:
    wait = ExpiryWait()
    assert wait.pause(taken(10_000)) == RENEWAL_CHECK
    assert wait.pause(taken(9_900)) is None


def test_a_holder_that_does_not_renew_is_waited_for_until_its_lease_expires() -> None:
    wait, left, waited = ExpiryWait(), 10.0, 0.0
    while left > 0:
        pause = wait.pause(taken(int(left * 1000)))
        assert pause is not None
        assert 0 < pause <= RENEWAL_CHECK
        left -= pause
        waited += pause
    assert waited == pytest.approx(10.0)


def test_a_refusal_without_a_time_is_asked_again_at_once() -> None:
    """As of an older broker; the next refusal is final then."""
    wait = ExpiryWait()
    refused = RootTaken("no")
    assert wait.pause(refused) == pytest.approx(0.1)
    assert wait.pause(refused) is None


def test_the_file_outlives_the_publisher(tmp_path: Path) -> None:
    file = LeaseFile(tmp_path / "lease.json", FOO)
    assert file.read() == SavedLease("", 0)
    file.write(SavedLease("i", 4))
    assert LeaseFile(tmp_path / "lease.json", FOO).read() == SavedLease("i", 4)
    # The format that state directories have.
    saved = json.loads((tmp_path / "lease.json").read_bytes())
    assert saved == {"format": 2, "root": "foo", "inst": "i", "fence": 4, "place": ""}


def test_the_lease_of_another_root_does_not_count(tmp_path: Path) -> None:
    LeaseFile(tmp_path / "lease.json", FOO).write(SavedLease("i", 4))
    assert LeaseFile(tmp_path / "lease.json", RootName("bar")).read() == SavedLease()


def test_a_file_that_can_not_be_written_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    LeaseFile(tmp_path / "nowhere" / "lease.json", FOO).write(SavedLease("i", 4))
    assert "lease.json can't be written" in caplog.text


class Link:
    """A broker that grants the lease once, and is not reached again."""

    def __init__(self) -> None:
        self.granted = asyncio.Event()

    def connect(self, xsub: str) -> None:
        pass

    def announce(self, note: messages.RootNote) -> None:
        pass

    async def hello(self) -> messages.BrokerHello:
        if self.granted.is_set():
            await asyncio.Event().wait()
        return messages.BrokerHello(id=1, binst="b", xsub="tcp://h:1", xpub="tcp://h:2")

    async def register(self, request: messages.Register) -> messages.Registered:
        self.granted.set()
        return messages.Registered(
            id=1, root=FOO, fence=0, lease_ms=60_000, beat_ms=60_000, binst="b"
        )


def test_a_keeper_ends_whenever_the_broker_is_lost_meanwhile(tmp_path: Path) -> None:
    """A cancellation at the moment at which something is heard is not lost."""

    async def ends(turns: int) -> bool:
        link: Any = Link()
        lost, lease = asyncio.Event(), Lease(FOO, "i", "tcp://h:1", 10.0, SavedLease())
        file = LeaseFile(tmp_path / "lease.json", FOO)
        keeper = LeaseKeeper(lease, file, link, lost, link, lambda: 0)
        task = asyncio.create_task(keeper.hold())
        await link.granted.wait()
        lost.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=1)
        ended = task.cancelled()
        task.cancel()
        return ended

    async def run() -> list[bool]:
        return [await ends(turns) for turns in range(6)]

    assert all(asyncio.run(run()))


class Beats(Link):
    """A broker that renews the lease each time, and counts."""

    def __init__(self, lease_ms: int) -> None:
        super().__init__()
        self.lease_ms, self.beats, self.registrations = lease_ms, 0, 0
        self.enough = asyncio.Event()

    def announce(self, note: messages.RootNote) -> None:
        self.beats += 1
        if self.beats > 9:
            self.enough.set()

    async def register(self, request: messages.Register) -> messages.Registered:
        self.registrations += 1
        return messages.Registered(
            id=1, root=FOO, fence=0, lease_ms=self.lease_ms, beat_ms=50, binst="b"
        )


@pytest.mark.parametrize(("lease_ms", "most", "least"), [(60_000, 7, 2), (250, 10, 5), (0, 20, 5)])
def test_beats_renew_the_lease_between_registrations(
    tmp_path: Path, lease_ms: int, most: int, least: int
) -> None:
    async def run() -> int:
        link: Any = Beats(lease_ms)
        lease = Lease(FOO, "i", "tcp://h:1", 10.0, SavedLease())
        file = LeaseFile(tmp_path / "lease.json", FOO)
        keeper = LeaseKeeper(lease, file, link, asyncio.Event(), link, lambda: 0)
        task = asyncio.create_task(keeper.hold())
        await link.enough.wait()
        task.cancel()
        await asyncio.wait({task})
        return int(link.registrations)

    assert least <= asyncio.run(run()) <= most


class Granting(Link):
    """A broker that grants another fence each time."""

    async def register(self, request: messages.Register) -> messages.Registered:
        fence = request.fence + 1
        return messages.Registered(
            id=1, root=FOO, fence=fence, lease_ms=60_000, beat_ms=50, binst="b"
        )


def test_a_renewal_that_grants_another_fence_counts_at_once(tmp_path: Path) -> None:
    """Notes under the former one are not forwarded any more."""
    link: Any = Granting()
    lease = Lease(FOO, "i", "tcp://h:1", 10.0, SavedLease("", 4))
    file = LeaseFile(tmp_path / "lease.json", FOO)

    async def run() -> None:
        await LeaseKeeper(lease, file, link, asyncio.Event(), link, lambda: 0).renew()

    asyncio.run(run())
    assert (lease.fence, file.read().fence) == (5, 5)
