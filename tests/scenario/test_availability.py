"""Services come and go in any order; what can be served still is."""

from __future__ import annotations

import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import blosc2
import numpy as np
import pytest

import caterva2
from tests.conftest import HASTY, Stack, eventually, example_root
from tests.web.asking import ask

DATASET = "foo/dir1/ds-2d.b2nd"
QUICK_BEATS = "[limits.broker]\nbeat = 0.2\n"


def reads(stack: Stack) -> bool:
    """Whether a dataset can be read now."""
    return bool(stack.client.fetch(DATASET, (3, 4)) == 64)


def test_subscriber_may_start_before_its_broker_and_says_so_rather_than_that_there_is_no_root(
    stack: Stack,
) -> None:
    stack.start_subscriber()
    assert stack.client.get_roots().keys() == {"@public"}
    for method, target in (("GET", "list"), ("POST", "subscribe"), ("DELETE", "subscribe")):
        answer = ask(stack, f"api/{target}/foo", method)
        detail = f"no broker was reached yet at {stack.broker}"
        assert (answer.status, answer.json["detail"]) == (503, detail)
    assert ask(stack, "healthz").json == {"status": "ok", "broker": False, "roots": 0}
    stack.start_broker()
    eventually(lambda: ask(stack, "healthz").json["broker"])
    assert ask(stack, "api/list/foo").status == 404
    stack.start_publisher("foo", example_root())
    eventually(lambda: "foo" in stack.client.get_roots())
    eventually(lambda: reads(stack))


def test_subscriber_that_starts_alone_serves_what_is_cached_and_asks_for_the_rest_later(
    stack: Stack,
) -> None:
    client = stack.start(foo=example_root())
    expected = client.fetch("foo/ds-1d.b2nd")
    assert ask(stack, "healthz").json == {"status": "ok", "broker": True, "roots": 1}
    stack.kill("bro")
    eventually(lambda: ask(stack, "healthz").json == {"status": "ok", "broker": False, "roots": 1})
    assert ask(stack, "healthz").status == 200
    assert (stack.stop("sub"), stack.stop("pub-foo")) == (0, 0)
    stack.start_subscriber()
    assert ask(stack, "api/subscribe/foo", "POST").status == 200
    np.testing.assert_array_equal(stack.client.fetch("foo/ds-1d.b2nd"), expected)
    assert stack.client.get_roots()["foo"]["offline"] is True
    refused = ask(stack, f"api/fetch/{DATASET}")
    assert refused.status == 503
    assert refused.json["detail"] == f"no broker was reached yet at {stack.broker}"
    assert refused.headers["retry-after"] == "2"


def test_publisher_may_start_before_its_broker_and_all_end_cleanly_when_interrupted(
    stack: Stack,
) -> None:
    stack.start_publisher("foo", example_root())
    stack.start_broker()
    stack.start_subscriber()
    eventually(lambda: reads(stack))
    for child in stack.children.values():
        child.process.send_signal(signal.SIGINT)
    assert [child.process.wait(20) for child in stack.children.values()] == [0, 0, 0]


def test_killed_publisher_takes_its_root_back_at_once_and_broker_restart_disturbs_nobody(
    stack: Stack,
) -> None:
    stack.start(foo=example_root())
    stack.kill("pub-foo")
    stack.start_publisher("foo", example_root(), name="pub-foo")
    eventually(lambda: "root foo registered, fence 2" in stack.log("pub-foo"))
    assert "waiting until" not in stack.log("pub-foo")  # for the end of its lease
    eventually(lambda: reads(stack))
    stack.kill("bro")
    assert reads(stack)
    assert stack.client.fetch("foo/ds-1d.b2nd", 5) == 5
    stack.start_broker()
    stack.start_publisher("later", example_root() / "dir1", name="pub2")
    eventually(lambda: set(stack.client.get_roots()) == {"foo", "later", "@public"})
    assert stack.client.get_list("later") == ["ds-2d.b2nd", "ds-3d.b2nd"]
    assert "offline" not in stack.client.get_roots()["foo"]


def test_cached_data_is_served_while_the_publisher_is_away_or_killed_and_after(
    stack: Stack,
) -> None:
    client = stack.start(foo=example_root())
    assert reads(stack)
    before = stack.metric("fetched_chunks_total")
    stack.stop("pub-foo")
    eventually(lambda: client.get_roots()["foo"].get("offline") is True)
    assert reads(stack)
    headers = ask(stack, f"api/info/{DATASET}").headers
    assert headers["warning"].startswith("110")
    assert "ds-1d.b2nd" in client.get_list("foo")
    with pytest.raises(caterva2.HttpError, match=r"503 .* offline") as refused:
        client.fetch(DATASET, (9, 19))
    assert refused.value.status_code == 503
    stack.start_publisher("foo", example_root(), name="pub-foo")
    eventually(lambda: "offline" not in stack.client.get_roots()["foo"])
    assert reads(stack)
    assert stack.metric("fetched_chunks_total") == before
    assert stack.client.fetch("foo/ds-1d.b2nd", 5) == 5
    # Its connection is refused when it was killed; the broker, which lives, still has its lease.
    where = client.get_roots()["foo"]["http"]
    stack.kill("pub-foo")
    for _ in range(2):
        began = time.monotonic()
        refused = ask(stack, "api/fetch/foo/dir1/ds-3d.b2nd")
        assert (refused.status, time.monotonic() - began < 4) == (503, True)
    assert "foo is offline" in refused.json["detail"]
    assert client.get_roots()["foo"].get("offline") is True
    assert reads(stack)  # what is cached
    stack.start_publisher("foo", example_root(), name="pub-foo", endpoint=where)
    eventually(lambda: "offline" not in client.get_roots()["foo"])
    assert client.fetch("foo/dir1/ds-3d.b2nd").shape == (3, 4, 5)


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGKILL, marks=pytest.mark.slow), signal.SIGSTOP]
)
def test_cached_data_needs_no_publisher_though_the_broker_thinks_that_it_is_up(
    stack: Stack, number: signal.Signals
) -> None:
    stack.configure("[limits.broker]\nlease_ttl = 30\n[limits.wire]\nfirst_byte = 0.5\n")
    client = stack.start(foo=example_root())
    expected = client.fetch("foo/ds-1d.b2nd")
    saved = stack.directory / "sub" / "catalogs"
    eventually(lambda: list(saved.glob("[!.]*")))  # those with a dot are being written
    stack.kill("sub")
    stack.start_subscriber()
    eventually(lambda: "offline" not in stack.client.get_roots()["foo"])
    stack.children["pub-foo"].process.send_signal(number)
    began = time.monotonic()
    np.testing.assert_array_equal(stack.client.fetch("foo/ds-1d.b2nd"), expected)
    assert time.monotonic() - began < 10
    assert "offline" not in stack.client.get_roots()["foo"]
    refused = ask(stack, f"api/info/{DATASET}")
    assert refused.status in (503, 504)
    assert re.search("the publisher of root foo went away|no answer", refused.json["detail"])
    stack.kill("pub-foo")


def test_ready_line_names_the_endpoints(stack: Stack, tmp_path: Path) -> None:
    line = stack.spawn("bro", "cat2bro", "--endpoint", "127.0.0.1:0").ready()
    assert line.startswith("cat2bro: ready at 127.0.0.1:")
    assert line.count("127.0.0.1:") == 3
    assert ":0" not in line.replace("127.0.0.1", "")


def test_publisher_killed_is_offline_when_its_lease_ends_and_gets_its_root_back(
    stack: Stack,
) -> None:
    """Though the subscriber has no connection to it that could be lost."""
    stack.configure(HASTY)
    client = stack.start(foo=example_root())
    assert "foo" in client.get_roots()
    stack.kill("pub-foo")
    eventually(lambda: client.get_roots()["foo"].get("offline") is True, timeout=30)
    stack.start_publisher("foo", example_root(), name="again")
    eventually(lambda: stack.client.fetch("foo/ds-1d.b2nd", 5) == 5, timeout=40)
    assert stack.children["again"].process.poll() is None


def test_readers_of_a_publisher_that_dies_all_get_an_answer(stack: Stack, tmp_path: Path) -> None:
    stack.configure(HASTY)
    source = tmp_path / "data"
    source.mkdir()
    values = np.random.default_rng(0).random((60, 10_000))
    blosc2.asarray(values, chunks=(1, 10_000), urlpath=str(source / "a.b2nd"))
    stack.start(data=source)

    def read(n: int) -> bool:
        try:
            return bool((stack.client.fetch("data/a.b2nd", n) == values[n]).all())
        except caterva2.HttpError as error:
            return error.status_code in (503, 504)

    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(read, n) for n in range(60)]
        stack.kill("pub-data")
        assert all(answer.result(60) for answer in answers)
    stack.start_publisher("data", source, name="again")
    eventually(lambda: (stack.client.fetch("data/a.b2nd") == values).all(), timeout=60)


def test_root_is_offline_at_once_though_no_broker_says_so(stack: Stack) -> None:
    """Broker and publisher are killed together; the publisher comes back without the broker."""
    client = stack.start(foo=example_root())
    assert reads(stack)
    where = client.get_roots()["foo"]["http"]
    stack.kill("bro")
    stack.kill("pub-foo")
    began = time.monotonic()
    eventually(lambda: client.get_roots()["foo"].get("offline") is True)
    assert time.monotonic() - began < 12
    assert ask(stack, "healthz").json == {"status": "ok", "broker": False, "roots": 0}
    for _ in range(3):
        began = time.monotonic()
        refused = ask(stack, "api/fetch/foo/dir1/ds-3d.b2nd")
        assert (refused.status, time.monotonic() - began < 4) == (503, True)
        assert "foo is offline" in refused.json["detail"]
    assert reads(stack)
    assert stack.log("sub").count("root foo is offline") == 1
    stack.start_publisher("foo", example_root(), name="pub-foo", endpoint=where)
    eventually(lambda: "offline" not in client.get_roots()["foo"])
    assert client.fetch("foo/dir1/ds-3d.b2nd").shape == (3, 4, 5)


def test_silent_publisher_is_offline_while_the_broker_is_silent_and_a_live_one_is_not(
    stack: Stack,
) -> None:
    """As when machines vanish: no connection is seen to end."""
    stack.configure(QUICK_BEATS)
    client = stack.start(foo=example_root())
    assert reads(stack)
    stack.children["bro"].process.send_signal(signal.SIGSTOP)
    eventually(lambda: ask(stack, "healthz").json["broker"] is False)
    time.sleep(3)  # longer than a publisher that does not answer is trusted
    assert "offline" not in client.get_roots()["foo"]
    assert client.fetch("foo/ds-1d.b2nd", 5) == 5
    assert "offline" not in stack.log("sub")
    stack.children["pub-foo"].process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    eventually(lambda: client.get_roots()["foo"].get("offline") is True, timeout=30)
    assert time.monotonic() - began < 20  # 5 beats, and a probe
    stack.children["pub-foo"].process.send_signal(signal.SIGCONT)
    eventually(lambda: client.fetch("foo/dir1/ds-3d.b2nd").shape == (3, 4, 5))
    stack.children["bro"].process.send_signal(signal.SIGCONT)
