"""Where publishers may be"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import zmq

from caterva2.errors import ConfigError, RootOffline
from caterva2.model import RootInfo
from caterva2.names import RootName
from caterva2.subscriber.options import SubscriberOptions
from caterva2.subscriber.publishers.connection import PublisherConnection
from caterva2.subscriber.publishers.pool import ConnectionPool
from caterva2.wire import messages, sockets
from caterva2.wire.networks import ANYWHERE, Networks, is_loopback
from caterva2.wire.sockets import Address


@pytest.mark.parametrize(
    "host",
    [
        "*", "0.0.0.0", "[::]", "[::ffff:0.0.0.0]", "224.0.0.1", "[ff02::1]", "169.254.169.254",
        "[::ffff:169.254.169.254]", "[fe80::1]", "[fe80::1%eth0]", "2852039166", "0xa9fea9fe",
        "169.254.43518", "0251.0376.0.1", "127.0.0.1.", "a.b.7",
    ],
)  # fmt: skip
def test_what_is_no_address_of_another_machine_is_refused(host: str) -> None:
    for near in (True, False):
        assert ANYWHERE.refusal(f"tcp://{host}:8001", near)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "[::1]", "localhost", "LOCALHOST"])
def test_loopback_is_for_those_on_this_machine(host: str) -> None:
    assert ANYWHERE.refusal(f"tcp://{host}:8001", near=True) == ""
    assert "advertise" in ANYWHERE.refusal(f"tcp://{host}:8001", near=False)


@pytest.mark.parametrize("host", ["10.1.2.3", "[2001:db8::1]", "data.example", "node-7", "h"])
def test_any_other_is_taken_where_none_is_named(host: str) -> None:
    assert ANYWHERE.refusal(f"tcp://{host}:8001", near=False) == ""


def test_only_those_that_are_named_are_taken() -> None:
    some = Networks(["10.0.0.0/8", "2001:db8::/32", "192.0.2.7", "Data.example"])
    for host in ("10.1.2.3", "[::ffff:10.1.2.3]", "[2001:db8::1]", "192.0.2.7", "data.Example"):
        assert some.refusal(f"tcp://{host}:1", near=True) == ""
    for host in ("11.1.2.3", "[2001:db9::1]", "192.0.2.8", "other.example", "127.0.0.1", "x.1"):
        assert some.refusal(f"tcp://{host}:1", near=True)


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.0/33", "a b", "", "1.2.3", "tcp://h:1"])
def test_what_is_no_network_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="neither a network"):
        Networks([text])


def test_an_unknown_peer_is_not_near() -> None:
    assert all(is_loopback(one) for one in ("127.0.0.1", "::1", "::ffff:127.0.0.1"))
    assert not any(is_loopback(one) for one in ("10.0.0.1", "", "localhost"))


@pytest.mark.parametrize(
    ("found", "near", "expected"),
    [
        (["10.0.0.1"], False, "tcp://10.0.0.1:8001"),
        (["169.254.169.254"], False, ""),
        (["169.254.169.254"], True, ""),
        (["224.0.0.1"], False, ""),
        (["0.0.0.0"], True, ""),
        (["127.0.0.1"], False, ""),
        (["127.0.0.1"], True, "tcp://127.0.0.1:8001"),
        (["169.254.1.1", "10.0.0.2"], False, "tcp://10.0.0.2:8001"),
    ],
)
def test_a_name_stands_for_an_address_that_may_be_connected_to(
    monkeypatch: pytest.MonkeyPatch, found: list[str], near: bool, expected: str
) -> None:
    def resolved(host: str, *_: object) -> list[Any]:
        assert host == "node.example"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, 0)) for one in found]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    if expected:
        assert ANYWHERE.located("tcp://node.example:8001", near) == expected
    else:
        with pytest.raises(RootOffline, match=rf"node.example stands for {found[0]}"):
            ANYWHERE.located("tcp://node.example:8001", near)
    # The operator answers for a name in the settings.
    named = Networks(["Node.example"])
    assert named.located("tcp://node.example:8001", near) == "tcp://node.example:8001"
    assert ANYWHERE.located("tcp://10.0.0.1:1", near) == "tcp://10.0.0.1:1"
    assert ANYWHERE.located("tcp://[2001:db8::1]:1", near) == "tcp://[2001:db8::1]:1"


def test_a_name_without_an_address_is_no_place() -> None:
    with pytest.raises(RootOffline, match="no address is found"):
        ANYWHERE.located("tcp://no-such.invalid:1", near=True)


def test_a_requester_connects_to_no_such_place(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)
    options = SubscriberOptions(Address("127.0.0.1", 8000), Path("sub"))
    with sockets.new_context() as context:
        pool = ConnectionPool(locate=options.located)
        root = RootName("foo")
        place = RootInfo(root=root, inst="i", fence=1, endpoints=("tcp://node.example:80",))

        async def ask() -> None:
            connection = PublisherConnection(root, context, lambda _: RootOffline("away"), pool)
            connection.move(place)
            try:
                with pytest.raises(RootOffline):
                    await connection().ask(messages.Hello(), 10)
            finally:
                await connection.close()

        asyncio.run(ask())
    assert "node.example stands for 169.254.169.254: it is a link-local address" in caplog.text


def test_a_socket_that_is_in_use_holds_up_no_end_of_a_service(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with sockets.new_context(patience=0.05) as context:
        shadow = zmq.Context.shadow(context)
        used: zmq.Socket[bytes] = shadow.socket(zmq.PULL)  # `destroy` does not know it
        began = time.monotonic()
    assert time.monotonic() - began < 10
    assert "a thread still uses a socket" in caplog.text
    used.close(linger=0)
    for one in threading.enumerate():
        if one.name == "end of ZeroMQ":
            one.join(10)
            assert not one.is_alive()
