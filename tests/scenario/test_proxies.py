"""The examples for nginx and Caddy: what a subscriber behind them knows of its clients"""

from __future__ import annotations

import http.client
import json
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import HeldPort, Stack, eventually, example_root

CONF = Path(__file__).parent.parent.parent / "conf"
SETTINGS = """
[subscriber]
hosts = ["data.example", "lab.example"]
proxy = ["127.0.0.1"]
prefix = "/data"
"""
WORD = "correct horse"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    made = Stack(tmp_path_factory.mktemp("proxied"))
    made.secret = "keeps sessions"
    made.configure(SETTINGS)
    try:
        made.add_user("ann@example.com", WORD)
        made.start(foo=example_root())
        yield made
    finally:
        made.stop_all()


def _certified(directory: Path) -> Path:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-subj", "/CN=data.example", "-addext", "subjectAltName=DNS:data.example",
         "-keyout", directory / "key.pem", "-out", directory / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    return directory / "cert.pem"


def _nginx(directory: Path, port: int, subscriber: str, prefix: str) -> list[str]:
    server, _, below = (CONF / "nginx.conf").read_text().partition("# Below a path")
    if prefix:  # the first line of the example, over the lines that it refers to
        server = server.replace("location / {", below.partition("#\n# ")[2].partition("\n")[0])
    server = server.replace("listen 443", f"listen 127.0.0.1:{port}")
    server = server.replace("127.0.0.1:8002", subscriber)
    server = server.replace("/etc/ssl/certs/data.example.pem", f"{directory}/cert.pem")
    server = server.replace("/etc/ssl/private/data.example.key", f"{directory}/key.pem")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {directory}/{kind};\n" for kind in kinds)
    text = (
        f"daemon off;\npid {directory}/pid;\nerror_log {directory}/error.log;\nuser root;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{places}{server}\n}}\n"
    )
    (directory / "nginx.conf").write_text(text)
    return ["nginx", "-e", f"{directory}/error.log", "-c", f"{directory}/nginx.conf"]


def _caddy(directory: Path, port: int, subscriber: str, prefix: str) -> list[str]:
    site, _, below = (CONF / "Caddyfile").read_text().partition("# Below a path")
    if prefix:
        site = below.partition("#\n")[2].replace("# ", "").replace("lab.example", "data.example")
    site = site.replace("127.0.0.1:8002", subscriber).replace(
        "data.example {",
        f"data.example:{port} {{\n\tbind 127.0.0.1\n\ttls {directory}/cert.pem {directory}/key.pem",
    )
    text = f"{{\n\tadmin off\n\tauto_https disable_redirects\n\tgrace_period 1s\n}}\n{site}"
    (directory / "Caddyfile").write_text(text)
    return ["caddy", "run", "--adapter", "caddyfile", "--config", f"{directory}/Caddyfile"]


class Proxied:
    """A client that reaches the subscriber by its public name, through the proxy."""

    def __init__(self, port: int, certificate: Path, prefix: str) -> None:
        self._port, self._prefix = port, prefix
        self._trusted = ssl.create_default_context(cafile=str(certificate))

    def ask(
        self, method: str, target: str, body: str | None = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        connection.connect()
        connection.sock = self._trusted.wrap_socket(connection.sock, server_hostname="data.example")
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(
            method, self._prefix + target, body, {"Host": f"data.example:{self._port}", **given}
        )
        answer = connection.getresponse()
        content = answer.readline() if target.endswith("events") else answer.read()
        connection.close()
        return answer.status, answer.headers, content


@pytest.mark.parametrize("prefix", ["", "/data"])
@pytest.mark.parametrize("proxy", ["nginx", "caddy"])
def test_example_passes_on_who_asks_and_how(
    stack: Stack, proxy: str, prefix: str, tmp_path: Path
) -> None:
    if shutil.which(proxy) is None or shutil.which("openssl") is None:
        pytest.skip(f"{proxy} and openssl are needed")
    certificate, held = _certified(tmp_path), HeldPort()
    port = held.number
    make = {"nginx": _nginx, "caddy": _caddy}[proxy]
    command = make(tmp_path, port, stack.url.removeprefix("http://"), prefix)
    environment = {"HOME": str(tmp_path), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    with (tmp_path / "log").open("wb") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        client = Proxied(port, certificate, prefix)
        eventually(lambda: _answers(client))
        status, _, body = client.ask("GET", "/api/fetch/foo/ds-1d.b2nd?slice_=:3&format=json")
        assert (status, json.loads(body)) == (200, [0, 1, 2])
        _, _, line = client.ask("GET", "/api/events")
        assert line == b"retry: 2000\n"  # as it comes
        form = f"username=ann@example.com&password={WORD.replace(' ', '+')}"
        own, kind = f"https://data.example:{port}", "application/x-www-form-urlencoded"
        told = {"Content_Type": kind, "X_Forwarded_For": "192.0.2.66"}
        status, headers, _ = client.ask("POST", "/auth/jwt/login", form, Origin=own, **told)
        assert (status, "Secure" in headers["set-cookie"]) == (204, True)
        assert "Path=/data;" in headers["set-cookie"]
        assert client.ask("GET", "/favicon.ico")[1]["location"].startswith("/data/static/")
        log_lines = (stack.directory / "sub.log").read_text()
        assert "logged in from 127.0.0.1" in log_lines  # the proxy's client, who forged nothing
        assert "192.0.2.66" not in log_lines
        evil = "https://evil.example"
        assert client.ask("POST", "/auth/jwt/login", form, Origin=evil, **told)[0] == 403
    finally:
        running.terminate()
        running.wait(20)
        held.close()


def _answers(client: Proxied) -> bool:
    try:
        return client.ask("GET", "/healthz")[0] == 200
    except OSError:
        return False
