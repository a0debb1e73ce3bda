"""Requests over HTTP: connections that are kept, closed, shared, inherited or silent."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from caterva2.client.errors import Unreachable
from caterva2.client.http.connections import Address
from caterva2.client.http.transport import HttpTransport
from caterva2.client.transport import Response
from caterva2.limits import ClientLimits
from tests.httpscript import Reply, Script, serving


@pytest.fixture
def script() -> Iterator[Script]:
    with serving(lambda asked: Reply(body=b'"fine"')) as made:
        yield made


def test_one_connection_serves_many_requests(script: Script) -> None:
    client = HttpTransport(script.url)
    for _ in range(5):
        assert client.request("GET", "api/roots").json() == "fine"
    client.close()
    assert script.connections == 1


def test_kept_connection_that_the_server_closed_is_replaced(script: Script) -> None:
    script.answer = lambda asked: Reply(body=b"1", closes=True)
    client = HttpTransport(script.url)
    assert [client.request("GET", "a").json() for _ in range(3)] == [1, 1, 1]
    assert len(script.asked) == 3


def test_silence_has_a_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = HttpTransport(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=0.2)
        with pytest.raises(Unreachable, match="timed out"):
            client.request("GET", "a")


def test_fork_does_not_share_its_parents_connection(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = HttpTransport(script.url)
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
        client = HttpTransport(f"unix:{path}")
        assert client.request("GET", "api/roots").json() == {}
        thread.join(5)
    with pytest.raises(Unreachable, match=f"unix:{tmp_path}/nothing can't be reached"):
        HttpTransport(f"unix:{tmp_path}/nothing").request("GET", "api/roots")


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


def test_request_that_changes_things_takes_a_new_connection(script: Script) -> None:
    client = HttpTransport(script.url)
    client.request("GET", "a")
    client.request("POST", "a")
    client.close()
    assert script.connections == 2


def test_response_that_is_closed_twice_gives_its_connection_back_once(script: Script) -> None:
    client = HttpTransport(script.url)
    response = client.stream("GET", "a")
    response.content()
    response.close()
    response.close()
    with client.stream("GET", "a") as first, client.stream("GET", "a") as second:
        assert first.content() == second.content() == b'"fine"'
    client.close()


def test_response_that_is_left_unread_ends_its_connection_at_once() -> None:
    """Though something, such as the traceback of an error, still refers to it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = HttpTransport(f"http://127.0.0.1:{listener.getsockname()[1]}")
        responses: list[Response] = []
        asking = threading.Thread(target=lambda: responses.append(client.stream("GET", "a")))
        asking.start()
        peer, _ = listener.accept()
        with peer:
            assert peer.recv(4096).startswith(b"GET /a ")
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
            asking.join(10)
            responses[0].close()
            peer.settimeout(10)
            with contextlib.suppress(ConnectionResetError):  # what it did not read is lost
                assert peer.recv(1) == b""


def test_no_more_idle_connections_are_kept_than_the_limit(script: Script) -> None:
    client = HttpTransport(script.url, limits=ClientLimits(connections=1))
    with client.stream("GET", "a") as first, client.stream("GET", "a") as second:
        first.content()
        second.content()
    with client.stream("GET", "a") as first, client.stream("GET", "a") as second:
        first.content()
        second.content()
    client.close()
    assert script.connections == 3
