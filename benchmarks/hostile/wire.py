"""Attacks on the sockets of broker and publisher, by a stranger who speaks the protocol."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import zmq

from benchmarks.hostile.target import SECONDS, Asking, Target, address
from caterva2.names import DatasetPath, RootName
from caterva2.wire import codec, messages, sockets

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16 + 1 + 31)
READY = b"\x04\x1c\x05READY\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER"
MORE_LONG = 3
ENOUGH = 2**29
"""Bytes after which a connection was not ended in time."""


@contextlib.contextmanager
def context() -> Iterator[sockets.Context]:
    made: sockets.Context = zmq.Context()
    made.set(zmq.MAX_SOCKETS, 4000)
    try:
        yield made
    finally:
        made.destroy(linger=0)


def register(root: str, endpoint: str, inst: str = "rogue", fence: int = 1) -> messages.Register:
    """A request whose values are not checked here."""
    return messages.Register.model_construct(
        root=RootName(root), inst=inst, fence=fence, endpoints=(endpoint,)
    )


def answer_of(asking: Asking, request: messages.Request) -> str:
    """The type of an answer, or the text of an error."""
    reply = asking.ask(request)
    return f"{reply.name}: {reply.detail}" if reply.type == "error" else str(reply.type)


def unfinished(target: Target) -> str:
    """Send frames of messages that do not end to broker and publisher."""
    sent: dict[str, list[int]] = {}
    places = ("broker", target.control, 30_000), ("publisher", target.data, 500_000)
    for name, where, size in places:
        sent[name] = [_endless(where, size) for _ in range(3)]
    ends = ", ".join(f"{name} after {max(n) / 1e6:.0f} MB" for name, n in sent.items())
    return f"ended by the {ends} at most"


def _endless(where: str, size: int) -> int:
    frame, sent = bytes((MORE_LONG,)) + struct.pack(">Q", size) + bytes(size), 0
    with contextlib.suppress(OSError), socket.create_connection(address(where), 20) as peer:
        peer.settimeout(20)
        peer.sendall(GREETING + READY)
        while b"READY" not in peer.recv(1000):
            pass
        while sent < ENOUGH:
            peer.sendall(frame)
            sent += len(frame)
            time.sleep(len(frame) / 60e6)
    return sent


def topics(target: Target) -> str:
    """Subscribe to very many topics, and to long ones."""
    with context() as made:
        hello = Asking(made, target.control, codec.control_replies).ask(messages.Hello())
        peers = [made.socket(zmq.SUB) for _ in range(200)]
        for n, peer in enumerate(peers):
            peer.connect(hello.xpub)
            for topic in range(20):
                peer.subscribe(f"{n}.{topic}.".encode() + b"t" * (9000 if n % 2 else 50))
        many = made.socket(zmq.SUB)
        many.connect(hello.xpub)
        for topic in range(100_000):
            many.subscribe(str(topic).encode())
        time.sleep(SECONDS)
        began = time.monotonic()
        Asking(made, target.control, codec.control_replies).ask(messages.Ping())
        return f"104,000 topics; a ping took {(time.monotonic() - began) * 1e3:.0f} ms"


def lazy_readers(target: Target) -> str:
    """Ask for chunks on many connections, and take nothing."""
    with context() as made:
        asking = Asking(made, target.data, codec.data_replies)
        info = asking.ask(messages.InfoRequest(path=DatasetPath("B.b2nd"), rights=""))
        for _ in range(12):
            peer = made.socket(zmq.DEALER)
            peer.rcvhwm, peer.rcvbuf = 1, 4096
            peer.connect(f"tcp://{target.data}")
            for n in range(32):
                request = messages.ChunksRequest(
                    path=info.path, etag=info.etag, n=tuple(range(200)), deadline_ms=600_000,
                    rights="", id=n,
                )  # fmt: skip
                peer.send_multipart(codec.encode(request))
        time.sleep(SECONDS)
        found: Counter[str] = Counter()
        for n in range(20):
            status, _ = target.get(f"api/fetch/{target.root}/B.b2nd?slice_={n}")
            found[str(status)] += 1
        return f"12 x 32 requests that are not taken; others {dict(found)}"


def forged_change(target: Target) -> str:
    """Say that all datasets were deleted, in the name of the publisher."""
    with context() as made:
        asking = Asking(made, target.control, codec.control_replies)
        xsub = asking.ask(messages.Hello()).xsub
        found = _lease(asking, target.root)
        hello = Asking(made, target.data, codec.data_replies).ask(messages.Hello())
        names = _names(target)
        peer = made.socket(zmq.PUB)
        peer.connect(xsub)
        time.sleep(1)
        for n, name in enumerate(names):
            change = messages.Change(
                root=found.root, inst=found.inst, fence=found.fence, rev=hello.rev + n + 1,
                op="delete", path=DatasetPath(name),
            )  # fmt: skip
            peer.send_multipart([codec.root_topic(found.root), *codec.encode(change)])
        began, least = time.monotonic(), len(names)
        while (now := _count(target)) < len(names) or time.monotonic() - began < 2:
            least = min(least, now)
            if time.monotonic() - began > 60:
                return f"{least} of {len(names)} datasets left, **for good**"
            time.sleep(0.05)
        took = time.monotonic() - began
        return f"{least} of {len(names)} datasets left for a moment, all after {took:.1f} s"


def _names(target: Target) -> list[str]:
    return list(json.loads(target.get(f"api/list/{target.root}")[1]))


def _count(target: Target) -> int:
    return len(_names(target))


def _lease(asking: Asking, root: str) -> Any:
    snapshot = asking.ask(messages.SnapshotRequest())
    return next(one for one in snapshot.roots if one.root == root)


def burnt_name(target: Target) -> str:
    """Register a name with the largest fence, and then as an honest publisher does."""
    with context() as made:
        asking = Asking(made, target.control, codec.control_replies)
        granted = asking.ask(register("climate", "tcp://127.0.0.1:9", fence=2**53 - 2))
        first = f"fence {granted.fence:,}"
        asking.ask(messages.Unregister(root=RootName("climate"), inst="rogue", fence=granted.fence))
        second = answer_of(asking, register("climate", "tcp://127.0.0.1:9", "honest", 0))
        return f"{first}; then the honest one: {second}"


def lease_theft(target: Target) -> str:
    """Register and give back a root with the name of its holder's process."""
    with context() as made:
        asking = Asking(made, target.control, codec.control_replies)
        found = _lease(asking, target.root)
        stolen = register(target.root, "tcp://127.0.0.1:9", found.inst, found.fence)
        first = answer_of(asking, stolen)
        moved = _lease(asking, target.root).endpoints != found.endpoints
        asking.ask(messages.Unregister(root=found.root, inst=found.inst, fence=found.fence))
        began = time.monotonic()
        while not _is_back(asking, found):
            if time.monotonic() - began > 60:
                return f"{first}; **not back**"
            time.sleep(0.05)
        took = time.monotonic() - began
        where = "moved" if moved else "not moved"
        return f"{first}; {where}, the holder is back after {took:.1f} s"


def _is_back(asking: Asking, found: Any) -> bool:
    roots = asking.ask(messages.SnapshotRequest()).roots
    return any((one.root, one.endpoints) == (found.root, found.endpoints) for one in roots)


def foreign_endpoints(target: Target) -> str:
    """Register addresses to which no subscriber should connect."""
    hosts = (
        "169.254.169.254:80", "*:1", "0.0.0.0:1", "127.0.0.1:0", "127.0.0.1:99999",
        "a;127.0.0.1:80", "[::]:1", "224.0.0.1:5", "0x7f.1:80", "2130706433:80",
    )  # fmt: skip
    with context() as made:
        asking = Asking(made, target.control, codec.control_replies)
        taken = [
            host for n, host in enumerate(hosts)
            if answer_of(asking, register(f"ssrf{n}", f"tcp://{host}")) == "registered"
        ]  # fmt: skip
        also = f"; taken: {', '.join(taken)}" if taken else ""
        return f"{len(hosts) - len(taken)} of {len(hosts)} refused{also}"


def many_names(target: Target) -> str:
    """Register as many roots as the broker grants."""
    with context() as made:
        asking = Asking(made, target.control, codec.control_replies)
        found: Counter[str] = Counter()
        for n in range(20_000):
            asking.send(register(f"name{n}", "tcp://127.0.0.1:9"))
            if n % 100 == 99:
                found.update(asking.receive().type for _ in range(100))
        began = time.monotonic()
        asking.ask(messages.Ping())
        took = (time.monotonic() - began) * 1e3
        return f"{found['registered']:,} of 20,000 granted; a ping took {took:.0f} ms"
