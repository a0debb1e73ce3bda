"""The special roots over HTTP: who may do what, what is refused, and what is one step."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import blosc2
import numpy as np
import pytest

import caterva2
from tests.conftest import Stack, eventually, example_root
from tests.unit.samples import array_frame
from tests.web.asking import ask
from tests.web.places import Places, form

FRAME = array_frame(np.arange(12).reshape(6, 2), chunks=(4, 2), blocks=(2, 2))
README = (example_root() / "README.md").read_bytes()


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    stack = Stack(tmp_path_factory.mktemp("places"))
    stack.secret = "keeps sessions"
    made = Places(stack)
    (stack.directory / "caterva2.toml").write_text(
        '[subscriber.roots.anns]\nread = ["ann@example.com"]\n'
    )
    try:
        made.add_users("ann", "bob", "super")
        stack.start_broker()
        stack.start_publisher("foo", example_root(), name="foo")
        stack.start_publisher("anns", example_root(), name="anns")
        stack.start_subscriber()
        eventually(lambda: {"foo", "anns"} <= made.get("ann", "api/roots").json.keys())
        yield made
    finally:
        stack.stop_all()


def values(places: Places, who: str, path: str) -> np.ndarray:
    answer = places.get(who, f"api/fetch/{path}")
    assert answer.status == 200, answer.body
    found: np.ndarray = blosc2.ndarray_from_cframe(answer.body)[()]
    return found


# --- who ---

# root -> who reads, who writes
MATRIX = {
    "@public": ({"nobody", "ann", "bob"}, {"ann", "bob"}),
    "@shared": ({"ann", "bob"}, {"ann", "bob"}),
    "@personal": ({"ann"}, {"ann", "bob"}),
    "foo": ({"nobody", "ann", "bob"}, set()),
    "anns": ({"ann"}, set()),
}


@pytest.mark.parametrize("who", ["nobody", "ann", "bob"])
@pytest.mark.parametrize("root", MATRIX)
def test_who_reads_and_who_writes(places: Places, root: str, who: str) -> None:
    readers, writers = MATRIX[root]
    if writers:
        assert places.send("ann", f"api/upload/{root}/who.b2nd", FRAME).status == 200
    path = f"{root}/who.b2nd" if writers else f"{root}/ds-1d.b2nd"
    expected = 200 if who in readers else 404
    for target in (f"api/info/{path}", f"api/fetch/{path}", f"api/fetch/{path}?slice_=0",
                   f"api/chunk/{path}?nchunk=0", f"api/download/{path}"):  # fmt: skip
        if root == "@personal" and who == "bob":
            assert places.get(who, target).status == 404
        else:
            assert places.get(who, target).status == expected, target
    refused = 401 if who == "nobody" else 400
    status = 200 if who in writers else refused
    assert places.send(who, f"api/upload/{root}/w-{who}.b2nd", FRAME).status == status
    assert places.send(who, f"api/append/{root}/w-{who}.b2nd", FRAME).status == status
    assert (
        places.transfer(who, "copy", f"{root}/w-{who}.b2nd", f"{root}/c-{who}.b2nd").status
        == status
    )
    assert (
        places.transfer(who, "move", f"{root}/c-{who}.b2nd", f"{root}/m-{who}.b2nd").status
        == status
    )
    assert places.post(who, f"api/remove/{root}/m-{who}.b2nd").status == status


def test_nobody_is_told_what_would_be_needed(places: Places) -> None:
    assert places.send("nobody", "api/upload/@public/x", b"1").json["detail"] == "Unauthorized"
    assert places.get("nobody", "api/list/@shared").json["detail"] == "@shared needs authentication"
    answer = places.post("nobody", "api/subscribe/@personal")
    assert (answer.status, answer.json["detail"]) == (
        401, "Subscribing to @personal requires authentication",
    )  # fmt: skip


def test_special_roots_are_listed_for_whom_they_are(places: Places) -> None:
    listed = places.get("ann", "api/roots").json
    assert {"@public", "@shared", "@personal"} <= listed.keys()
    assert listed["@public"] == {"name": "@public", "http": "", "subscribed": True}
    special = {name for name in places.get("nobody", "api/roots").json if name.startswith("@")}
    assert special == {"@public"}


def test_nobody_copies_what_only_others_may_read(places: Places) -> None:
    for src in ("anns/ds-1d.b2nd", "anns"):
        answer = places.transfer("bob", "copy", src, "@public/stolen")
        assert answer.status == 404
    places.send("ann", "api/upload/@personal/secret.b2nd", FRAME)
    assert places.transfer("bob", "copy", "@personal/secret.b2nd", "@public/").status == 404
    assert places.transfer("bob", "move", "@personal/secret.b2nd", "@public/").status == 404
    assert places.transfer("ann", "copy", "anns/ds-1d.b2nd", "@personal/own").status == 200


def test_without_accounts_writing_requires_authentication(stack: Stack) -> None:
    stack.start_subscriber(given=("--broker", ""))
    body, kind = form(FRAME)
    answer = ask(stack, "api/upload/@public/x.b2nd", "POST", body, Content_Type=kind)
    assert (answer.status, answer.json["detail"]) == (401, "Uploading requires authentication")
    for target in ("api/remove/@public", "api/copy/", "api/move/", "api/append/@public/x"):
        answer = ask(stack, target, "POST", "{}")
        assert answer.status == 401
        assert answer.json["detail"].endswith("requires authentication")


# --- reading ---

READING = (
    "api/fetch/{}/ds-1d.b2nd?slice_=3:500:7",
    "api/fetch/{}/dir2/ds-4d.b2nd?slice_=1, 2, ..., ::-1",
    "api/fetch/{}/ds-1d.b2nd?slice_=100:300",
    "api/fetch/{}/ds-1d.b2nd?indices=[[5,1,999]]",
    "api/fetch/{}/dir1/ds-2d.b2nd?indices=[[0,9],3]",
    "api/fetch/{}/ds-1d-fields.b2nd?slice_=:10&field=b",
    "api/fetch/{}/ds-2d-fields.b2nd?field=a",
    "api/fetch/{}/ds-sc-attr.b2nd?slice_=...",
    "api/fetch/{}/ds-hello.b2frame?slice_=5:200",
    "api/fetch/{}/README.md?slice_=2:20",
    "api/chunk/{}/ds-1d.b2nd?nchunk=3",
    "api/chunk/{}/README.md?nchunk=0",
    "api/download/{}/README.md",
    "api/list/{}",
    "api/list/{}/dir1",
)
REFUSED = (
    "api/fetch/{}/ds-1d.b2nd?slice_=1000",
    "api/fetch/{}/ds-1d.b2nd?field=x",
    "api/chunk/{}/ds-1d.b2nd?nchunk=10",
    "api/info/{}/none.b2nd",
    "api/list/{}/none",
)


@pytest.fixture(scope="module")
def copied(places: Places) -> str:
    """The published example root as a directory of a special one."""
    answer = places.transfer("ann", "copy", "foo", "@public/example")
    assert answer.status == 200
    path: str = answer.json
    return path


@pytest.mark.parametrize("target", [*READING, *REFUSED])
def test_a_special_root_answers_as_a_published_one(
    places: Places, copied: str, target: str
) -> None:
    target = target.replace(" ", "%20")
    here, there = (places.get("nobody", target.format(root)) for root in (copied, "foo"))
    assert here.status == there.status == (400 if "1000" in target or "field=x" in target
                                           else 404 if target.replace("%20", " ") in REFUSED
                                           else 200)  # fmt: skip
    if here.status == 200:
        assert here.body == there.body
    headers = places.get("nobody", target.format(copied), "HEAD")
    assert (headers.status, headers.body) == (here.status, b"")


def test_a_stored_frame_has_ranges_and_a_version(places: Places, copied: str) -> None:
    target = f"api/fetch/{copied}/ds-1d.b2nd"
    whole = places.get("nobody", target)
    tag = whole.headers["etag"]
    assert blosc2.ndarray_from_cframe(whole.body)[7] == 7
    part = ask(places.stack, target, Range="bytes=10-19", If_Range=tag)
    assert (part.status, part.body) == (206, whole.body[10:20])
    assert ask(places.stack, target, If_None_Match=tag).status == 304
    assert ask(places.stack, target, Range="bytes=99999999-").status == 416
    packed = f"api/fetch/{copied}/README.md"
    first, again = (places.get("nobody", packed) for _ in range(2))
    assert first.headers["etag"] == again.headers["etag"]
    assert ask(places.stack, packed, Range="bytes=10-19").body == first.body[10:20]


def test_a_prefetch_is_done_at_once(places: Places, copied: str) -> None:
    for method, status in (("POST", 202), ("GET", 200), ("DELETE", 200)):
        answer = places.get("ann", f"api/prefetch/{copied}", method)
        assert answer.status == status
        assert (answer.json["state"], answer.json["datasets"]) == ("done", 10)
    assert places.get("ann", "api/prefetch/@public/none", "POST").status == 404


def test_a_subscriber_without_a_broker_has_its_special_roots(stack: Stack) -> None:
    directory = stack.directory / "sub/spaces/public"
    directory.mkdir(parents=True)
    (directory / "x.b2nd").write_bytes(FRAME)
    stack.start_subscriber(given=("--broker", ""))
    assert ask(stack, "api/roots").json.keys() == {"@public"}
    assert ask(stack, "healthz").json == {"status": "ok", "broker": False, "roots": 0}
    assert (stack.client.get("@public/x.b2nd")[1:3, ::-1] == [[3, 2], [5, 4]]).all()
    assert ask(stack, "api/list/foo").status == 404
    assert stack.stop("sub") == 0


# --- upload ---


@pytest.mark.parametrize(
    ("target", "name", "where"),
    [
        ("@shared/up/x.b2nd", "other", "@shared/up/x.b2nd"),
        ("@shared/up/", "y.b2nd", "@shared/up/y.b2nd"),
        ("@shared/up", "z.b2nd", "@shared/up/z.b2nd"),
        ("@shared", "top.b2nd", "@shared/top.b2nd"),
        ("@shared/up/", "C:\\data\\w.b2nd", "@shared/up/w.b2nd"),
        ("@shared/up/", "../../v.b2nd", "@shared/up/v.b2nd"),
    ],
)
def test_where_an_upload_goes(places: Places, target: str, name: str, where: str) -> None:
    answer = places.send("ann", f"api/upload/{target}", FRAME, name.replace("\\", "\\\\"))
    assert (answer.status, answer.json) == (200, where)
    assert (values(places, "bob", where) == np.arange(12).reshape(6, 2)).all()


def test_what_is_uploaded_comes_back_byte_for_byte(places: Places) -> None:
    content = np.random.default_rng(0).bytes(3_000_000)
    places.send("ann", "api/upload/@public/blob.bin", content)
    assert places.get("nobody", "api/download/@public/blob.bin").body == content
    packed = places.get("nobody", "api/fetch/@public/blob.bin").body
    assert blosc2.schunk_from_cframe(packed)[:] == content
    ranged = ask(places.stack, "api/download/@public/blob.bin", Range="bytes=5-9")
    assert (ranged.status, ranged.body) == (206, content[5:10])
    places.send("ann", "api/upload/@public/same.b2nd", FRAME)
    assert places.get("nobody", "api/fetch/@public/same.b2nd").body == FRAME


def test_an_empty_plain_file_is_a_file(places: Places) -> None:
    assert places.send("ann", "api/upload/@public/empty.txt", b"").status == 200
    assert places.get("nobody", "api/download/@public/empty.txt").body == b""
    assert places.get("nobody", "api/info/@public/empty.txt").json["nbytes"] == 0


@pytest.mark.parametrize(
    ("target", "content", "status"),
    [
        ("@public/empty.b2nd", b"", 400),
        ("@public/forged.b2nd", FRAME[:-1], 400),
        ("@public/forged.b2frame", README, 400),
        ("@public/%2e%2e/x", b"1", 400),
        ("@public/a//b", b"1", 400),
        ("@public/.hidden", b"1", 400),
        ("@public/a.b2nd/x", b"1", 400),
        ("@public/a%00b", b"1", 400),
        ("@public/" + "n" * 300, b"1", 400),
        ("@nothing/x", b"1", 404),
        ("foo/x", b"1", 400),
        ("@public/x?unpack=2", b"1", 400),
        ("@public/x?more=2", b"1", 400),
        ("@public/?unpack=1", b"no archive", 400),
    ],
)
def test_a_bad_upload_is_refused_and_leaves_nothing(
    places: Places, target: str, content: bytes, status: int
) -> None:
    before = places.names("ann", "@public")
    answer = places.send("ann", f"api/upload/{target}", content, "x.zip")
    assert (answer.status, "detail" in answer.json) == (status, True)
    assert places.names("ann", "@public") == before
    assert list((places.stack.directory / "sub/spaces/incoming").iterdir()) == []


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (*form(b"1", field_name="other"), 422),
        (b"", "multipart/form-data; boundary=XX", 422),
        (b"1", "application/octet-stream", 422),
        (b"1", "multipart/form-data", 422),
        (b"garbage", "multipart/form-data; boundary=XX", 400),
        (form(b"1")[0][:-10], "multipart/form-data; boundary=XX", 400),
        (form(b"1", field_name="x" * 20_000)[0], "multipart/form-data; boundary=XX", 400),
    ],
)
def test_a_body_without_a_file_is_refused(
    places: Places, body: bytes, kind: str, status: int
) -> None:
    cookie = places.cookie("ann")
    answer = ask(places.stack, "api/upload/@public/x", "POST", body, Content_Type=kind, **cookie)
    assert (answer.status, "detail" in answer.json) == (status, True)


def test_an_archive_becomes_a_directory(places: Places) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        archive.add(example_root(), arcname=".")
    answer = places.send("ann", "api/upload/@shared/?unpack=1", made.getvalue(), "all.tar.gz")
    assert (answer.status, answer.json) == (200, "@shared/all")
    assert places.names("bob", "@shared/all") == places.names("bob", "foo")
    again = places.send("ann", "api/upload/@shared/all?unpack=1", made.getvalue(), "all.tar.gz")
    assert again.json == "@shared/all/all"
    taken = places.send("ann", "api/upload/@shared/?unpack=1", made.getvalue(), "all.tar.gz")
    assert taken.status == 409


# --- append ---


def test_an_array_grows(places: Places) -> None:
    places.send("ann", "api/upload/@shared/grow.b2nd", FRAME)
    answer = places.send("bob", "api/append/@shared/grow.b2nd", FRAME)
    assert (answer.status, answer.json) == (200, [12, 2])
    expected = np.concatenate([np.arange(12).reshape(6, 2)] * 2)
    assert (values(places, "ann", "@shared/grow.b2nd") == expected).all()
    assert places.get("ann", "api/info/@shared/grow.b2nd").json["shape"] == [12, 2]


@pytest.mark.parametrize(
    ("path", "content", "detail"),
    [
        ("@shared/fit.b2nd", array_frame(np.zeros((2, 3), "i8")), "not compatible"),
        ("@shared/fit.b2nd", array_frame(np.zeros((2, 2), "i4")), "dtypes"),
        ("@shared/fit.b2nd", README, "fit.b2nd"),
        ("@shared/fit.b2nd", b"", "fit.b2nd"),
        ("@shared/none.b2nd", FRAME, "does not exist or is not a file"),
        ("@shared/fit", FRAME, "does not exist or is not a file"),
        ("@shared/README.md", FRAME, "must be a NDArray"),
        ("foo/ds-1d.b2nd", FRAME, "Only appending to"),
        ("@shared", FRAME, "is a root"),
    ],
)
def test_what_does_not_fit_is_not_appended(
    places: Places, path: str, content: bytes, detail: str
) -> None:
    places.send("ann", "api/upload/@shared/fit.b2nd", FRAME)
    places.send("ann", "api/upload/@shared/README.md", README)
    answer = places.send("ann", f"api/append/{path}", content)
    assert answer.status == 400
    assert detail in answer.json["detail"]
    assert places.get("ann", "api/fetch/@shared/fit.b2nd").body == FRAME


def test_a_hundred_appends_and_uploads_to_one_dataset_serialise(places: Places) -> None:
    def one(n: int) -> int:
        rows = array_frame(np.full((3, 2), n))
        return places.send("ann" if n % 2 else "bob", "api/append/@shared/many.b2nd", rows).status

    def whole(n: int) -> int:
        rows = array_frame(np.full((500, 40), n))
        return places.send("ann", "api/upload/@shared/raced.b2nd", rows).status

    places.send("ann", "api/upload/@shared/many.b2nd", FRAME)
    with ThreadPoolExecutor(50) as threads:
        appended = threads.map(one, range(100))
        uploaded = threads.map(whole, range(100))
        assert set(appended) | set(uploaded) == {200}
    found = values(places, "ann", "@shared/many.b2nd")
    assert found.shape == (306, 2)
    assert sorted(found[6::3, 0]) == list(range(100))
    assert (found[6::3] == found[8::3]).all()
    raced = values(places, "bob", "@shared/raced.b2nd")
    assert (raced == raced[0, 0]).all()


def test_of_two_users_who_race_for_a_name_one_has_it_all(places: Places) -> None:
    content = {"ann": b"a" * 2_000_000, "bob": b"b" * 1_000_000}
    with ThreadPoolExecutor(2) as threads:
        for _ in range(5):
            done = threads.map(
                lambda who: places.send(who, "api/upload/@public/race", content[who]).status,
                content,
            )
            assert list(done) == [200, 200]
            assert places.get("nobody", "api/download/@public/race").body in content.values()


# --- move, copy, remove ---


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


def test_changes_are_told_to_whom_they_concern(places: Places) -> None:
    transport = places.stack.client._transport
    with (
        transport.stream("GET", "api/events", headers=places.cookie("ann")) as anns,
        transport.stream("GET", "api/events", headers=places.cookie("bob")) as bobs,
        transport.stream("GET", "api/events") as nobodys,
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
    """Roots of which changes are told, up to @public."""
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
    made = Places(stack)
    try:
        made.add_users("ann")
        stack.start_subscriber(given=("--broker", "", "--quota", "3MB"))
        yield made
    finally:
        stack.stop_all()


def test_the_quota_is_kept_while_a_file_comes_in(small: Places) -> None:
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
