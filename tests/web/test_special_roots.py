"""Special roots over HTTP: rights, and reading as from any root."""

from __future__ import annotations

import blosc2
import pytest

from tests.conftest import Stack
from tests.web.asking import ask
from tests.web.places import Places, form
from tests.web.specialthings import FRAME

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
def test_rights_to_read_and_write(places: Places, root: str, who: str) -> None:
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


def test_a_request_without_login_is_refused_with_the_reason(places: Places) -> None:
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


def test_a_dataset_that_the_user_may_not_read_can_not_be_copied(places: Places) -> None:
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
    """The published example root, copied to a directory of a special root."""
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
    for target, method, status in (
        (f"{copied}/ds-1d.b2nd?slice_=1:3", "POST", 202),
        (f"{copied}/ds-1d.b2nd?slice_=1:3", "GET", 200),
        (f"{copied}/ds-1d.b2nd?slice_=1,2", "POST", 400),
        (f"{copied}/ds-1d.b2nd?slice_=5000", "POST", 400),
        (f"{copied}?slice_=1:3", "POST", 400),
        (f"{copied}?slice_=1:3", "GET", 404),
    ):
        assert places.get("ann", f"api/prefetch/{target}", method).status == status, target


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
