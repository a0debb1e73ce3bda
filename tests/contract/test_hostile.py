"""No value of any parameter of any call gives 500, and none is answered late."""

from __future__ import annotations

import http.client
import itertools
import json
import re
import urllib.parse
from collections.abc import Iterator
from typing import Self

import pytest

from caterva2.rest import paths, stream
from caterva2.web.api import accounts as account_api
from caterva2.web.api import tokens
from caterva2.web.app import OPERATIONS
from caterva2.web.operation import Operation
from tests.conftest import Stack, example_root
from tests.thoroughness import some
from tests.web.asking import cookie_of, login

SUPER, WORD = "super@example.com", "correct horse"
EVERYTHING = (*OPERATIONS, *account_api.OPERATIONS, *tokens.OPERATIONS, account_api.REGISTER)
ENDLESS = (paths.EVENTS,)
ENDING = (paths.LOGOUT, paths.CHANGE_PASSWORD)
"""Calls that end the session that the others need."""

TEXTS = [
    b"", b" ", b"%00", b"%01", b"%07%1b%5b2J", b"%1f5", b"%1f5:", b"%1c", b"%7f", b"%0d%0aX:%20y",
    b"%ff", b"%c0%af", b"%ed%a0%80", b"%f4%90%80%80", b"%ef%bf%bd", b"%e2%80%ae", b"%u0041", b"%",
    b"%2", b"..", b"%2e%2e/%2e%2e", b"%252e", b"/", b"//", b"%2f", b"\\", b"a%5cb", b"%3Cscript%3E",
    b"'%22", b"-1", b"-0", b"1e300", b"NaN", b"nan", b"Infinity", b"0x10", b"%D9%A1", b"9" * 19,
    b"9" * 20, b"-" + b"9" * 400, b"9" * 5000, b":" + b"9" * 5000, b"::" + b"9" * 19,
    b"::-" + b"9" * 30, b"::0",
    b":,:,:,:", b"...,...", b"," * 200, b"[" * 2000, b"[]", b"[[]]", b"[null]", b"[1e400]",
    b"[[1e300]]", b"[[9223372036854775808]]", b"[[true]]", b"[%22::9%22]", b"[%22%1f5%22]", b"{}",
    b"[[0],[[0],[1]]]", b"[" + b"%22" + b"9" * 4500 + b"%22]", b"null", b"a" * 4000,
    b"%F0%9F%92%A9",
]  # fmt: skip
"""Values for paths and queries, encoded as a URL has them."""
HEADERS = [
    b"", b",", b"bytes=", b"bytes=-", b"bytes=--1", b"bytes=5-2", b"bytes=" + b"9" * 99 + b"-",
    b"bytes=-" + b"9" * 99, b"bytes=" + b"9" * 5000 + b"-", b"bytes=0-0" + b",0-0" * 90, b"*",
    b"W/",
    b'"', b'"\xff"', b"\x80\xff", b"x" * 5000, b"Fri, 31 Feb 99999 25:61:61 GMT", b"0", b"-1",
    b"Mon, 01 Jan 0001 00:00:00 -2359", b"Fri, 31 Dec 9999 23:59:59 +2359",
    stream.MEDIA_TYPE.encode() + b";q=\xb2", b"\t\t",
]  # fmt: skip
BODIES = [
    b"", b"{", b"null", b"[]", b"0", b'"x"', b"\xff\xfe", b"{}", b'{"slice_": 1}', b"[" * 9000,
    b'{"slice_": "\\u001f5"}', b'{"slice_": "\\ud800"}', b'{"indices": [[1e400]]}',
    b'{"indices": {}}',
    b'{"indices": [NaN]}', b'{"field": "\\u0000"}', b'{"field": ["a"]}', b'{"a":' * 5000,
    b'{"src": "@public/\\ud800", "dst": "@public/\\u0000"}', b'{"src": 1, "dst": null}',
    b'{"src": "@public/a", "dst": "@public/a"}', b'{"src": "", "dst": ""}',
    b'{"name": "x", "expression": "\\u0000", "operands": {}}',
    b'{"name": "x", "expression": "' + b"(" * 5000 + b'", "operands": {}}',
    b'{"name": "x", "expression": "a**a**9**9**9**9", "operands": {"a": "foo/ds-1d.b2nd"}}',
    b'{"name": "x", "expression": "a[%s]", "operands": {"a": "foo/ds-1d.b2nd"}}' % (b"9" * 5000),
    b'{"name": "x", "expression": "1e999*a", "operands": {"a": "foo/ds-1d.b2nd"}}',
    b'{"name": "\\ud800", "expression": "a", "operands": {"a": "foo/\\ud800"}}',
    b'{"name": 1, "expression": 1, "operands": 1, "compute": 1}',
    b'{"username": "\\ud800@x.y", "password": "' + b"\\u0000" * 9 + b'"}',
    b'{"email": "a@b", "password": ""}', b"username=%ff&password=%00", b"username=a&username=b",
    b"--X\r\n\r\n--X--",
    b"--X\r\nContent-Disposition: form-data; name=file; filename=\xff\r\n\r\n\r\n--X--",
    b'--X\r\nContent-Disposition: form-data; name="file"; filename="x.b2nd"\r\n\r\n'
    b"\x9e\xa8b2frame\0" + 90 * b"\xff" + b"\r\n--X--\r\n",
]  # fmt: skip
TYPES = ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=X"]
KNOWN = [b"foo", b"foo/ds-1d.b2nd", b"foo/README.md", b"@public", b"@public/x.b2nd"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, str]]:
    """Services with an account, and its cookie."""
    made = Stack(tmp_path_factory.mktemp("hostile"))
    made.secret = "keeps sessions"
    (made.directory / "caterva2.toml").write_text("[subscriber]\nregister = true\n")
    try:
        made.add_user(SUPER, WORD, "--superuser")
        made.start_services(foo=example_root())
        yield made, cookie_of(login(made, SUPER, WORD))
    finally:
        made.stop_all()


class Sender:
    """Send requests on one connection, as they are written; closed by ``with``."""

    def __init__(self, stack: Stack, cookie: str) -> None:
        parts = urllib.parse.urlsplit(stack.url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
        self._cookie = cookie

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def status(
        self, method: str, target: bytes, body: bytes = b"", **headers: bytes | str
    ) -> tuple[int, bytes]:
        connection = self._connection
        given = {"Cookie": self._cookie, **headers}
        lines = [f"{method} ".encode() + target + b" HTTP/1.1", b"Host: localhost"]
        for name, value in given.items():
            raw = value.encode() if isinstance(value, str) else value
            lines.append(name.replace("_", "-").encode() + b": " + raw)
        if body or method == "POST":
            lines.append(b"Content-Length: %d" % len(body))
        if connection.sock is None:
            connection.connect()
        connection.sock.sendall(b"\r\n".join([*lines, b"", b""]) + body)
        answer = http.client.HTTPResponse(connection.sock, method=method)
        answer.begin()
        content = answer.read()
        if answer.will_close:
            connection.close()
        return answer.status, content


def _targets(operation: Operation) -> Iterator[bytes]:
    """Yield targets with each value in each place of the path and of the query.

    Every day some of them for each call, and each of them for some calls.
    """
    turn = 10 if operation.path == paths.FETCH else 24, CALLS.index(operation)
    holders = re.findall(r"\{\w+\}", operation.path)
    if holders:
        pattern = operation.path.replace(holders[0], "\0").encode()
        for text in some(TEXTS, *turn):
            for path in (text, b"foo/" + text, b"@public/" + text):
                yield pattern.replace(b"\0", path)
    queries = [p.name for p in operation.parameters if p.where == "query"]
    for name, text, path in itertools.product([*queries, "x"], some(TEXTS, *turn), KNOWN[1:3]):
        if path is KNOWN[1] or (holders and name != "x"):
            yield _target(operation, path) + b"?" + name.encode() + b"=" + text


def _target(operation: Operation, path: bytes) -> bytes:
    return re.sub(rb"\{\w+\}", path, operation.path.encode())


def _headers(operation: Operation) -> Iterator[tuple[str, bytes]]:
    """Yield each value for each of its headers, and in turns for those that all calls have."""
    names = [p.name for p in operation.parameters if p.where == "header"]
    turn = CALLS.index(operation)
    all_of_them = operation.path == paths.FETCH
    yield from itertools.product(names, HEADERS if all_of_them else some(HEADERS, 4, turn))
    sent = some(HEADERS, 2 if all_of_them else 12, turn)
    yield from itertools.product(["Accept", "Cookie", "Origin"], sent)


def _bodies(operation: Operation) -> Iterator[tuple[bytes, bytes, str]]:
    """Yield each body of each type for a dataset and what may be written; in turns for others."""
    places = [KNOWN[1], KNOWN[4]] if "{" in operation.path else [b""]
    of_each_type = list(itertools.product(places, BODIES, TYPES))
    turn = 12, CALLS.index(operation)
    yield from some(of_each_type, *turn)
    for path in KNOWN[2:4] if "{" in operation.path else ():
        for body, kind in some(list(zip(BODIES, itertools.cycle(TYPES), strict=False)), *turn):
            yield path, body, kind


def _check(stack: Stack, sent: object, status: int, content: bytes) -> None:
    assert status not in (500, 421), (sent, content)  # 421: the calls were not reached
    assert 200 <= status < 600
    if status >= 400 and content:
        detail = json.loads(content)["detail"]
        assert isinstance(detail, str)
        assert detail.isprintable(), (sent, detail)


def _named(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


CALLS = [one for one in EVERYTHING if one.path not in (*ENDLESS, *ENDING)]


@pytest.mark.parametrize("operation", CALLS, ids=_named)
def test_no_path_and_no_query_fails(served: tuple[Stack, str], operation: Operation) -> None:
    stack, cookie = served
    with Sender(stack, cookie) as sender:
        for target in _targets(operation):
            if re.search(rb"/api/deluser/(super|%73)", target):
                continue
            _check(stack, target, *sender.status(operation.method, target))
    assert "Traceback" not in stack.log("sub")


@pytest.mark.parametrize("operation", CALLS, ids=_named)
def test_no_header_fails(served: tuple[Stack, str], operation: Operation) -> None:
    stack, cookie = served
    with Sender(stack, cookie) as sender:
        target = _target(operation, KNOWN[1])
        for name, value in _headers(operation):
            sent = {name: value}
            _check(stack, (target, sent), *sender.status(operation.method, target, **sent))
    assert "Traceback" not in stack.log("sub")


@pytest.mark.parametrize("operation", [c for c in CALLS if c.method == "POST"], ids=_named)
def test_no_body_fails(served: tuple[Stack, str], operation: Operation) -> None:
    stack, cookie = served
    with Sender(stack, cookie) as sender:
        for path, body, kind in _bodies(operation):
            target = _target(operation, path)
            sent = sender.status("POST", target, body, Content_Type=kind)
            _check(stack, (target, body[:200], kind), *sent)
    assert "Traceback" not in stack.log("sub")
