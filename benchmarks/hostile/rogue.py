"""Publishers that answer what no publisher should, to a subscriber that asks them."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator

import zmq

from benchmarks.hostile.target import Asking, Target
from benchmarks.hostile.wire import context, register
from caterva2.model import Entry
from caterva2.names import DatasetPath, RootName
from caterva2.wire import codec, messages
from caterva2.wire.sockets import Context

Answers = Callable[[messages.DataRequest, RootName], Iterator[list[codec.Buffer]]]
PAGES = 4000
ROOTS = 400
RENEWING_S = 2


class Rogues:
    """Publishers of some roots, all of them in one thread, which renew their leases."""

    def __init__(self, made: Context, target: Target, roots: int, answers: Answers) -> None:
        self._answers = answers
        self._poller, self._roots = zmq.Poller(), {}
        self._asking, self._leases = Asking(made, target.control, codec.control_replies), []
        self._renewed = time.monotonic()
        for n in range(roots):
            server = made.socket(zmq.ROUTER)
            server.linger = 0
            port = server.bind_to_random_port("tcp://127.0.0.1")
            self._poller.register(server, zmq.POLLIN)
            self._roots[server] = RootName(f"rogue{n}")
            self._leases.append(register(f"rogue{n}", f"tcp://127.0.0.1:{port}"))
            granted = self._asking.ask(self._leases[-1])
            self.granted = n + (granted.type == "registered")
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(zmq.ZMQError):  # the context is gone
            while True:
                self._answer()

    def _answer(self) -> None:
        if time.monotonic() > self._renewed + RENEWING_S:
            self._renewed = time.monotonic()
            for lease in self._leases:
                self._asking.send(lease)
        for server, _ in self._poller.poll(RENEWING_S * 1000):
            peer, *frames = server.recv_multipart()
            try:
                request = codec.data_requests(frames)
            except Exception:  # noqa: BLE001 - whatever else is sent
                continue
            for reply in self._answers(request, self._roots[server]):
                server.send_multipart([peer, *reply])


def hello(request: messages.DataRequest, root: RootName) -> list[codec.Buffer]:
    """Answer a hello as it should be."""
    return codec.encode(
        messages.PublisherHello(id=request.id, inst="rogue", fence=1, root=root, rev=1)
    )


def _page(request: messages.DataRequest, names: list[str], cursor: str) -> list[codec.Buffer]:
    entries = tuple(
        Entry(path=DatasetPath(name), kind="file", etag="e", size=1, mtime=1.0) for name in names
    )
    return codec.encode(
        messages.Catalog(
            id=request.id, inst="rogue", rev=1, full=True, entries=entries, cursor=cursor
        )
    )


def endless_catalog(target: Target) -> str:
    """Send pages of long names without an end."""
    pages = 0

    def answers(request: messages.DataRequest, root: RootName) -> Iterator[list[codec.Buffer]]:
        nonlocal pages
        if isinstance(request, messages.Hello):
            yield hello(request, root)
        elif isinstance(request, messages.CatalogRequest):
            pages += 1
            names = [f"{pages:07}-{n:04}-{'x' * 950}" for n in range(900)]
            yield _page(request, names, names[-1] if pages < PAGES else "")

    return _listed(target, answers, lambda: f"{pages} pages of 0.9 MB")


def endless_frames(target: Target) -> str:
    """Send frames of 300 MB that nobody asked for."""
    sent = 0
    payload = bytes(300_000_000)

    def answers(request: messages.DataRequest, root: RootName) -> Iterator[list[codec.Buffer]]:
        nonlocal sent
        if isinstance(request, messages.Hello):
            yield hello(request, root)
        elif isinstance(request, messages.CatalogRequest):
            sent += 1
            yield [*_page(request, ["a"], ""), payload]

    return _listed(target, answers, lambda: f"{sent} frames of 300 MB")


def _listed(target: Target, answers: Answers, said: Callable[[], str]) -> str:
    with context() as made:
        Rogues(made, target, 1, answers)
        began = time.monotonic()
        status, body = 404, b""
        while status == 404 and time.monotonic() - began < 20:  # the subscriber hears of it soon
            status, body = target.get("api/list/rogue0", timeout=60)
        took = time.monotonic() - began
        why = json.loads(body).get("detail", "")[:90] if status >= 400 else ""
        return f"{said()}; {status} after {took:.1f} s {why}".rstrip()


def many_roots(target: Target) -> str:
    """Publish many roots, and list all of them."""

    def answers(request: messages.DataRequest, root: RootName) -> Iterator[list[codec.Buffer]]:
        if isinstance(request, messages.Hello):
            yield hello(request, root)
        elif isinstance(request, messages.CatalogRequest):
            yield _page(request, ["a"], "")

    with context() as made:
        rogues = Rogues(made, target, ROOTS, answers)
        time.sleep(1)
        listed = [target.get(f"api/list/rogue{n}")[0] for n in range(rogues.granted)]
        return f"{listed.count(200)} of {ROOTS} roots listed"
