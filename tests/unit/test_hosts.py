"""Hosts that are served, proxies that are believed, and certificates that can be used"""

from __future__ import annotations

import asyncio
import http.client
import shutil
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from caterva2.cli import subscriber_service
from caterva2.errors import ConfigError
from caterva2.web.server.forwarded import Forwarded, Proxies
from caterva2.web.server.hosts import AnyHost, Hosts
from caterva2.web.server.http import HttpServer
from caterva2.web.server.options import HttpOptions


def status(hosts: Hosts, *given: tuple[str, str]) -> int:
    refusal = hosts.refusal([(name.encode(), value.encode()) for name, value in given])
    return 200 if refusal is None else refusal[0]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("data.example", 200), ("DATA.example.:8002", 200), ("x.lab.example", 200),
        ("lab.example", 421), ("xlab.example", 421), ("data.example.evil.example", 421),
        ("127.0.0.1", 200), ("10.1.2.3:80", 200), ("[2001:db8::1]:443", 200), ("[evil]", 400),
        (socket.gethostname(), 200), ("localhost", 200), ("a.localhost:1", 200), ("", 200),
        ("localhost@evil.example", 400), ("evil.example/localhost", 400), ("x:y", 400),
    ],
)  # fmt: skip
def test_names_that_are_served(host: str, expected: int) -> None:
    hosts = Hosts(["data.example", "*.lab.example"])
    for _ in range(2):  # the second answer is a known one
        assert status(hosts, ("accept", "x"), ("host", host)) == expected
    assert status(Hosts(["*"]), ("host", host)) == (400 if expected == 400 else 200)
    assert AnyHost().refusal([(b"host", host.encode())]) is None


def test_two_hosts_are_refused_and_none_is_not() -> None:
    assert status(Hosts([]), ("host", "localhost"), ("host", "localhost")) == 400
    assert status(Hosts([])) == 200


def test_host_that_a_proxy_was_asked_for_has_to_be_served_too() -> None:
    given = ("host", "127.0.0.1:8002"), ("x-forwarded-host", "evil.example")
    assert status(Hosts([]), *given) == 200
    assert status(Hosts([], forwarded=True), *given) == 421
    assert status(Hosts(["evil.example"], forwarded=True), *given) == 200


def test_refused_hosts_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    hosts = Hosts([])
    for n in range(200):
        assert status(hosts, ("host", f"evil{n}.example")) == 421
    assert len(caplog.records) == 1


@pytest.mark.parametrize("name", ["http://data.example", "data.example:80", "", "a b", "*x"])
def test_hosts_that_are_no_names_are_refused_at_the_start(name: str) -> None:
    with pytest.raises(ConfigError, match="hosts"):
        Hosts([name])


def test_address_that_is_a_name_is_served() -> None:
    hosts = HttpOptions.of("data.example:80", [], [], "", "").hosts
    assert hosts.refusal([(b"host", b"data.example")]) is None
    assert hosts.refusal([(b"host", b"other.example")]) is not None


# --- proxies ---


def passed(proxies: list[str], client: str | None, **headers: str) -> tuple[str, str, str]:
    """Return client, scheme and host of a request as the application gets it."""
    seen: list[Any] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope)

    given = [(b"host", b"inner")]
    given += [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    peer = (client, 5) if client else None
    scope = {"type": "http", "client": peer, "scheme": "http", "headers": given}
    asyncio.run(Forwarded(app, Proxies(proxies))(scope, None, None))  # type: ignore[arg-type]
    host = [value.decode() for name, value in seen[0]["headers"] if name == b"host"]
    assert len(host) == 1
    return (seen[0]["client"] or ("unix",))[0], seen[0]["scheme"], host[0]


TOLD = {"x_forwarded_for": "192.0.2.7", "x_forwarded_proto": "https", "x_forwarded_host": "outer"}
LOCAL = ["127.0.0.1", "10.0.0.0/8"]


@pytest.mark.parametrize(
    ("proxies", "client", "expected"),
    [
        (LOCAL, "127.0.0.1", ("192.0.2.7", "https", "outer")),
        (LOCAL, "::ffff:127.0.0.1", ("192.0.2.7", "https", "outer")),
        (LOCAL, "192.0.2.9", ("192.0.2.9", "http", "inner")),
        (LOCAL, None, ("unix", "http", "inner")),
        (["unix"], None, ("192.0.2.7", "https", "outer")),
        (["unix"], "127.0.0.1", ("127.0.0.1", "http", "inner")),
        ([], "127.0.0.1", ("127.0.0.1", "http", "inner")),
    ],
)
def test_only_proxies_say_who_asks(proxies: list[str], client: str | None, expected: Any) -> None:
    assert passed(proxies, client, **TOLD) == expected


@pytest.mark.parametrize(
    ("hops", "expected"),
    [
        ("192.0.2.1, 192.0.2.7", "192.0.2.7"),
        ("192.0.2.1, 192.0.2.7, 10.0.0.3", "192.0.2.7"),
        ("10.0.0.2, 10.0.0.3", "10.0.0.2"),
        ("192.0.2.1,", "127.0.0.1"),
        ("", "127.0.0.1"),
        ("x" * 900, "x" * 64),
        (", ".join(["10.0.0.2"] * 500), "10.0.0.2"),
    ],
)
def test_what_a_client_writes_before_the_proxy_is_not_believed(hops: str, expected: str) -> None:
    assert passed(LOCAL, "127.0.0.1", x_forwarded_for=hops)[0] == expected


def test_schemes_that_are_none_are_ignored() -> None:
    assert passed(LOCAL, "127.0.0.1", x_forwarded_proto="javascript")[1] == "http"


@pytest.mark.parametrize("proxy", ["proxy.example", "127.0.0.1/8", "10.0.0.0/40", ""])
def test_proxies_that_are_no_addresses_are_refused_at_the_start(proxy: str) -> None:
    with pytest.raises(ConfigError, match="proxy"):
        Proxies([proxy])


# --- TLS ---


def test_certificates_that_can_not_be_used_are_named(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    for files in ((str(wrong), ""), (str(wrong), str(wrong)), (str(tmp_path / "none"), "")):
        with pytest.raises(ConfigError, match=r"ssl: .*(wrong\.pem|none).* can't be"):
            HttpOptions.of("127.0.0.1:0", [], [], *files)
    with pytest.raises(ConfigError, match="no certificate"):
        HttpOptions.of("127.0.0.1:0", [], [], "", str(wrong))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_server_with_a_certificate_speaks_https_and_takes_another_one(tmp_path: Path) -> None:
    file = tmp_path / "both.pem"

    def certify(serial: int) -> None:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
             "-set_serial", str(serial), "-keyout", tmp_path / "key", "-out", tmp_path / "cert"],
            check=True, capture_output=True,
        )  # fmt: skip
        file.write_text((tmp_path / "cert").read_text() + (tmp_path / "key").read_text())

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        body = scope["scheme"].encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    def ask(port: int) -> tuple[bytes, object]:
        trusted = ssl.create_default_context(cafile=str(file))
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=trusted)
        connection.request("GET", "/")
        body = connection.getresponse().read()
        serial = connection.sock.getpeercert()["serialNumber"]
        connection.close()
        return body, serial

    async def work() -> None:
        options = HttpOptions.of("127.0.0.1:0", [], [], str(file), "")
        async with HttpServer(app, "127.0.0.1:0", options=options) as server:  # type: ignore[arg-type]
            assert server.url.startswith("https://")
            port = int(server.url.rpartition(":")[2])
            assert await asyncio.to_thread(ask, port) == (b"https", "01")
            certify(2)
            assert options.certificate is not None
            options.certificate.load()
            assert await asyncio.to_thread(ask, port) == (b"https", "02")

    certify(1)
    asyncio.run(work())


@pytest.mark.parametrize("local", [True, False])
def test_open_server_that_others_reach_is_warned_of(
    local: bool, caplog: pytest.LogCaptureFixture
) -> None:
    class Server:
        is_local = local
        url = "http://0.0.0.0:8002"

    subscriber_service._warn_if_open(Server())  # type: ignore[arg-type]
    assert ["has no accounts" in record.message for record in caplog.records] == [True][local:]
