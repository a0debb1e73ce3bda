"""Services that end while they work leave no tracebacks in their logs."""

from __future__ import annotations

import contextlib
import http.client
import signal
import threading
import urllib.parse

import pytest

from tests.conftest import Stack, example_root
from tests.thoroughness import some

PATHS = ("ds-1d.b2nd", "dir1/ds-2d.b2nd", "README.md", "nowhere.b2nd")


def check_logs(stack: Stack) -> None:
    for log in stack.directory.glob("*.log"):
        text = log.read_text()
        for sign in ("Traceback", "never retrieved", "Exception ignored", "was destroyed"):
            assert sign not in text, f"{log.name}: {text}"


@pytest.mark.parametrize("call", some(["info", "fetch", "download", "members"], 2, 1))
def test_a_subscriber_that_ends_during_requests_leaves_no_traceback(
    stack: Stack, call: str
) -> None:
    """Its publisher does not answer, so all of them wait."""
    stack.start(foo=example_root())
    stack.children["pub-foo"].process.send_signal(signal.SIGSTOP)
    where = urllib.parse.urlsplit(stack.url).netloc
    waiting: list[http.client.HTTPConnection] = []
    with contextlib.ExitStack() as held:
        for path in ("",) if call == "members" else PATHS:
            connection = http.client.HTTPConnection(where, timeout=30)
            held.callback(connection.close)
            connection.request("GET", f"/api/{call}/foo/{path}")
            waiting.append(connection)
        stack.get("healthz")  # on the loop behind them
        stack.children["sub"].process.terminate()
        answers = [held.enter_context(connection.getresponse()) for connection in waiting]
        assert {answer.status for answer in answers} <= {404, 503}
        assert b"the subscriber is ending" in answers[0].read()
        assert stack.stop("sub") == 0
    stack.children["pub-foo"].process.send_signal(signal.SIGCONT)
    assert stack.stop("pub-foo") == 0
    assert stack.stop("bro") == 0
    check_logs(stack)


@pytest.mark.parametrize("order", some([("sub", "pub-foo", "bro"), ("bro", "pub-foo", "sub")], 2))
def test_services_that_end_under_load_leave_no_traceback(
    stack: Stack, order: tuple[str, ...]
) -> None:
    stack.start(foo=example_root())
    ended = threading.Event()
    began = threading.Barrier(5, timeout=30)

    def load(number: int) -> None:
        targets = [f"api/fetch/foo/ds-1d.b2nd?slice_={number}:900", "api/list/foo", "api/events"]
        stack.get(targets[0])
        began.wait()
        while not ended.is_set():
            with (
                contextlib.suppress(OSError, http.client.HTTPException),
                stack.open(targets[number % 3]) as answer,
            ):
                answer.read(100)

    threads = [threading.Thread(target=load, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    began.wait()
    codes = [stack.stop(name) for name in order]
    ended.set()
    for thread in threads:
        thread.join(60)
    assert codes == [0, 0, 0]
    check_logs(stack)
