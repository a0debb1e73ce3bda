"""A broker: its lease table and what its control socket answers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq
from wiretools import ANY, LIMIT, until, zmq_context

from caterva2.broker.leases import Registry
from caterva2.broker.record import Record
from caterva2.broker.roots_log import RootsLog
from caterva2.broker.service import Broker, BrokerOptions, forget
from caterva2.errors import BadMessage, CatervaError, Fenced, NotFound, RootTaken, StartError
from caterva2.limits import DEFAULTS, Limits, constants
from caterva2.names import RootName
from caterva2.publisher.service import Publisher, PublisherOptions
from caterva2.sources.memory import MemorySource
from caterva2.wire import codec
from caterva2.wire import messages as m
from caterva2.wire.requester import Requester

FOO = RootName("foo")


def register(name: str = "foo", inst: str = "i", fence: int = 0, **more: Any) -> m.Register:
    options = {"endpoints": ("tcp://127.0.0.1:1",)} | more
    return m.Register(root=RootName(name), inst=inst, fence=fence, **options)


def test_a_fence_can_not_be_driven_over_its_bound() -> None:
    registry = Registry("b", (), 0.0)
    with contextlib.suppress(CatervaError):
        registry.register(register(fence=constants.FENCE - 1), b"peer", 0.0)
    registry.expire(1e9)
    granted, _ = registry.register(register(inst="other"), b"other", 1e9)
    assert granted.root == FOO


def test_a_renewal_can_not_drive_it_there_either() -> None:
    registry = Registry("b", (), 0.0)
    registry.register(register(), b"peer", 0.0)
    with contextlib.suppress(CatervaError):
        registry.register(register(fence=constants.FENCE - 1), b"peer", 0.0)
    granted, _ = registry.register(register(), b"peer", 0.0)
    assert granted.root == FOO
    registry.expire(1e9)
    registry.register(register(inst="other"), b"other", 1e9)


def test_snapshot_parts_of_the_largest_roots_fit() -> None:
    registry = Registry("b" * 16, (), 0.0)
    endpoints = tuple("tcp://" + "h" * 248 + f":{n}" for n in range(1, 9))
    for n in range(constants.SNAPSHOT_ROOTS):
        request = register(f"{n:064}", inst="i" * 64, endpoints=endpoints)
        registry.register(request, b"%d" % n, 0.0)
    parts = registry.snapshot(1)
    for part in parts:
        codec.encode(part)
    assert sum(len(part.roots) for part in parts) == constants.SNAPSHOT_ROOTS


HOSTILE = {
    "unknown": msgpack.packb({"type": "nothing", "id": 1}),
    "bool-id": msgpack.packb({"type": "nothing", "id": True}),
    "fence": msgpack.packb(
        {"type": "register", "root": "foo", "inst": "i", "fence": 2**63 - 1, "id": 1,
         "endpoints": ["tcp://h:1"]}
    ),
    "not-held": msgpack.packb(
        {"type": "unregister", "root": "foo", "inst": "j", "fence": 1, "id": 2}
    ),
    "version": msgpack.packb({"type": "hello", "versions": [99], "id": 3}),
    "no-msgpack": b"\xc1",
    "long": bytes(constants.CONTROL_FRAME),
}  # fmt: skip


@pytest.mark.parametrize("header", HOSTILE.values(), ids=HOSTILE)
def test_the_broker_survives_what_it_is_sent(tmp_path: Path, header: bytes) -> None:
    """It tells an error, and answers a plain ping of the same connection after it."""

    async def run() -> None:
        failures: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: failures.append(what))
        async with broker(tmp_path) as endpoint:
            with zmq_context() as context, raw_dealer(context, endpoint) as dealer:
                for frames in ([codec.MAGIC, header], codec.encode(m.Ping(id=9))):
                    dealer.send_multipart(frames)
                    await until(lambda: bool(failures) or bool(dealer.poll(0)))
                    assert failures == []
                    reply = codec.control_replies(dealer.recv_multipart())
                assert reply == m.Pong(id=9, binst=reply.binst)

    asyncio.run(run())


@pytest.mark.parametrize(
    "frames",
    [[b"x"], [b"x", b"y"], [b"C2P\x02", msgpack.packb({"type": "ping"})], [b"", b"", b""]],
)
def test_what_is_not_ours_gets_no_answer(tmp_path: Path, frames: list[bytes]) -> None:
    async def run() -> None:
        async with broker(tmp_path) as endpoint:
            with zmq_context() as context, raw_dealer(context, endpoint) as dealer:
                dealer.send_multipart(frames)
                dealer.send_multipart(codec.encode(m.Ping(id=9)))
                await until(lambda: bool(dealer.poll(0)))
                assert codec.control_replies(dealer.recv_multipart()).id == 9

    asyncio.run(run())


def test_the_first_holder_keeps_a_root(tmp_path: Path) -> None:
    async def run() -> None:
        async with broker(tmp_path) as endpoint:
            with zmq_context() as context:
                requester: Requester[Any] = Requester(
                    context, endpoint, codec.control_replies, "requester"
                )
                try:
                    first = await requester.ask(register(), LIMIT)
                    assert (first.fence, first.lease_ms) == (1, 10_000)
                    again = await requester.ask(register(), LIMIT)
                    assert again.fence == 1
                    with pytest.raises(RootTaken, match=r"i at tcp://127\.0\.0\.1:1"):
                        await requester.ask(register(inst="j", takeover=True), LIMIT)
                    with pytest.raises(Fenced):
                        await requester.ask(m.Unregister(root=FOO, inst="j", fence=1), LIMIT)
                    given = await requester.ask(m.Unregister(root=FOO, inst="i", fence=1), LIMIT)
                    assert given.type == "pong"
                    second = await requester.ask(register(inst="j"), LIMIT)
                    assert second.fence == 2
                    snapshot = await requester.ask(m.SnapshotRequest(), LIMIT)
                    assert [(root.inst, root.fence) for root in snapshot.roots] == [("j", 2)]
                    assert (snapshot.seq, snapshot.complete) == (3, True)
                finally:
                    await asyncio.to_thread(requester.close)

    asyncio.run(run())


def test_a_publisher_that_lost_its_lease_registers_anew(tmp_path: Path) -> None:
    """As after it was suspended: the broker is the same, but the lease is gone."""
    limits = replace(DEFAULTS, broker=replace(DEFAULTS.broker, beat=0.02))

    async def run() -> None:
        options = BrokerOptions(ANY, ANY, ANY, tmp_path / "bro")
        source = MemorySource()
        source.put("README.md", b"hello")
        async with Broker.serving(options, limits) as bro:
            leases = bro.registry._leases
            where = PublisherOptions(FOO, bro.endpoint, ANY, None, tmp_path / "pub")
            async with Publisher.serving(where, lambda: source, limits) as pub:
                await until(lambda: FOO in leases)
                await until(lambda: pub.lease.fence == 1)
                bro.registry.expire(1e12)
                assert FOO not in leases
                async with asyncio.timeout(3):
                    await until(lambda: FOO in leases)
                await until(lambda: pub.lease.fence == 2)
            assert FOO not in leases

    asyncio.run(run())


@contextlib.asynccontextmanager
async def broker(directory: Path) -> Any:
    """A broker's control endpoint."""
    async with Broker.serving(BrokerOptions(ANY, ANY, ANY, directory / "bro")) as made:
        yield made.endpoint.endpoint


@contextlib.contextmanager
def raw_dealer(context: Any, endpoint: str) -> Any:
    with context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        dealer.connect(endpoint)
        yield dealer


def test_beats_go_on_while_many_roots_wait_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that came while it was busy are written together, and announced after that only."""
    count, flushed, fsync = 500, list[int](), os.fsync
    busy, go_on = threading.Event(), threading.Event()

    def slow(fd: int) -> None:
        if busy.is_set():
            assert go_on.wait(LIMIT)
            flushed.append(fd)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", slow)

    async def run() -> None:
        options = BrokerOptions(ANY, ANY, ANY, tmp_path / "bro")
        limits = Limits(broker=replace(DEFAULTS.broker, address_roots=count, beat=0.05))
        async with Broker.serving(options, limits) as bro:
            with zmq_context() as context, context.socket(zmq.SUB) as sub:
                sub.subscribe(codec.ROOTS_TOPIC)
                sub.connect(bro._bound.xpub.address.endpoint)

                async def note() -> m.RootsNote:
                    await until(lambda: bool(sub.poll(0)))
                    return codec.roots_notes(sub.recv_multipart()[1:])

                busy.set()
                with raw_dealer(context, bro.endpoint.endpoint) as dealer:
                    for n in range(count):
                        dealer.send_multipart(codec.encode(register(f"r{n}", inst=f"i{n}")))
                    await until(lambda: bro.registry.seq == count)
                    while sub.poll(0):  # beats from before
                        sub.recv_multipart()
                    assert isinstance(beat := await note(), m.BrokerBeat)
                    assert beat.seq == 0
                    go_on.set()
                    while (await note()).seq < count:
                        pass

    asyncio.run(run())
    assert len(flushed) <= 4  # two writes, each of a file and its directory
    assert len(RootsLog(tmp_path / "bro").read()) == count


def test_one_address_registers_no_more_than_its_share(tmp_path: Path) -> None:
    """Though each name comes over a connection of its own."""

    async def run() -> None:
        limits = Limits(broker=replace(DEFAULTS.broker, address_roots=3))
        options = BrokerOptions(ANY, ANY, ANY, tmp_path / "bro")
        async with Broker.serving(options, limits) as bro:
            with zmq_context() as context:
                for n in range(4):
                    with raw_dealer(context, bro.endpoint.endpoint) as dealer:
                        dealer.send_multipart(codec.encode(register(f"r{n}", inst=f"i{n}")))
                        await until(lambda dealer=dealer: bool(dealer.poll(0)))
                        reply = codec.control_replies(dealer.recv_multipart())
                        assert isinstance(reply, m.Registered if n < 3 else m.Error)
                assert reply.name == "too-large"
                assert "127.0.0.1 has registered ADDRESS_ROOTS (3)" in reply.detail

    asyncio.run(run())


def test_claimed_fence_that_leaps_does_not_use_a_name_up() -> None:
    """For a new name, for one that is held, and in a renewal."""
    registry = Registry("b", (), 0.0)
    granted, _ = registry.register(register(fence=constants.FENCE - 2), b"peer", 0.0)
    assert granted.fence == 1
    renewed, _ = registry.register(register(fence=constants.FENCE - 2), b"peer", 0.0)
    assert renewed.fence == 1
    registry.expire(1e9)
    step, _ = registry.register(register(fence=1 + constants.FENCE_LEAP), b"peer", 1e9)
    assert step.fence == constants.FENCE_LEAP + 2


def test_forgotten_name_can_be_registered_again(tmp_path: Path) -> None:
    with contextlib.closing(RootsLog(tmp_path)) as roots_log:
        roots_log.write([
            Record(root=FOO, fence=constants.FENCE - 1), Record(root=RootName("bar"), fence=7),
        ])  # fmt: skip
    with pytest.raises(NotFound, match="no root baz"):
        forget(tmp_path, [FOO, RootName("baz")], DEFAULTS.broker)
    burnt = Registry("b", RootsLog(tmp_path).read(), 0.0)
    with pytest.raises(BadMessage, match="cat2bro --forget foo"):
        burnt.register(register(), b"peer", 0.0)
    forget(tmp_path, [FOO], DEFAULTS.broker)
    mended = Registry("b", RootsLog(tmp_path).read(), 0.0)
    assert mended.register(register(), b"peer", 0.0)[0].fence == 1
    assert mended.register(register("bar"), b"other", 0.0)[0].fence == 8


def test_nothing_is_forgotten_under_a_running_broker(tmp_path: Path) -> None:
    async def run() -> None:
        async with broker(tmp_path):
            with pytest.raises(StartError, match="in use"):
                forget(tmp_path / "bro", [FOO], DEFAULTS.broker)

    asyncio.run(run())
