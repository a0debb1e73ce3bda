"""Uploads that go on over HTTP: offsets, rights, lost connections, and a server that is killed"""

from __future__ import annotations

import json
import socket
import urllib.parse
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.conftest import Stack, eventually
from tests.web.asking import Answer, ask
from tests.web.places import Places
from tests.web.specialthings import FRAME

DATA = np.random.default_rng(3).bytes(2_000_000)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    """A subscriber of its own, since it is killed."""
    stack = Stack(tmp_path_factory.mktemp("unfinished"))
    stack.secret = "keeps sessions"
    made = Places(stack)
    try:
        made.add_users("ann", "bob")
        stack.start_subscriber("sub", ("--broker", ""))
        yield made
    finally:
        stack.stop_all()


def begin(places: Places, path: str, size: int = len(DATA), **more: Any) -> Any:
    answer = places.post("ann", "api/uploads", {"path": path, "size": size, "tag": "t", **more})
    assert answer.status == 200, answer.body
    return answer.json


def send(places: Places, ident: str, at: object, body: bytes, who: str = "ann") -> Answer:
    given = {"Upload_Offset": str(at), **places.cookie(who)}
    return ask(places.stack, f"api/uploads/{ident}", "PATCH", body, **given)


def send_and_break(places: Places, ident: str, at: int, body: bytes) -> None:
    """Send the beginning of a body that is announced as longer, and close the connection."""
    parts = urllib.parse.urlsplit(places.stack.url)
    head = (
        f"PATCH /api/uploads/{ident} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpload-Offset: {at}\r\n"
        f"Cookie: {places.cookie('ann')['Cookie']}\r\nContent-Length: {len(DATA) - at}\r\n\r\n"
    )
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        connection.sendall(head.encode() + body)


def settled(places: Places, ident: str) -> int:
    """Wait until no request sends an upload, and return what has arrived."""

    def offset() -> int | None:
        state = places.get("ann", f"api/uploads/{ident}").json
        return None if state["active"] or not state["offset"] else state["offset"]

    return eventually(offset)  # type: ignore[return-value]


def test_an_upload_goes_on_after_a_broken_connection(places: Places) -> None:
    ident = begin(places, "@shared/broken.bin")["id"]
    send_and_break(places, ident, 0, DATA[:700_000])
    arrived = settled(places, ident)
    assert 0 < arrived <= 700_000
    asked = places.get("ann", f"api/uploads/{ident}", "HEAD")
    names = ("upload-offset", "upload-length", "upload-complete", "cache-control")
    assert [asked.headers[name] for name in names] == [
        str(arrived), str(len(DATA)), "?0", "no-store",
    ]  # fmt: skip
    wrong = send(places, ident, arrived - 1, DATA[arrived - 1 :])
    assert (wrong.status, wrong.json["name"]) == (409, "stale-version")
    assert wrong.json["info"] == {"offset": arrived}
    done = send(places, ident, arrived, DATA[arrived:])
    assert (done.status, done.json["complete"]) == (200, True)
    assert done.headers["upload-complete"] == "?1"
    assert places.get("ann", "api/download/@shared/broken.bin").body == DATA
    assert places.get("ann", f"api/uploads/{ident}").json["complete"]
    assert places.get("ann", "api/uploads").json == {"items": []}


def test_an_upload_goes_on_after_the_server_was_killed(places: Places) -> None:
    stack = places.stack
    ident = begin(places, "@personal/killed.bin")["id"]
    send_and_break(places, ident, 0, DATA[:1_200_000])
    arrived = settled(places, ident)
    stack.kill("sub")
    stack.start_subscriber("sub", ("--broker", ""))
    again = begin(places, "@personal/killed.bin")
    assert (again["id"], again["offset"]) == (ident, arrived)
    assert send(places, ident, arrived, DATA[arrived:]).json["complete"]
    assert places.get("ann", "api/download/@personal/killed.bin").body == DATA


def test_uploads_are_for_their_user_only(places: Places) -> None:
    ident = begin(places, "@shared/mine.bin", 3)["id"]
    target = f"api/uploads/{ident}"
    for who, status in (("bob", 404), ("nobody", 401)):
        assert places.get(who, target).status == status
        assert send(places, ident, 0, b"abc", who).status == status
        assert ask(places.stack, target, "DELETE", **places.cookie(who)).status == status
    assert places.get("bob", "api/uploads").json == {"items": []}
    assert places.get("nobody", "api/uploads").status == 401
    body = {"path": "@public/x", "size": 3}
    assert places.post("nobody", "api/uploads", body).status == 401
    assert places.post("bob", "api/uploads", body | {"path": "foo/x"}).status == 400
    listed = places.get("ann", "api/uploads").json["items"]
    assert [(one["id"], one["path"], one["offset"]) for one in listed] == [
        (ident, "@shared/mine.bin", 0)
    ]
    assert ask(places.stack, target, "DELETE", **places.cookie("ann")).json == "Ok"
    assert places.get("ann", target).status == 404


def test_if_match_holds_until_the_end(places: Places) -> None:
    places.send("ann", "api/upload/@shared/held.b2nd", FRAME)
    etag = places.get("ann", "api/info/@shared/held.b2nd").json["etag"]
    form = json.dumps({"path": "@shared/held.b2nd", "size": len(FRAME)})

    def begun(etag: str) -> Answer:
        given = {"If_Match": f'"{etag}"', **places.cookie("ann")}
        return ask(places.stack, "api/uploads", "POST", form, **given)

    assert begun("another").status == 412
    first, second = begun(etag).json["id"], begun(etag).json["id"]
    assert first != second
    assert send(places, first, 0, FRAME).json["complete"]
    refused = send(places, second, 0, FRAME)
    assert (refused.status, refused.json["name"]) == (412, "precondition-failed")
    assert places.get("ann", f"api/uploads/{second}").status == 404


@pytest.mark.parametrize(
    "form",
    [
        {"path": "@shared/x"},
        {"path": "@shared/x", "size": -1},
        {"path": "@shared/x", "size": 2**53},
        {"path": "@shared/x", "size": "3"},
        {"path": "@shared/x", "size": 3, "tag": "t" * 201},
        {"path": "@shared/.x", "size": 3},
        {"path": "@shared/../x", "size": 3},
        {"path": "@shared", "size": 3},
        {"path": "@shared/x.txt", "size": 3, "unpack": True},
    ],
)
def test_nonsense_begins_no_upload(places: Places, form: dict[str, Any]) -> None:
    before = places.get("ann", "api/uploads").json
    answer = places.post("ann", "api/uploads", form)
    assert answer.status in (400, 422)
    assert places.get("ann", "api/uploads").json == before


@pytest.mark.parametrize("at", ["", "-1", "1e3", "9" * 17, "0x1", " "])
def test_an_offset_is_a_number(places: Places, at: str) -> None:
    ident = begin(places, "@shared/offset.bin", 3)["id"]
    assert send(places, ident, at, b"abc").status == 400
    assert places.get("ann", f"api/uploads/{ident}").json["offset"] == 0
