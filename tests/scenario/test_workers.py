"""Workers: small slices answered by other processes, as the subscriber itself would"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import blosc2
import numpy as np
import pytest

import caterva2
from caterva2.rest import stream
from tests.conftest import Stack, eventually
from tests.web.asking import ask, cookie_of, login

BOSS, ANN, WORD = "boss@example.com", "ann@example.com", "correct horse"
SETTINGS = """
[subscriber]
read = ["ann@example.com"]
access_log = "access.log"
[subscriber.roots.open]
read = "public"
"""
SIZE = 300
START_S = 60.0
"""Seconds for workers to start, where other tests take the processors."""
LENT = 40
"""Slices after which a connection is at a worker, with all that it needs."""


def put(root: Path, value: int) -> None:
    """Put an array in place of the one of before: all numbers are equal but for thousands."""
    made = root / ".new"
    made.unlink(missing_ok=True)
    noise = np.random.default_rng(value).integers(0, 2**20, (SIZE, SIZE), "i4")
    data = noise * 1000 + value
    blosc2.asarray(data, chunks=(100, 100), blocks=(50, 50), urlpath=str(made))
    os.replace(made, root / "a.b2nd")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A subscriber with two workers, and two roots, one of which only Ann reads."""
    made = Stack(tmp_path_factory.mktemp("stack"))
    made.secret = "not to be told"
    made.configure(SETTINGS)
    roots = {name: made.directory / name for name in ("open", "anns")}
    for root in roots.values():
        root.mkdir()
        put(root, 1)
    made.add_user(BOSS, WORD, "--superuser")
    made.add_user(ANN, WORD)
    try:
        made.start_services("--workers", "2", **roots)
        for name in roots:
            reader = Reader(made, name, ANN)
            eventually(lambda reader=reader: reader.get().status == 200)  # all is cached then
            assert reader.value() == 1
        eventually(lambda: len(pids(made)) == 2, START_S)
        yield made
    finally:
        processes = pids(made)
        made.stop_all()
        eventually(lambda: not any(map(is_running, processes)))


class Reader:
    """One connection, which is kept, and a user or none."""

    def __init__(self, stack: Stack, root: str, user: str = "") -> None:
        self.path = f"/api/fetch/{root}/a.b2nd"
        self._stack = stack
        self.connection = http.client.HTTPConnection(stack.url.removeprefix("http://"), timeout=60)
        self._headers = {"Accept": stream.MEDIA_TYPE}
        if user:
            self._headers["Cookie"] = cookie_of(login(stack, user, WORD))

    def __del__(self) -> None:
        self.connection.close()

    def get(self, query: str = "") -> http.client.HTTPResponse:
        self.connection.request("GET", self.path + query, headers=self._headers)
        answer = self.connection.getresponse()
        answer.body = answer.read()
        return answer

    def value(self, row: int = 0) -> int:
        """The number in a small slice; the status of an error."""
        answer = self.get(f"?slice_={row}:{row + 2},3:5")
        return (
            int.from_bytes(answer.body[-4:], "little") % 1000
            if answer.status == 200
            else -answer.status
        )

    def settle(self) -> Reader:
        """Read until a worker answers."""

        def is_lent() -> bool:
            before = answers(self._stack)
            for row in range(LENT):
                self.value(row)
            return eventually(lambda: answers(self._stack) > before, 2)

        eventually(is_lent, START_S)
        return self

    @property
    def port(self) -> int:
        return self.connection.sock.getsockname()[1]


def pids(stack: Stack) -> list[int]:
    """The processes of the workers that run."""
    started = re.findall(r"worker \d+ is process (\d+)", stack.log("sub"))
    return [pid for pid in map(int, started) if is_running(pid)]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def metrics(stack: Stack) -> list[str]:
    boss = _boss.get(stack.url) or cookie_of(login(stack, BOSS, WORD))
    _boss[stack.url] = boss
    text = ask(stack, "metrics", Cookie=boss).body.decode()
    return [line.removeprefix("caterva2_") for line in text.splitlines()]


_boss: dict[str, str] = {}


def metric(stack: Stack, name: str) -> float:
    return sum(float(line.rsplit(" ", 1)[1]) for line in metrics(stack) if line.startswith(name))


def answers(stack: Stack) -> float:
    return metric(stack, "worker_answers_total")


def test_values_by_workers_are_those_of_the_subscriber(stack: Stack) -> None:
    source = stack.directory / "open"
    data = np.arange(SIZE * SIZE, dtype="f8").reshape(SIZE, SIZE)
    blosc2.asarray(data, chunks=(100, 70), blocks=(30, 50), urlpath=str(source / "b.b2nd"))
    array = eventually(lambda: caterva2.Client(stack.url).get("open/b.b2nd"))
    array[:]
    before = answers(stack)
    rng = np.random.default_rng(1)
    for _ in range(100):
        i, j = rng.integers(0, SIZE - 10, 2)
        assert (array[i : i + 10, j : j + 7] == data[i : i + 10, j : j + 7]).all()
    eventually(lambda: answers(stack) > before + 33)


def test_a_worker_answers_as_the_subscriber_does(stack: Stack) -> None:
    first = Reader(stack, "anns", ANN).get("?slice_=0:2,3:5")
    reader = Reader(stack, "anns", ANN).settle()
    before = answers(stack)
    later = reader.get("?slice_=0:2,3:5")
    eventually(lambda: answers(stack) > before)
    assert (later.status, later.body) == (first.status, first.body)
    shown = [{k.lower(): v for k, v in each.getheaders()} for each in (first, later)]
    assert all(each.pop("date") for each in shown)
    assert shown[0] == shown[1]


def test_what_workers_do_not_answer_is_answered_on_the_same_connection(stack: Stack) -> None:
    reader = Reader(stack, "open").settle()
    port = reader.port
    for query, status in (("", 200), ("?slice_=0:1000,0", 200), ("?slice_=x", 400)):
        assert (reader.get(query).status, reader.value()) == (status, 1)
    reader.connection.request("POST", "/api/subscribe/open", body=b"x" * 300_000)
    assert reader.connection.getresponse().read() == b'"Ok"'
    assert reader.value() == 1
    assert reader.port == port


def test_a_change_is_seen_by_the_next_read(stack: Stack) -> None:
    reader = Reader(stack, "open").settle()
    for value in range(2, 6):
        put(stack.directory / "open", value)
        other = caterva2.Client(stack.url)
        eventually(lambda value=value, other=other: first(other) == value)
        assert reader.value() == value


def first(client: caterva2.Client) -> int:
    return int(client.fetch("open/a.b2nd")[0, 0]) % 1000


def test_a_session_that_ended_reads_no_more(stack: Stack) -> None:
    reader = Reader(stack, "anns", ANN).settle()
    cookie = reader._headers["Cookie"]
    assert reader.value() == 1
    assert ask(stack, "auth/jwt/logout", "POST", Cookie=cookie).status in (200, 204)
    assert reader.value() == -404


def test_rights_that_are_taken_count_for_the_next_read(stack: Stack) -> None:
    reader = Reader(stack, "anns", ANN).settle()
    settings = stack.directory / "caterva2.toml"
    before = settings.read_text()
    settings.write_text(before.replace(ANN, BOSS))
    try:
        stack.children["sub"].process.send_signal(signal.SIGHUP)
        eventually(lambda: "reloaded" in stack.log("sub"))
        assert reader.value() == -404
    finally:
        settings.write_text(before)
        stack.children["sub"].process.send_signal(signal.SIGHUP)
    eventually(lambda: reader.value() == 1)


def test_answers_of_workers_are_in_the_access_log_and_in_metrics(stack: Stack) -> None:
    reader = Reader(stack, "anns", ANN).settle()
    before = metric(stack, 'request_seconds_count{call="/api/fetch"')
    lines = [json.loads(line) for line in (stack.directory / "access.log").read_text().splitlines()]
    mine = [line for line in lines if line["path"] == reader.path and line["user"] == ANN]
    assert {line["status"] for line in mine} >= {200}
    assert len(mine) >= LENT
    assert before >= LENT
    reads = metric(stack, 'reads_total{root="anns",source="cache"')
    assert reads >= LENT


def test_a_worker_that_is_told_to_end_is_missed_by_no_client(stack: Stack) -> None:
    reader = Reader(stack, "open").settle()
    value, port, running = reader.value(), reader.port, pids(stack)
    before = answers(stack), metric(stack, "worker_cpu_seconds_total")
    for pid in running:
        os.kill(pid, signal.SIGTERM)
    for row in range(100):
        assert reader.value(row) == value
    assert reader.port == port
    eventually(lambda: len(set(pids(stack)) - set(running)) == 2, START_S)
    assert answers(stack) >= before[0]  # numbers of workers stay when these end
    assert metric(stack, "worker_cpu_seconds_total") >= before[1]


def test_a_worker_that_is_killed_is_started_again(stack: Stack) -> None:
    readers = [Reader(stack, "open").settle() for _ in range(4)]
    value, restarts = readers[0].value(), metric(stack, "worker_restarts_total")
    victim = pids(stack)[0]
    os.kill(victim, signal.SIGKILL)
    lost = 0
    for reader in readers:
        try:
            assert reader.value() == value
        except (http.client.HTTPException, ConnectionError):
            lost += 1
    assert lost < len(readers)
    eventually(lambda: metric(stack, "worker_restarts_total") == restarts + 1, START_S)
    status = json.loads(ask(stack, "api/status", Cookie=_boss[stack.url]).body)
    assert status["workers"]["wanted"] == 2
    eventually(lambda: len(pids(stack)) == 2, START_S)


@pytest.mark.slow
def test_no_worker_outlives_a_subscriber_that_is_killed(stack: Stack) -> None:
    Reader(stack, "open").settle()
    processes = pids(stack)
    stack.kill("sub")
    eventually(lambda: not any(map(is_running, processes)))
    stack.start_subscriber(given=("--workers", "2"))
    eventually(lambda: len(set(pids(stack)) - set(processes)) == 2, START_S)
