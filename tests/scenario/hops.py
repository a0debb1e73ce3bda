"""Subscribers with users at all hops that data takes: by mirrors, and by an upstream over HTTPS."""

from __future__ import annotations

import functools
import http.client
import json
import re
import shutil
import ssl
import subprocess
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path

from caterva2.cli.children import Child
from tests.conftest import Stack, eventually, example_root
from tests.inprocess import add_user
from tests.web.accountworld import ANN, BOB, SETTINGS, SUPER, WORD
from tests.web.asking import Answer, cookie_of

USERS = {"ann": ANN, "bob": BOB, "super": SUPER}
WHO = ("ann", "nobody", "bob", "super", "ann's narrow")
"""The one who may read most asks first: what the others ask for is cached."""
GROUPS = '[subscriber]\nbroker = "{broker}"\n[subscriber.groups]\nanns = ["ann@example.com"]\n'
"""Settings of another site, which hides nothing by itself."""
EVERYBODY = frozenset(WHO)
NARROW = frozenset({"plain", "anns"})
"""The roots that the scope of Ann's token has."""
ANN_ALONE = frozenset({"ann", "ann's narrow"})
USERS_ALONE = EVERYBODY - {"nobody"}
AT_LAB = {
    "plain": EVERYBODY, "open": EVERYBODY, "members": USERS_ALONE, "anns": ANN_ALONE,
    "theirs": ANN_ALONE, "both": frozenset({"bob"}),
}  # fmt: skip
ELSEWHERE = dict.fromkeys(AT_LAB, EVERYBODY) | {"theirs": ANN_ALONE, "both": USERS_ALONE}
"""What publishers say holds everywhere, and what the lab's settings say there."""
UPSTREAM = AT_LAB | {"members": ANN_ALONE, "both": frozenset()}
"""The lab shows what Ann may read, whose token is used; if not all may, to her alone."""
READERS = {"lab": AT_LAB, "near": AT_LAB, "far": ELSEWHERE, "home": UPSTREAM}
"""Who reads a root: at the lab, a mirror; near it, where all is taken from that mirror,
which is one at another site; far away, at that site; and at home, whose upstream is the lab."""


def may(hop: str, root: str, who: str) -> bool:
    """Return whether a user reads a root there."""
    return who in READERS[hop][root] and (who != "ann's narrow" or root in NARROW)


@dataclass
class Hops:
    """All services, and what proves who asks, by hop."""

    stack: Stack
    roots: tuple[str, ...]
    urls: dict[str, str] = field(default_factory=dict)
    proofs: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    _connections: dict[str, http.client.HTTPConnection] = field(default_factory=dict)

    @property
    def certificate(self) -> Path:
        return self.stack.directory / "cert.pem"

    def start(self) -> None:
        """Start the lab, its mirrors, another site and a home."""
        stack, far = self.stack, self.stack.hold_port().address
        stack.secret = "keeps sessions"
        stack.configure(SETTINGS)
        stack.start_broker()
        given = "--endpoint", far, "--xsub", "127.0.0.1:0", "--xpub", "127.0.0.1:0"
        stack.spawn("bro-far", "cat2bro", *given).ready()
        published = [
            stack.spawn_publisher(root, example_root(), f"pub-{root}", "--id", root)
            for root in self.roots
        ]
        at_lab = "--publish", "*", "--publish-endpoint", "127.0.0.2:0"
        lab = self._spawn("lab", "--broker", stack.broker, *self._tls(), *at_lab)
        (stack.directory / "near.toml").write_text(
            '[subscriber]\nprefer = ["127.0.0.2"]\n' + SETTINGS.replace("[subscriber]\n", "", 1)
        )
        at_near = "--publish", "*", "--publish-to", far
        near = self._spawn("near", "--broker", stack.broker, *at_near)
        there = self._spawn("far", "--broker", far)
        for child in published:
            child.ready()
        for name, child in (("lab", lab), ("near", near), ("far", there)):
            self._known(name, child)
        self._start_home()
        for name, readers in READERS.items():
            seen = {root for root in self.roots if "ann" in readers[root]}
            eventually(functools.partial(self._sees, name, seen), 60)

    def _sees(self, hop: str, roots: set[str]) -> bool:
        return roots <= self.ask(hop, "ann", "api/roots").json.keys()

    def _start_home(self) -> None:
        token = self.stack.directory / "token"
        token.touch(0o600)
        token.write_text(self._token("lab", "*"))
        given = "--upstream", self.urls["lab"], "--upstream-token-file", str(token)
        ca = "--upstream-ca-file", str(self.certificate)
        self._known("home", self._spawn("home", "--broker", "", *given, *ca))

    def _spawn(self, name: str, *given: str) -> Child:
        for user in USERS.values():
            add_user(self.stack.directory / name, user, WORD, superuser=user == SUPER)
        self.stack.passwords.add(WORD)
        conf = self.stack.directory / f"{name}.toml"
        if not conf.exists():
            conf.write_text(SETTINGS if name == "lab" else GROUPS.format(broker=""))
        return self.stack.spawn(
            name, "cat2sub", "--conf", str(conf), "--http", "127.0.0.1:0", *given
        )

    def _known(self, name: str, child: Child) -> None:
        """Wait for a subscriber, and log all users in there."""
        found = re.search(r"https?://\S+:\d+", child.ready())
        assert found
        self.urls[name] = found[0].replace("127.0.0.1", "localhost")
        self.proofs[name] = {"nobody": {}}
        for who, user in USERS.items():
            body = urllib.parse.urlencode({"username": user, "password": WORD})
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            answer = self.ask(name, "nobody", "auth/jwt/login", "POST", body, **kind)
            self.proofs[name][who] = {"Cookie": cookie_of(answer)}
        self.tokens[name] = self._token(name, *NARROW)
        bearer = {"Authorization": f"Bearer {self.tokens[name]}"}
        self.proofs[name]["ann's narrow"] = bearer

    def _token(self, name: str, *roots: str) -> str:
        body = json.dumps({"name": "a test", "roots": roots})
        answer = self.ask(name, "ann", "api/tokens", "POST", body)
        assert answer.status == 201, answer.body
        made: str = answer.json["token"]
        self.stack.passwords.add(made)
        return made

    def _tls(self) -> tuple[str, ...]:
        key = self.stack.directory / "key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
             "-keyout", key, "-out", self.certificate],
            check=True, capture_output=True,
        )  # fmt: skip
        return "--ssl-certfile", str(self.certificate), "--ssl-keyfile", str(key)

    def ask(
        self, hop: str, who: str, target: str, method: str = "GET", body: str = "",
        *, again: bool = True, **more: str,
    ) -> Answer:  # fmt: skip
        """Send a request of a user to a subscriber."""
        connection = self._connections.get(hop) or self._connection(hop)
        self._connections[hop] = connection
        try:
            connection.request(method, f"/{target}", body or None, self.proofs[hop][who] | more)
            answer = connection.getresponse()
            told = {key.lower(): value for key, value in answer.getheaders()}
            return Answer(answer.status, told, answer.read())
        except (http.client.HTTPException, OSError):
            connection.close()
            del self._connections[hop]
            if again:  # it was idle for too long
                return self.ask(hop, who, target, method, body, again=False, **more)
            raise

    def _connection(self, hop: str) -> http.client.HTTPConnection:
        parts = urllib.parse.urlsplit(self.urls[hop])
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.netloc, timeout=30)
        trusted = ssl.create_default_context(cafile=self.certificate)
        return http.client.HTTPSConnection(parts.netloc, timeout=30, context=trusted)

    def close(self) -> None:
        """Close the connections and end the services."""
        for one in self._connections.values():
            one.close()
        self.stack.stop_all()


def missing() -> str:
    """Return what the machine lacks for these services."""
    return "" if shutil.which("openssl") else "makes a certificate with openssl"
