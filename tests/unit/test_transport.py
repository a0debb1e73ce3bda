"""The client's requests: sent again only where that does no harm, and never without a limit."""

from __future__ import annotations

import os
import pickle
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from caterva2.client.http import transport as transport_module
from caterva2.client.http.connections import Address, Unreachable
from caterva2.client.http.transport import QUERY_LENGTH, BadKey, HttpError, Missing, Transport
from tests.httpscript import FetchParams, Reply, Script, refusal, serving


@pytest.fixture
def script() -> Iterator[Script]:
    with serving(lambda asked: Reply(body=b'"fine"')) as made:
        yield made


def test_one_connection_serves_many_requests(script: Script) -> None:
    client = Transport(script.url)
    for _ in range(5):
        assert client.request("GET", "api/roots").json() == "fine"
    client.close()
    assert script.connections == 1


def test_kept_connection_that_the_server_closed_is_replaced(script: Script) -> None:
    script.answer = lambda asked: Reply(body=b"1", closes=True)
    client = Transport(script.url)
    assert [client.request("GET", "a").json() for _ in range(3)] == [1, 1, 1]
    assert len(script.asked) == 3


def test_server_that_is_busy_is_asked_again_after_the_time_that_it_tells(script: Script) -> None:
    replies = iter([refusal(503, "busy", "later", Retry_After="1"), Reply(body=b"2")])
    script.answer = lambda asked: next(replies)
    start = time.monotonic()
    assert Transport(script.url).request("GET", "a").json() == 2
    assert time.monotonic() - start >= 1


@pytest.mark.parametrize(
    ("method", "reply"),
    [
        ("GET", refusal(503, "root-offline", "later", Retry_After="0")),
        ("GET", refusal(404, "not-found")),
        ("GET", refusal(500, "internal")),
        ("POST", refusal(503, "busy", "later", Retry_After="0")),
    ],
)
def test_request_is_not_sent_again(script: Script, method: str, reply: Reply) -> None:
    script.answer = lambda asked: reply
    with pytest.raises(HttpError):
        Transport(script.url).request(method, "a")
    assert len(script.asked) == 1


def test_patience_has_an_end(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    script.answer = lambda asked: refusal(429, "slow-down", "later", Retry_After="9999")
    monkeypatch.setattr(transport_module, "PATIENCE", 0.5)
    with pytest.raises(HttpError, match="429") as refused:
        Transport(script.url).request("GET", "a")
    assert refused.value.put_off == 9999
    script.answer = lambda asked: refusal(429, "slow-down", "later", Retry_After="0")
    with pytest.raises(HttpError, match="429"):
        Transport(script.url).request("GET", "a")
    assert len(script.asked) == 1 + transport_module.TRIES


def test_answer_that_breaks_off_is_an_error(script: Script) -> None:
    script.answer = lambda asked: Reply(body=bytes(100), sent=40)
    with pytest.raises(Unreachable, match="40 of 100 bytes"):
        Transport(script.url).request("GET", "a")


def test_silence_has_a_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = Transport(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=0.2)
        with pytest.raises(Unreachable, match="timed out"):
            client.request("GET", "a")


def test_answer_that_is_no_json_is_an_error(script: Script) -> None:
    script.answer = lambda asked: Reply(body=b"<html>")
    with pytest.raises(Unreachable, match="no JSON"):
        Transport(script.url).request("GET", "a").json()


def test_errors_name_status_and_detail_and_are_what_python_expects(script: Script) -> None:
    script.answer = lambda asked: refusal(404, "not-found")
    with pytest.raises(KeyError) as missing:
        Transport(script.url).request("GET", "a")
    assert str(missing.value) == "404 Not Found: it is not-found"
    assert isinstance(missing.value, Missing)
    script.answer = lambda asked: refusal(400, "bad-selection")
    with pytest.raises(IndexError) as bad:
        Transport(script.url).request("GET", "a")
    assert isinstance(bad.value, BadKey)
    again = pickle.loads(pickle.dumps(bad.value))
    assert (type(again), str(again), again.kind) == (BadKey, str(bad.value), "bad-selection")


def test_long_query_travels_in_a_body(script: Script) -> None:
    client = Transport(script.url)
    client.ask("api/fetch/a", {"indices": "[1]"})
    client.ask("api/fetch/a", {"indices": "1" * QUERY_LENGTH})
    short, long = script.asked
    assert (short.method, short.path) == ("GET", "/api/fetch/a?indices=%5B1%5D")
    assert (long.method, long.path, len(long.body)) == ("POST", "/api/fetch/a", QUERY_LENGTH + 15)
    assert long.headers["Content-Type"] == "application/json"


def test_threads_share_a_client(script: Script) -> None:
    client = Transport(script.url)
    script.answer = lambda asked: Reply(body=asked.path.rpartition("/")[2].encode())
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: client.request("GET", f"{n}").json(), range(200)))
    assert found == list(range(200))
    assert script.connections <= 8


def test_fork_does_not_share_its_parents_connection(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Transport(script.url)
    client.request("GET", "a")
    parent = os.getpid()
    monkeypatch.setattr("caterva2.client.http.connections.os.getpid", lambda: parent + 1)
    client.request("GET", "a")
    assert script.connections == 2


def test_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer() -> None:
            peer, _ = listener.accept()
            with peer:
                assert peer.recv(4096).startswith(b"GET /api/roots HTTP/1.1\r\n")
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        thread = threading.Thread(target=answer)
        thread.start()
        client = Transport(f"unix:{path}")
        assert client.request("GET", "api/roots").json() == {}
        thread.join(5)
    with pytest.raises(Unreachable, match=f"unix:{tmp_path}/nothing can't be reached"):
        Transport(f"unix:{tmp_path}/nothing").request("GET", "api/roots")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("localhost:8002", "http://localhost:8002"),
        ("https://data.example/cat2/", "https://data.example/cat2"),
        ("http://[::1]:8002", "http://[::1]:8002"),
        ("unix:/run/cat2.sock", "http+unix://%2Frun%2Fcat2.sock"),
    ],
)
def test_address_is_read_as_people_write_it(text: str, url: str) -> None:
    assert Address.parse(text).url == url


@pytest.mark.parametrize("text", ["", "ftp://host", "http://host:port", "http://", "http://[::1"])
def test_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Unreachable, match="is not the URL of a subscriber"):
        Address.parse(text)


def test_path_is_quoted(script: Script) -> None:
    Transport(script.url).request("GET", "api/info/a b/größe?#%\r\nX: y")
    asked: FetchParams = script.asked[0]
    assert asked.path == "/api/info/a%20b/gr%C3%B6%C3%9Fe%3F%23%25%0D%0AX%3A%20y"
