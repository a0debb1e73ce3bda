"""What processes and threads that share a client's cache may do to each other."""

from __future__ import annotations

import errno
import fcntl
import os
import pickle
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import caterva2
from caterva2.client.http.transport import HttpTransport
from caterva2.depot import place, room
from caterva2.depot.following import Following
from caterva2.depot.locks import Locks
from caterva2.depot.pins import Pins
from caterva2.depot.replicas import Replicas
from caterva2.depot.room import Room
from caterva2.errors import Busy
from tests.conftest import eventually


def test_a_process_forked_meanwhile_does_not_hold_the_lock(tmp_path: Path) -> None:
    locks = Locks(tmp_path / "locks")
    with locks.of("ab") as owned:
        assert owned
        child = os.fork()
        if not child:
            signal.pause()
            os._exit(0)
    try:
        with locks.of("ab", patience=0) as owned:
            assert owned
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_without_locks_nobody_gets_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locks, pins = Locks(tmp_path / "locks"), Pins(tmp_path / "taken.json")
    with locks.of("ab") as first, locks.of("ab", patience=0) as second:
        assert (first, second) == (True, False)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", refuse)
        with locks.of("ab") as owned:
            assert not owned
        with pytest.raises(Busy, match="has no locks"), pins.change():
            pass
    (tmp_path / "locks").rename(tmp_path / "elsewhere")
    with locks.of("ab") as owned:
        assert not owned


def test_what_was_taken_is_changed_by_one_at_a_time_and_not_waited_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caterva2.depot.locks.PATIENCE", 0.05)
    pins = Pins(tmp_path / "taken.json")
    failed = []

    def other() -> None:
        try:
            with Pins(tmp_path / "taken.json").change():
                pass
        except Busy as error:
            failed.append(error)

    with pins.change():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(30)
    assert len(failed) == 1


@pytest.mark.parametrize("content", ["{", '{"format": 9, "url": "", "taken": {}}'])
def test_a_note_of_what_was_taken_that_can_not_be_read_counts_for_all(
    tmp_path: Path, content: str
) -> None:
    pins = Pins(tmp_path / "taken.json")
    assert not pins.holds("x")
    (tmp_path / "taken.json").write_text(content)
    assert pins.holds("x")
    assert pins.has("foo/a.b2nd")


def _room(directory: Path, pinned: bool = False) -> tuple[Room, list[Path]]:
    gone: list[Path] = []
    made = Room(
        directory / "replicas", 50_000, Locks(directory / "locks"), lambda _: pinned, gone.append
    )
    return made, gone


def _replica(directory: Path, name: str, size: int) -> Path:
    base = directory / "replicas" / name[:2] / name / "version"
    base.parent.mkdir(parents=True)
    base.with_suffix(".index").write_bytes(b"")
    base.with_suffix(".part").write_bytes(bytes(size))
    return base


@pytest.mark.parametrize("pinned", [False, True])
def test_what_is_larger_than_the_quota_itself_is_evicted_unless_it_was_taken(
    tmp_path: Path, pinned: bool
) -> None:
    base = _replica(tmp_path, "abcd", 100_000)
    made, gone = _room(tmp_path, pinned)
    assert made.wrote(100_000, base) == pinned
    assert gone == ([] if pinned else [base])
    assert base.with_suffix(".part").exists() == pinned


def test_threads_touch_one_replica_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "TOUCHED", -1.0)
    base, (made, _), failed = _replica(tmp_path, "abcd", 1), _room(tmp_path), []

    def touch() -> None:
        try:
            for _ in range(1000):
                assert made.touch(base)
        except KeyError as error:
            failed.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=touch) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not failed
    room.remove(base)
    assert not made.touch(base)


EVENT = 'event: change\ndata: {"root": "foo", "path": "a", "op": "put", "etag": "%s"}\n\n'
HEAD = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n\r\n"


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """A server that answers each connection with the next of some texts, and then closes it."""
    texts: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(texts.pop(0).encode() if texts else b"")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", texts
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def _chunk(text: str) -> str:
    return f"{len(text):x}\r\n{text}\r\n"


@pytest.mark.parametrize("bad", [_chunk(EVENT % "1")[:-30], _chunk("event: change\ndata: {}\n\n")])
def test_events_are_followed_after_a_stream_that_breaks_or_makes_no_sense(
    server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch, bad: str
) -> None:
    monkeypatch.setattr("caterva2.depot.following._PAUSE", 0.01)
    url, texts = server
    texts += [HEAD + bad, HEAD + _chunk(EVENT % "2")]
    following = Following(HttpTransport(url))
    try:
        eventually(lambda: not texts and following._changed.peek("foo/a") is not None)
        following.confirm("foo/a", following.mark())
        assert not following.is_outdated("foo/a", "2") or following._interrupted
    finally:
        following.end()


class _Silent(HttpTransport):
    """A subscriber without events."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9")

    def exchange(self, request: Any) -> Any:
        raise OSError("silent")


def test_a_description_counts_for_the_changes_before_its_request() -> None:
    following = Following(_Silent())
    try:
        mark = following.mark()
        following._note("change", {"root": "foo", "path": "a", "etag": "2"})
        following.confirm("foo/a", mark)  # it may be the former one: it was on its way
        assert following.is_outdated("foo/a", "1")
        assert not following.is_outdated("foo/a", "2")
        following.confirm("foo/a", following.mark())
        assert not following.is_outdated("foo/a", "3")
    finally:
        following.end()


def test_too_many_changes_make_all_outdated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caterva2.depot.following._KNOWN", 3)
    following = Following(_Silent())
    try:
        for name in "abcde":
            following._note("change", {"root": "foo", "path": name, "etag": "2"})
        assert all(following.is_outdated(f"foo/{name}", "1") for name in "abcde")
    finally:
        following.end()


def test_a_forked_process_looks_for_a_version_without_locks_of_its_parent(tmp_path: Path) -> None:
    none: Any = None
    replicas = Replicas(none, tmp_path, 0, lambda _: False)
    former, replicas._process = replicas._store, -1
    assert not replicas.is_complete("foo/a.b2nd", "v")
    assert replicas._store is not former


def test_a_forked_process_follows_events_too() -> None:
    following = Following(_Silent())
    try:
        child = os.fork()
        if not child:
            following.is_outdated("foo/a", "1")
            os._exit(0 if following._thread.is_alive() else 1)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        following.end()


def test_machines_that_share_a_file_system_have_caches_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = HttpTransport("http://127.0.0.1:9")
    names = [place.own_directory(tmp_path, transport).name]
    mounts = tmp_path / "mounts"
    point = os.path.realpath(tmp_path)
    mounts.write_text(f"1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 0:9 / {point} rw a:1 - nfs4 b:/ rw\n")
    monkeypatch.setattr(place, "_MOUNTS", mounts)
    for machine in ("one", "two"):
        monkeypatch.setattr(socket, "gethostname", lambda machine=machine: machine)
        names.append(place.own_directory(tmp_path, transport).name)
    assert len({*names}) == 3
    assert {one.name for one in place.owners(tmp_path)} == {*names}


def test_only_what_is_part_of_a_cache_is_listed_as_such(tmp_path: Path) -> None:
    own = place.own_directory(tmp_path, HttpTransport("http://127.0.0.1:9"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "owner.json").write_bytes((own / "owner.json").read_bytes())
    assert [*place.owners(tmp_path)] == [own]


def test_all_that_a_user_unpickles_shares_one_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, token = "http://127.0.0.1:9", "c2_" + "x" * 40
    client = caterva2.Client(url, token=token, cache=tmp_path)
    monkeypatch.setenv("CATERVA2_URL", url)
    monkeypatch.setenv("CATERVA2_TOKEN", token)
    packed = pickle.dumps(client.transport)
    assert pickle.loads(packed) is pickle.loads(packed)
    with pytest.raises(caterva2.BadRequest, match="negative"):
        caterva2.Client(url, cache=tmp_path, cache_quota=-1)
