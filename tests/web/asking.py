"""Requests by path, and their answers."""

from __future__ import annotations

import http.client
import json
import urllib.parse
from dataclasses import dataclass
from typing import Any

from tests.conftest import Stack


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def login(stack: Stack, name: str, password: str) -> Answer:
    body = urllib.parse.urlencode({"username": name, "password": password})
    kind = "application/x-www-form-urlencoded"
    return ask(stack, "auth/jwt/login", "POST", body, Content_Type=kind)


def cookie_of(answer: Answer) -> str:
    """The cookie that an answer sets, as clients send it back."""
    return answer.headers["set-cookie"].partition(";")[0]


def ask(
    stack: Stack,
    target: str,
    method: str = "GET",
    body: bytes | str | None = None,
    **headers: str,
) -> Answer:
    """Send a request without changes, and read the answer."""
    parts = urllib.parse.urlsplit(stack.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    try:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, "/" + target, body, given)
        response = connection.getresponse()
        told = {name.lower(): value for name, value in response.getheaders()}
        answer = Answer(response.status, told, response.read())
        stack.check_told(answer.body, repr(told).encode())
        return answer
    finally:
        connection.close()
