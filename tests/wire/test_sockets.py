"""Addresses, binding, and sockets in an event loop."""

from __future__ import annotations

import asyncio

import pytest
import zmq
from wiretools import ANY, LIMIT, until, zmq_context

from caterva2.errors import ConfigError, StartError
from caterva2.limits import DEFAULTS, constants
from caterva2.wire import sockets
from caterva2.wire.sockets import Address, Frames, LoopSocket

MANY = 5_000


def router(context: sockets.Context) -> sockets.Socket:
    return sockets.make(context, zmq.ROUTER)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost:8000", "localhost", 8000),
        ("127.0.0.1:0", "127.0.0.1", 0),
        (":8001", "127.0.0.1", 8001),
        ("tcp://example.org:65535", "example.org", 65535),
        ("tcp://:1", "127.0.0.1", 1),
        ("*:8000", "*", 8000),
        ("0.0.0.0:8000", "0.0.0.0", 8000),
        ("[::1]:8000", "[::1]", 8000),
        ("[fe80::1%2]:8000", "[fe80::1%2]", 8000),
        ("  host_1.lan:80\n", "host_1.lan", 80),
    ],
)
def test_parse(text: str, host: str, port: int) -> None:
    address = Address.parse(text)
    assert (address.host, address.port) == (host, port)
    assert address.endpoint == f"tcp://{host}:{port}"
    assert str(address) == f"{host}:{port}"
    assert Address.parse(address.endpoint) == address


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "8000", "host", "host:", "host:http", "host:65536", "host:-1", "host:123456",
        "ho st:1", "udp://host:1", "::1:8000", "host:1/path", "a;b:1", "host:1:2",
    ],
)  # fmt: skip
def test_parse_refuses(text: str) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        Address.parse(text)


def test_parse_with_another_default_host() -> None:
    assert Address.parse(":5", default_host="*") == Address("*", 5)


@pytest.mark.parametrize(
    ("host", "wildcard"),
    [("*", True), ("0.0.0.0", True), ("[::]", True), ("127.0.0.1", False), ("host", False)],
)
def test_wildcards(host: str, wildcard: bool) -> None:
    assert Address(host, 1).is_wildcard is wildcard


@pytest.mark.parametrize(
    ("endpoint", "seen_from", "result"),
    [
        ("tcp://*:8003", "tcp://bro.example.org:8000", "tcp://bro.example.org:8003"),
        ("tcp://0.0.0.0:8003", "tcp://10.0.0.1:8000", "tcp://10.0.0.1:8003"),
        ("tcp://[::]:8003", "tcp://[::1]:8000", "tcp://[::1]:8003"),
        ("tcp://10.0.0.2:8003", "tcp://10.0.0.1:8000", "tcp://10.0.0.2:8003"),
        ("ipc:///run/bro", "tcp://10.0.0.1:8000", "ipc:///run/bro"),
    ],
)
def test_reachable(endpoint: str, seen_from: str, result: str) -> None:
    assert sockets.reachable(endpoint, seen_from) == result


@pytest.mark.parametrize("kind", [zmq.ROUTER, zmq.DEALER, zmq.PUB, zmq.SUB, zmq.XPUB, zmq.XSUB])
@pytest.mark.parametrize("data", [False, True])
def test_options(kind: int, data: bool) -> None:
    with zmq_context() as context, sockets.make(context, kind, data=data) as made:
        assert made.linger == 0
        assert 0 < made.sndhwm == made.rcvhwm <= DEFAULTS.wire.control_hwm
        assert 0 < made.maxmsgsize <= constants.ANSWER_BYTES
        assert made.heartbeat_ivl > 0
        assert made.handshake_ivl > 0
        assert made.getsockopt(zmq.ROUTING_ID) == b""


def test_bind_takes_a_free_port_and_tells_it() -> None:
    with zmq_context() as context, router(context) as one, router(context) as two:
        first = sockets.bind(one, ANY, "control")
        second = sockets.bind(two, ANY, "control")
        assert first.host == second.host == "127.0.0.1"
        assert 0 < first.port != second.port > 0


def test_bind_names_the_address_that_is_in_use() -> None:
    with zmq_context() as context, router(context) as one, router(context) as two:
        taken = sockets.bind(one, ANY, "control")
        with pytest.raises(StartError) as caught:
            sockets.bind(two, taken, "xpub")
        assert "xpub" in caught.value.detail
        assert str(taken) in caught.value.detail
        assert "in use" in caught.value.detail.lower()


def test_bind_names_a_host_that_is_not_here() -> None:
    address = Address("no.such.host.invalid", 0)
    with (
        zmq_context() as context,
        router(context) as one,
        pytest.raises(StartError, match=r"no\.such\.host\.invalid:0"),
    ):
        sockets.bind(one, address, "data")


def test_loop_sockets_lose_no_edge() -> None:
    """Both ends send whenever they can, answers cross requests, and every message comes."""

    async def run(context: sockets.Context) -> None:
        router_got: list[bytes] = []
        dealer_got: list[bytes] = []

        def on_request(frames: Frames) -> None:
            peer, body = frames
            router_got.append(body)
            assert router.send([peer, b"answer " + body])

        raw = sockets.make(context, zmq.ROUTER)
        address = sockets.bind(raw, ANY, "test")
        router = LoopSocket(raw, on_request)
        dealer = LoopSocket(
            sockets.make(context, zmq.DEALER), lambda frames: dealer_got.append(frames[0])
        )
        dealer.connect(address.endpoint)
        try:
            for n in range(MANY):
                body = b"%d" % n
                await until(lambda body=body: dealer.send([body]))
                if n % 7 == 0:
                    await asyncio.sleep(0)
            await until(lambda: len(dealer_got) == MANY)
            assert router_got == [b"%d" % n for n in range(MANY)]
            assert dealer_got == [b"answer %d" % n for n in range(MANY)]
        finally:
            dealer.close()
            router.close()
            router.close()

    with zmq_context() as context:
        asyncio.run(run(context))


def test_a_request_at_a_time_never_stalls() -> None:
    """Each message is sent only after the one before was answered: each edge counts."""

    async def run(context: sockets.Context) -> None:
        raw = sockets.make(context, zmq.ROUTER)
        address = sockets.bind(raw, ANY, "test")
        router = LoopSocket(raw, lambda frames: bool(router.send(frames)))
        answers = 0
        done = asyncio.Event()

        def on_answer(frames: Frames) -> None:
            nonlocal answers
            answers += 1
            if answers == 1_000:
                done.set()
            else:
                dealer.send(frames)

        dealer = LoopSocket(sockets.make(context, zmq.DEALER), on_answer)
        dealer.connect(address.endpoint)
        try:
            await until(lambda: dealer.send([b"ping"]))
            await asyncio.wait_for(done.wait(), LIMIT)
        finally:
            dealer.close()
            router.close()

    with zmq_context() as context:
        asyncio.run(run(context))


def test_publish_and_subscribe() -> None:
    async def run(context: sockets.Context) -> None:
        heard: list[Frames] = []
        pub = sockets.make(context, zmq.XPUB)
        address = sockets.bind(pub, ANY, "xpub")
        sub = LoopSocket(sockets.make(context, zmq.SUB), heard.append)
        sub.subscribe(b"root/foo\0")
        sub.connect(address.endpoint)
        try:
            await until(lambda: bool(pub.poll(0)))
            assert pub.recv() == b"\x01root/foo\0"
            for topic in (b"root/foobar\0", b"root/foo", b"roots\0", b"root/foo\0"):
                pub.send_multipart([topic, b"x"])
            await until(lambda: bool(heard))
            assert heard == [[b"root/foo\0", b"x"]]
            sub.unsubscribe(b"root/foo\0")
        finally:
            sub.close()
            pub.close()

    with zmq_context() as context:
        asyncio.run(run(context))


def test_send_to_a_peer_that_is_gone_says_so() -> None:
    async def run(context: sockets.Context) -> None:
        raw = sockets.make(context, zmq.ROUTER)
        sockets.bind(raw, ANY, "test")
        router = LoopSocket(raw, lambda _: None)
        try:
            with pytest.raises(zmq.ZMQError) as caught:
                router.send([b"nobody", b"x"])
            assert caught.value.errno == zmq.EHOSTUNREACH
        finally:
            router.close()

    with zmq_context() as context:
        asyncio.run(run(context))


def test_send_to_nobody_yet_is_refused_not_queued() -> None:
    async def run(context: sockets.Context) -> None:
        dealer = LoopSocket(sockets.make(context, zmq.DEALER), lambda _: None)
        dealer.connect("tcp://127.0.0.1:1")
        try:
            assert dealer.send([b"x"]) is False
        finally:
            dealer.close()

    with zmq_context() as context:
        asyncio.run(run(context))


def test_a_handler_that_fails_does_not_stop_the_socket() -> None:
    """One message that a handler chokes on must not hold up those that came with it."""

    async def run(context: sockets.Context) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        raw = sockets.make(context, zmq.ROUTER)
        address = sockets.bind(raw, ANY, "test")
        got: list[bytes] = []

        def on_request(frames: Frames) -> None:
            got.append(frames[1])
            if len(got) % 3 == 1:
                raise RuntimeError("choked")

        dealer = sockets.make(context, zmq.DEALER)
        dealer.connect(address.endpoint)
        assert dealer.poll(int(LIMIT * 1000), zmq.POLLOUT)
        for n in range(300):
            dealer.send(b"%d" % n)
        assert raw.poll(int(LIMIT * 1000))
        router = LoopSocket(raw, on_request)
        try:
            async with asyncio.timeout(2):
                await until(lambda: len(got) == 300)
        finally:
            router.close()
            dealer.close()

    with zmq_context() as context:
        asyncio.run(run(context))
