"""A subscriber with users, and their requests to its special roots."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import caterva2
from tests.conftest import Stack
from tests.web.asking import Answer, ask, cookie_of, login

WORD = "correct horse"
NAMES = {"ann": "ann@example.com", "bob": "bob@example.com", "super": "super@example.com"}


def form(content: bytes, name: str = "x.b2nd", field_name: str = "file") -> tuple[bytes, str]:
    """A multipart body with one file, and its content type."""
    head = f'--XX\r\nContent-Disposition: form-data; name="{field_name}"; filename="{name}"\r\n\r\n'
    return head.encode() + content + b"\r\n--XX--\r\n", "multipart/form-data; boundary=XX"


@dataclass
class Places:
    """Users of a subscriber over HTTP; ``nobody`` has no session."""

    stack: Stack
    cookies: dict[str, str] = field(default_factory=dict)

    def add_users(self, *who: str) -> None:
        for name in who:
            given = ("--superuser",) if name == "super" else ()
            self.stack.add_user(NAMES[name], WORD, *given)

    def client(self, who: str) -> caterva2.Client:
        return caterva2.Client(self.stack.url, auth=(NAMES[who], WORD))

    def cookie(self, who: str) -> dict[str, str]:
        if who == "nobody":
            return {}
        if who not in self.cookies:
            self.cookies[who] = cookie_of(login(self.stack, NAMES[who], WORD))
        return {"Cookie": self.cookies[who]}

    def get(self, who: str, target: str, method: str = "GET") -> Answer:
        return ask(self.stack, target, method, **self.cookie(who))

    def send(self, who: str, target: str, content: bytes, name: str = "x.b2nd") -> Answer:
        body, kind = form(content, name)
        return ask(self.stack, target, "POST", body, Content_Type=kind, **self.cookie(who))

    def post(self, who: str, target: str, body: Any = None) -> Answer:
        content = None if body is None else json.dumps(body)
        return ask(self.stack, target, "POST", content, **self.cookie(who))

    def transfer(self, who: str, how: str, src: str, dst: str) -> Answer:
        return self.post(who, f"api/{how}/", {"src": src, "dst": dst})

    def names(self, who: str, root: str) -> list[str]:
        listed: list[str] = self.get(who, f"api/list/{root}").json
        return listed


@contextmanager
def places_that_restart(directory: Path, quota: str) -> Iterator[Places]:
    """Start a subscriber with a quota and a user, at an address that it keeps."""
    stack = Stack(directory)
    stack.secret = "keeps sessions"
    stack.configure(f'[subscriber]\nquota = "{quota}"\n')
    made = Places(stack)
    try:
        made.add_users("ann")
        start_without_broker(stack, stack.hold_port().address)
        yield made
    finally:
        stack.stop_all()


def start_without_broker(stack: Stack, address: str) -> None:
    stack.start_subscriber("sub", ("--broker", "", "--http", address))
