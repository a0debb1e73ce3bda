"""A subscriber killed while users write: each name has the old or the new state."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import blosc2
import numpy as np
import pytest

import caterva2
from tests.conftest import Stack, eventually
from tests.web.places import Places, form

ROWS = 5_000


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Places]:
    stack = Stack(tmp_path)
    stack.secret = "keeps sessions"
    made = Places(stack)
    try:
        made.add_users("ann")
        yield made
    finally:
        stack.stop_all()


def frame(value: int, rows: int = ROWS) -> bytes:
    """Rows that are all of one value, packed badly so that writing them takes a while."""
    noise = np.random.default_rng(value).integers(0, 2**40, (rows, 30))
    noise[:, 0] = value
    return bytes(blosc2.asarray(noise, chunks=(1000, 30), contiguous=True).to_cframe())


class Load:
    """Somebody who writes until the subscriber is gone."""

    def __init__(self, client: caterva2.Client) -> None:
        self._client = client
        self.done = 0
        self._threads = [
            threading.Thread(target=self._until_gone, args=(work,), daemon=True)
            for work in (self._upload, self._append, self._move, self._unpack)
        ]
        for thread in self._threads:
            thread.start()

    def _until_gone(self, work: object) -> None:
        assert callable(work)
        for n in range(10_000):
            try:
                work(n)
                self.done += 1
            except caterva2.CatervaError:
                return

    def _upload(self, n: int) -> None:
        self._client.upload(frame(n % 7), "@public/up.b2nd")

    def _append(self, n: int) -> None:
        self._client.append("@shared/grow.b2nd", blosc2.ndarray_from_cframe(frame(n, 500)))

    def _move(self, n: int) -> None:
        there, back = "@public/here/d", "@shared/there/d"
        self._client.move(*((there, back) if n % 2 == 0 else (back, there)))

    def _unpack(self, n: int) -> None:
        self._client.copy("@public/tree", f"@personal/copy{n}")

    def join(self) -> None:
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()


def prepare(client: caterva2.Client) -> None:
    client.upload(frame(0), "@public/up.b2nd")
    client.upload(frame(0, 500), "@shared/grow.b2nd")
    for n in range(20):
        client.upload(frame(n, 200), f"@public/tree/{n}.b2nd")
        client.upload(frame(n, 200), f"@public/here/d/{n}.b2nd")


def check(client: caterva2.Client) -> None:
    up = client.get("@public/up.b2nd")[...]
    assert (up == blosc2.ndarray_from_cframe(frame(int(up[0, 0])))[:]).all()
    grown = client.get("@shared/grow.b2nd")[...]
    assert len(grown) % 500 == 0
    for at in range(0, len(grown), 500):
        part = grown[at : at + 500]
        assert (part[:, 0] == part[0, 0]).all()
    listed = [
        root + "/" + name for root in ("@public", "@shared") for name in client.get_list(root)
    ]
    moved = [name for name in listed if "/here/d/" in name or "/there/d/" in name]
    assert len(moved) == 20
    assert len({name.rpartition("/")[0] for name in moved}) == 1
    copies = client.get_list("@personal")
    for directory in {name.partition("/")[0] for name in copies}:
        assert sum(name.startswith(directory + "/") for name in copies) == 20


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kills", [1, pytest.param(8, marks=pytest.mark.slow)])
def test_a_kill_leaves_the_old_state_or_the_new_one(places: Places, kills: int) -> None:
    rng = random.Random(5)
    done = 0
    for attempt in range(kills):
        places.stack.start_subscriber(given=("--broker", ""))
        incoming = places.stack.directory / "sub/spaces/incoming"
        assert list(incoming.iterdir()) == []
        with places.client("ann") as client:
            if not attempt:
                prepare(client)
            check(client)
            if client.get_list("@personal"):
                client.remove("@personal")
            client.upload(frame(0, 500), "@shared/grow.b2nd")
            where = "here" if any("here/" in name for name in client.get_list("@public")) else ""
            if not where:
                client.move("@shared/there/d", "@public/here/d")
            load = Load(client)
            time.sleep(rng.uniform(0.1, 0.8))  # the random instant of the kill
            places.stack.kill("sub")
            load.join()
            done += load.done
    assert done > 2 * kills
    places.stack.start_subscriber(given=("--broker", ""))
    with places.client("ann") as client:
        check(client)


def test_an_upload_that_breaks_off_leaves_nothing(places: Places) -> None:
    places.stack.configure('[subscriber]\nmetrics_for = "public"\n')
    places.stack.start_subscriber(given=("--broker", ""))
    parts = urllib.parse.urlsplit(places.stack.url)
    incoming = places.stack.directory / "sub/spaces/incoming"
    for _ in range(3):
        with contextlib.closing(socket.create_connection((parts.hostname, parts.port))) as peer:
            line = "POST /api/upload/@public/x HTTP/1.1\r\nHost: localhost"
            head = f"{line}\r\n{_headers(places)}\r\n\r\n"
            body, _ = form(bytes(2_000_000))
            peer.sendall(head.encode() + body[:1_500_000])
            eventually(lambda: any(path.stat().st_size for path in incoming.iterdir()))
        eventually(lambda: not list(incoming.iterdir()))
    with places.client("ann") as client:
        assert client.get_list("@public") == []
        client.upload(b"1", "@public/x")
    assert places.stack.metric("special_roots_bytes") == 1
    assert "Traceback" not in places.stack.log("sub")


def _headers(places: Places) -> str:
    told = {"Content-Length": "2000200", "Content-Type": "multipart/form-data; boundary=XX"}
    return "\r\n".join(f"{name}: {value}" for name, value in (told | places.cookie("ann")).items())
