"""Move, copy and remove in special roots, their events and quota."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import caterva2
from tests.conftest import Stack, eventually
from tests.web.places import Places
from tests.web.specialthings import FRAME, README, values


def prepared(places: Places, directory: str) -> None:
    for name in ("x.b2nd", "sub/y.b2nd"):
        assert places.send("ann", f"api/upload/{directory}/{name}", FRAME).status == 200


@pytest.mark.parametrize("how", ["move", "copy"])
@pytest.mark.parametrize(
    ("src", "dst", "where"),
    [
        ("x.b2nd", "@shared/{d}/new.b2nd", "@shared/{d}/new.b2nd"),
        ("x.b2nd", "@shared/{d}/bare", "@shared/{d}/bare/x.b2nd"),
        ("x.b2nd", "@shared/{d}/", "@shared/{d}/x.b2nd"),
        ("x.b2nd", "@public", "@public/x.b2nd"),
        ("x.b2nd", "@public/{d}/sub", "@public/{d}/sub/x.b2nd"),
        ("sub", "@shared/{d}/fresh", "@shared/{d}/fresh"),
        ("sub", "@shared/{d}/fresh/", "@shared/{d}/fresh/sub"),
    ],
)
def test_where_things_go(
    places: Places, how: str, src: str, dst: str, where: str, request: pytest.FixtureRequest
) -> None:
    name = f"go{abs(hash(request.node.name))}"
    prepared(places, f"@public/{name}")
    answer = places.transfer("ann", how, f"@public/{name}/{src}", dst.format(d=name))
    assert (answer.status, answer.json) == (200, where.format(d=name))
    assert places.get("ann", f"api/info/{answer.json}").status == 200
    gone = places.get("ann", f"api/info/@public/{name}/{src}").status
    assert gone == (404 if how == "move" else 200)


@pytest.mark.parametrize("how", ["move", "copy"])
@pytest.mark.parametrize(
    ("src", "dst", "status"),
    [
        ("@public/bad/none.b2nd", "@public/bad/new.b2nd", 404),
        ("@public/bad/x.b2nd", "foo/new.b2nd", 400),
        ("@public/bad/x.b2nd", "@public/bad/../x.b2nd", 400),
        ("@public/bad/x.b2nd", "@public/bad/x.b2nd/y.b2nd", 400),
        ("@public/bad/x.b2nd", "@public/bad/.x", 400),
        ("@public/bad/x.b2nd", "@public/bad/x.b2nd", 400),
        ("@public/bad/sub", "@public/bad/README.md", 409),
        ("@public/bad/README.md", "@public/bad/readme.b2nd", 400),
        ("@public/bad/x.b2nd", "@public/bad/full/", 409),
        ("", "@public/bad", 400),
        ("@public/bad/x.b2nd", "", 400),
    ],
)
def test_what_can_not_go_stays(places: Places, how: str, src: str, dst: str, status: int) -> None:
    prepared(places, "@public/bad")
    places.send("ann", "api/upload/@public/bad/README.md", README)
    places.send("ann", "api/upload/@public/bad/full/x.b2nd_/y", b"1")
    if dst.endswith("full/"):
        src = "@public/bad/x.b2nd_"
        places.send("ann", f"api/upload/{src}", b"1")
    before = places.names("ann", "@public")
    answer = places.transfer("ann", how, src, dst)
    assert (answer.status, "detail" in answer.json) == (status, True), answer.json
    assert places.names("ann", "@public") == before


def test_a_directory_does_not_go_into_itself(places: Places) -> None:
    prepared(places, "@public/self")
    assert places.transfer("ann", "move", "@public/self", "@public/self/sub/").status == 400
    assert places.transfer("ann", "move", "@public", "@shared/all").status == 400


@pytest.mark.parametrize("body", [None, {}, {"src": "@public/x"}, {"src": 1, "dst": 2}, []])
@pytest.mark.parametrize("how", ["move", "copy"])
def test_a_body_that_names_no_places_is_refused(places: Places, how: str, body: Any) -> None:
    assert places.post("ann", f"api/{how}/", body).status == 422


def test_published_data_is_fetched_to_be_copied(places: Places) -> None:
    for name in ("ds-1d.b2nd", "README.md", "ds-hello.b2frame", "dir1/ds-3d.b2nd"):
        answer = places.transfer("ann", "copy", f"foo/{name}", "@shared/fetched/")
        assert answer.json == f"@shared/fetched/{name.rpartition('/')[2]}"
    assert places.get("bob", "api/download/@shared/fetched/README.md").body == README
    found = values(places, "bob", "@shared/fetched/ds-1d.b2nd")
    assert (found == np.arange(1000)).all()
    assert places.transfer("ann", "copy", "foo", "@shared/whole").json == "@shared/whole"
    assert places.names("bob", "@shared/whole") == places.names("bob", "foo")
    for name in places.names("bob", "foo"):
        for key in ("schunk", "shape", "dtype", "nbytes"):
            here, there = (
                places.get("bob", f"api/info/{root}/{name}").json
                for root in ("@shared/whole", "foo")
            )
            if key == "schunk" and key in here:
                assert here[key]["vlmeta"] == there[key]["vlmeta"]
            else:
                assert here.get(key) == there.get(key)


def test_what_is_removed_is_in_the_trash_of_those_who_may_write(places: Places) -> None:
    for path in ("@personal/trashed/x.b2nd", "@shared/trashed.b2nd"):
        assert places.send("ann", f"api/upload/{path}", FRAME).status == 200
        assert places.post("ann", f"api/remove/{path}").status == 200
    listed = places.get("ann", "api/trash").json
    found = {item["path"]: item for item in listed["items"]}
    assert listed["size"] >= sum(item["size"] for item in found.values())
    item = found["@personal/trashed/x.b2nd"]
    assert item["removed"] < item["expires"] and item["size"] > 0
    assert item["path"] not in {one["path"] for one in places.get("bob", "api/trash").json["items"]}
    assert places.post("bob", f"api/trash/{item['id']}").status == 404
    assert places.post("ann", f"api/trash/{item['id']}").json == item["path"]
    assert places.get("ann", f"api/info/{item['path']}").status == 200
    shared = found["@shared/trashed.b2nd"]["id"]
    assert places.get("bob", f"api/trash/{shared}", "DELETE").json > 0
    assert places.post("ann", f"api/trash/{shared}").status == 404


def test_what_is_removed_is_gone(places: Places) -> None:
    prepared(places, "@public/rm")
    assert places.post("bob", "api/remove/@public/rm/x.b2nd").json == "@public/rm/x.b2nd"
    assert places.names("nobody", "@public/rm") == ["sub/y.b2nd"]
    assert places.post("bob", "api/remove/@public/rm").json == "@public/rm"
    assert places.get("nobody", "api/list/@public/rm").status == 404
    answer = places.post("bob", "api/remove/@public/rm")
    assert (answer.status, answer.json["detail"]) == (404, "The specified path does not exist")
    assert places.post("bob", "api/remove/foo/ds-1d.b2nd").status == 400
    places.send("bob", "api/upload/@personal/x", b"1")
    assert places.post("bob", "api/remove/@personal").json == "@personal"
    assert places.names("bob", "@personal") == []


# --- events, and what belongs to users ---


def test_changes_are_sent_to_users_who_may_read_them(places: Places) -> None:
    with (
        places.stack.open("api/events", **places.cookie("ann")) as anns,
        places.stack.open("api/events", **places.cookie("bob")) as bobs,
        places.stack.open("api/events") as nobodys,
    ):
        for stream in (anns, bobs, nobodys):
            assert stream.readline() == b"retry: 2000\n"
        for root in ("@personal", "@shared", "@public"):
            places.send("ann", f"api/upload/{root}/told", b"1")
        told = {name: _changes(stream) for name, stream in
                (("ann", anns), ("bob", bobs), ("nobody", nobodys))}  # fmt: skip
    assert told == {
        "ann": ["@personal", "@shared", "@public"],
        "bob": ["@shared", "@public"],
        "nobody": ["@public"],
    }


def _changes(stream: Any) -> list[str]:
    """Return the roots of the change events, up to that of @public."""
    found: list[str] = []
    while "@public" not in found:
        line = stream.readline()
        if line.startswith(b"data:") and b'"told"' in line:
            found.append(json.loads(line[5:])["root"])
    return found


def test_a_file_put_into_the_directory_is_seen(places: Places) -> None:
    (places.stack.directory / "sub/spaces/public/by-hand.txt").write_text("hello")
    eventually(lambda: "by-hand.txt" in places.names("nobody", "@public"))
    (places.stack.directory / "sub/spaces/public/by-hand.txt").unlink()
    eventually(lambda: "by-hand.txt" not in places.names("nobody", "@public"))


def test_a_deleted_users_own_root_goes_too(places: Places) -> None:
    places.stack.add_user("carl@example.com", "correct horse")
    with places.client("super") as root:
        carl = root.listusers("carl@example.com")[0]["id"]
        auth = ("carl@example.com", "correct horse")
        with caterva2.Client(places.stack.url, auth=auth) as client:
            client.upload(b"1", "@personal/x")
        directory = places.stack.directory / "sub/spaces/personal" / carl
        assert [path.name for path in directory.iterdir()] == ["x"]
        root.deluser("carl@example.com")
        assert not directory.exists()


# --- the quota ---


@pytest.fixture
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    stack = Stack(tmp_path_factory.mktemp("small"))
    stack.secret = "keeps sessions"
    stack.configure('[subscriber]\nmetrics_for = "public"\n')
    made = Places(stack)
    try:
        made.add_users("ann")
        stack.start_subscriber(given=("--broker", "", "--quota", "3MB"))
        yield made
    finally:
        stack.stop_all()


def test_the_quota_is_checked_while_a_file_arrives(small: Places) -> None:
    assert small.send("ann", "api/upload/@public/one", bytes(2_000_000)).status == 200
    answer = small.send("ann", "api/upload/@shared/two", bytes(50_000_000))
    assert (answer.status, answer.json["name"]) == (507, "quota-exceeded")
    assert "quota limit has been exceeded" in answer.json["detail"]
    assert small.names("ann", "@shared") == []
    assert small.stack.metric("special_roots_bytes") == 2_000_000
    assert small.transfer("ann", "copy", "@public/one", "@personal/one.bin").status == 507
    assert small.post("ann", "api/remove/@public/one").status == 200
    assert small.send("ann", "api/upload/@shared/two", bytes(2_500_000)).status == 200
    assert small.stack.metric("special_roots_bytes") == 2_500_000


def test_what_an_earlier_run_kept_counts(small: Places) -> None:
    small.send("ann", "api/upload/@personal/one", bytes(2_000_000))
    small.stack.stop("sub")
    small.stack.start_subscriber(given=("--broker", "", "--quota", "3MB"))
    assert small.stack.metric("special_roots_bytes") == 2_000_000
    assert small.send("ann", "api/upload/@public/two", bytes(2_000_000)).status == 507
    assert small.names("ann", "@personal") == ["one"]
