"""Accounts over HTTP: who reads, sees and changes what."""

from __future__ import annotations

import json
import re
import select
import urllib.parse
from typing import Any

import pytest

from caterva2.rest.stream import MEDIA_TYPE
from tests.conftest import eventually, example_root
from tests.thoroughness import some
from tests.web.accountworld import ANN, ANNS, BOB, READING, ROOTS, SUPER, WORD, World
from tests.web.asking import ask, cookie_of, login
from tests.web.places import form

TOKENS = ("ann's token", "ann's narrow", "bob's narrow", "super's token")
WHO = ("nobody", "stale", "disabled", "bob", "ann", "super", *TOKENS)
READERS = {
    "plain": {"nobody", "stale", "disabled", "bob", "ann", "super", "ann's token", "ann's narrow"},
    "open": {"nobody", "stale", "disabled", "bob", "ann", "super", "ann's token", "bob's narrow"},
    "members": {"bob", "ann", "super", "ann's token", "super's token"},
    "anns": {"ann", "ann's token", "ann's narrow"},
    "theirs": {"ann", "ann's token"},
    "both": {"bob"},
}
"""Who reads a root: by the policy, by what its publisher says, and by the scope of a token."""


@pytest.mark.parametrize(("method", "target"), READING)
def test_reading(world: World, method: str, target: str) -> None:
    """A root that a user may not read is answered for like an unknown one.

    Every day each call is asked by each user for two of the roots, and for each root by several.
    """
    first = READING.index((method, target))
    for number, who in enumerate(WHO, first):
        unknown = world.ask(who, target.format(root="nowhere"), method)
        for root, readers in some([*READERS.items()], 3, number):
            answer = world.ask(who, target.format(root=root), method)
            if who in readers:
                none = "prefetch" in target and answer.status == 404
                assert none or answer.status in (200, 202), (who, root)
            else:
                assert (answer.status, unknown.status) == (404, 404), (who, root)
                named = unknown.body.replace(b"nowhere", root.encode())
                assert answer.body == named, (who, root)


def test_a_token_of_a_disabled_user_is_good_for_nothing(world: World) -> None:
    for method, target in READING:
        answer = world.ask("disabled's token", target.format(root="open"), method)
        assert answer.status == 401, target


@pytest.mark.parametrize("root", READERS)
def test_small_slices_that_are_cached_are_for_the_roots_readers_alone(
    world: World, root: str
) -> None:
    target = f"api/fetch/{root}/ds-1d.b2nd"
    reader = "bob" if root == "both" else "ann"
    assert world.ask(reader, target).status == 200  # all of it is here now
    for who in WHO:
        answer = world.ask(who, f"{target}?slice_=3:5", Accept=MEDIA_TYPE)
        assert answer.status == (200 if who in READERS[root] else 404)
        assert answer.headers["vary"] == "Cookie, Authorization"
        assert answer.headers.get("cache-control") == (
            None if who in ("nobody", "stale", "disabled") else "private"
        )
        assert answer.headers["x-content-type-options"] == "nosniff"


def _packed(text: str) -> bytes:
    return bytes([0xA0 + len(text)]) + text.encode()


@pytest.mark.parametrize("who", WHO)
def test_the_roots_that_are_listed_and_counted(world: World, who: str) -> None:
    seen = {root for root, readers in READERS.items() if who in readers}
    listed = world.ask(who, "api/roots").json
    assert world.ask(who, "api/roots?detail=1").json.keys() == listed.keys()
    assert {name for name in listed if not name.startswith("@")} == seen
    assert world.ask(who, "healthz").json["roots"] == len(seen)
    taken = world.ask(who, "api/exchange").body
    assert {root for root in ROOTS if b"\xa4root" + _packed(root) in taken} == seen
    status = world.ask(who, "api/status").json
    assert {one["name"] for one in status["roots"]} == seen
    assert (status["cache"] is None) == (status["queues"] is None) == (who != "super")
    assert world.ask(who, "status").status == (200 if who == "super" else 401)
    answer = world.ask(who, "metrics")
    if who == "super":
        assert f"caterva2_roots {len(ROOTS)}\n" in answer.body.decode()
    else:
        assert answer.status == 401


@pytest.mark.parametrize("who", WHO)
def test_a_search_finds_and_counts_nothing_that_is_hidden(world: World, who: str) -> None:
    for root in READERS:
        world.ask("ann", f"api/subscribe/{root}", "POST")
    found = world.ask(who, "api/search/?q=ds-1d.b2nd").json
    seen = {root for root, readers in READERS.items() if who in readers}
    assert list(found["found"]) == [f"{root}/ds-1d.b2nd" for root in sorted(seen)]
    assert (found["total"], found["skipped"]) == (len(seen), [])


# Writing to the special roots belongs into this table too: (who, target, body) -> status.
ADMINISTERING = (
    ("POST", "auth/jwt/logout", None),
    ("POST", "api/password/", {"password": "x" * 8, "new_password": "y" * 8}),
    ("POST", "api/adduser/", {"username": BOB, "password": WORD}),
    ("GET", "api/deluser/nobody@example.com", None),
    ("DELETE", "api/deluser/nobody@example.com", None),
    ("GET", "api/listusers/", None),
    ("DELETE", "api/subscribe/open", None),
    ("DELETE", "api/prefetch/open", None),
    ("GET", "api/trash", None),
    ("DELETE", "api/trash", None),
    ("POST", "api/trash/0", None),
    ("DELETE", "api/trash/0", None),
)


@pytest.mark.parametrize("who", ["nobody", "stale", "disabled"])
@pytest.mark.parametrize(("method", "target", "body"), ADMINISTERING)
def test_only_users_change_anything(
    world: World, who: str, method: str, target: str, body: Any
) -> None:
    content = None if body is None else json.dumps(body)
    answer = ask(world.stack, target, method, content, Cookie=world.cookies[who])
    assert (answer.status, answer.json["name"]) == (401, "login-needed")


@pytest.mark.parametrize(
    ("method", "target", "body"), [case for case in ADMINISTERING if "user/" in case[1]]
)
@pytest.mark.parametrize(("who", "status"), [("bob", 401), ("super", 400)])
def test_only_superusers_administer_users(
    world: World, who: str, status: int, method: str, target: str, body: Any
) -> None:
    content = None if body is None else json.dumps(body)
    answer = ask(world.stack, target, method, content, Cookie=world.cookies[who])
    assert answer.status == status


def test_superusers_list_users_and_others_themselves_with_nothing_secret(world: World) -> None:
    users = world.ask("super", "api/listusers/").json
    assert {ANN, BOB, SUPER} <= {user["email"] for user in users}
    for user in users:
        assert user.keys() == {"id", "email", "is_active", "is_superuser", "is_verified"}
    one = world.ask("super", f"api/listusers/?username={SUPER}").json
    assert [(user["email"], user["is_superuser"]) for user in one] == [(SUPER, True)]
    assert [user["email"] for user in world.ask("bob", "api/listusers/").json] == [BOB]
    assert world.ask("bob", f"api/listusers/?username={SUPER}").json == []


@pytest.mark.parametrize("who", ["ann's token", "ann's narrow"])
@pytest.mark.parametrize(
    ("method", "target", "body"), [case for case in ADMINISTERING if "logout" not in case[1]]
)
def test_tokens_change_only_what_they_are_for(
    world: World, who: str, method: str, target: str, body: Any
) -> None:
    content = None if body is None else json.dumps(body)
    answer = ask(world.stack, target, method, content, **world.proof(who))
    if "user/" in target:
        assert (answer.status, answer.json["name"]) == (401, "login-needed")
    elif "listusers" in target:
        assert [user["email"] for user in answer.json] == [ANN]
    else:
        assert (answer.status, answer.json["name"]) == (403, "not-allowed")


def test_tokens_make_list_and_revoke_tokens_where_they_may(world: World) -> None:
    body = {"name": "x"}
    for who, status in (("nobody", 401), ("ann's token", 403), ("bob's narrow", 403)):
        assert world.post(who, "api/tokens", body).status == status
        assert world.ask(who, "api/tokens").status == status
        assert world.ask(who, "api/tokens/0", "DELETE").status == status
    assert world.post("super's token", "api/tokens", body).status == 403  # it sees one root only
    other = {"username": "more@example.com", "password": WORD, "superuser": True}
    assert world.post("super's token", "api/adduser/", other).status == 403
    made = world.post("super's token", "api/tokens", body | {"roots": ["members"]})
    assert (made.status, made.headers["cache-control"]) == (201, "no-store")
    listed = world.ask("super", "api/tokens").json
    assert made.json["id"] in [token["id"] for token in listed]
    assert not any("token" in token for token in listed)
    known = {"Authorization": f"bearer {made.json['token']}"}
    assert ask(world.stack, "api/me", **known).json["user"] == SUPER
    assert world.ask("ann", f"api/tokens/{made.json['id']}", "DELETE").status == 404
    assert world.ask("super", f"api/tokens/{made.json['id']}", "DELETE").json == "Ok"
    over = ask(world.stack, "api/me", **known)
    assert (over.status, over.json["name"]) == (401, "login-needed")


@pytest.mark.parametrize(
    ("method", "target"),
    [("DELETE", "tokens"), ("DELETE", "trash"), ("POST", "trash"), ("PATCH", "uploads")],
)
def test_an_empty_id_is_none_and_not_all(world: World, method: str, target: str) -> None:
    for ident in ("", "a/b"):
        answer = world.ask("super", f"api/{target}/{ident}", method)
        assert (answer.status, answer.json["name"]) == (404, "not-found")


def test_tokens_are_made_and_revoked_on_the_page_of_the_account(world: World) -> None:
    def sent(path: str, who: str = "ann", **given: str) -> Any:
        kind = {"Content-Type": "application/x-www-form-urlencoded"} | world.proof(who)
        return ask(world.stack, path, "POST", urllib.parse.urlencode(given), **kind)

    page = sent("account/tokens", name="<my laptop>", roots="anns, open", days="2")
    made = re.findall(rb"c2_[\w-]{43}", page.body)
    assert (page.status, len(made), page.headers["cache-control"]) == (200, 1, "no-store")
    assert b"&lt;my laptop&gt;" in page.body
    headers = {"Authorization": f"Bearer {made[0].decode()}"}
    assert ask(world.stack, "api/list/anns", **headers).status == 200
    assert ask(world.stack, "api/list/plain", **headers).status == 404
    again = world.ask("ann", "account", Accept="text/html")
    assert made[0] not in again.body
    (ident,) = [one["id"] for one in world.ask("ann", "api/tokens").json if "lap" in one["name"]]
    assert sent("account/tokens/revoke", "bob", id=ident).status == 404
    assert sent("account/tokens/revoke", id=ident).status == 303
    assert ask(world.stack, "api/list/anns", **headers).status == 401
    assert sent("account/tokens", name="x", days="soon").status == 400
    assert sent("account/tokens", "super's token", name="x").status == 403


def test_tokens_are_sent_as_cookies_too_and_wrong_ones_are_nobodys(world: World) -> None:
    cookie = f"c2subauth={world.tokens[TOKENS[0]]}"
    assert ask(world.stack, "api/list/anns", Cookie=cookie).status == 200
    assert ask(world.stack, "api/list/anns", Cookie=cookie + "x").status == 404
    wrong = "Bearer " + world.tokens[TOKENS[0]][:-1] + "~"
    assert ask(world.stack, "api/list/open", Authorization=wrong).status == 401
    for other in ("Bearer x", "Basic YTpi", "Bearer"):
        assert ask(world.stack, "api/list/open", Authorization=other).status == 200


def test_a_token_writes_where_its_scope_is(world: World) -> None:
    body, kind = form(b"text", "a.txt")

    def uploaded(who: str, place: str) -> int:
        given = world.proof(who) | {"Content-Type": kind}
        return ask(world.stack, f"api/upload/{place}/a.txt", "POST", body, **given).status

    assert uploaded("bob's narrow", "@shared") == 200
    assert uploaded("bob's narrow", "@public") == uploaded("bob's narrow", "@personal") == 404
    assert uploaded("ann's token", "@shared") == 403
    assert world.ask("bob's narrow", "api/trash").status == 403  # of all special roots
    moved = world.post("bob's narrow", "api/move/", {"src": "@shared/a.txt", "dst": "@public/b"})
    assert moved.status == 404
    copied = world.post("bob's narrow", "api/copy/", {"src": "plain", "dst": "@shared/plain"})
    assert copied.status == 404
    assert world.ask("bob's narrow", "api/remove/@shared/a.txt", "POST").status == 200
    assert world.ask("ann's token", "api/me").json["special"] is False
    assert world.ask("bob's narrow", "api/me").json["special"] is True


@pytest.mark.parametrize("who", ["ann's narrow", "bob's narrow"])
def test_expressions_and_zarr_keep_to_the_scope(world: World, who: str) -> None:
    for root, readers in READERS.items():
        operand = {"expression": "a[:3]", "operands": {"a": f"{root}/ds-1d.b2nd"}}
        assert (world.post(who, "api/compute", operand).status == 200) == (who in readers), root
        group = world.ask(who, f"zarr/{root}/ds-1d/zarr.json")
        assert (group.status == 200) == (who in readers), root


def test_a_stored_expression_takes_the_right_to_read_its_operand(world: World) -> None:
    body = {
        "name": "@public/of-theirs",
        "expression": "a + 1",
        "operands": {"a": "theirs/ds-1d.b2nd"},
    }
    assert world.post("bob", "api/lazyexpr/", body).status == 404
    path = world.post("ann", "api/lazyexpr/", body).json
    assert world.ask("ann", f"api/fetch/{path}").status == 200
    for who in ("nobody", "stale", "disabled", "bob", "super"):
        answer = world.ask(who, f"api/fetch/{path}")
        assert (answer.status, answer.json["name"]) == (409, "operand-gone"), who


def test_each_user_sees_who_that_is(world: World) -> None:
    def shown(who: str) -> Any:
        return world.ask(who, "api/me").json

    switched = {"accounts": True, "register": True, "compute": True}
    anonymous = {"user": None, "superuser": False, "quota": None, "special": False} | switched
    assert shown("nobody") == shown("stale") == anonymous
    bob = shown("bob")
    assert bob["quota"]["limit"] is None
    expected = {"user": BOB, "superuser": False, "special": True, "quota": bob["quota"]} | switched
    assert bob == expected
    assert shown("super") == expected | {"user": SUPER, "superuser": True}
    assert world.ask("bob", "api/me").headers["cache-control"] == "no-store"


def test_events_of_hidden_roots_are_not_sent(world: World) -> None:
    with (
        world.stack.open("api/events") as answer,
        world.stack.open("api/events?root=anns") as hidden,
    ):
        assert hidden.readline() == b"retry: 2000\n"
        assert answer.readline() == b"retry: 2000\n"
        world.stack.stop("pub-anns")
        world.stack.stop("pub-plain")
        told = b""
        while b'"plain"' not in told:
            told += answer.readline()
        assert b'"anns"' not in told
        assert not select.select([hidden.fp], [], [], 0)[0]
    for root in ("plain", "anns"):
        world.stack.start_publisher(root, example_root(), name=f"pub-{root}")
    eventually(lambda: world.ask("ann", "healthz").json["roots"] == len(ANNS))


def test_events_end_with_the_session(world: World) -> None:
    cookie = cookie_of(login(world.stack, ANN, WORD))
    with world.stack.open("api/events", Cookie=cookie) as answer:
        assert answer.readline() == b"retry: 2000\n"
        assert ask(world.stack, "auth/jwt/logout", "POST", Cookie=cookie).status == 204
        world.stack.stop("pub-anns")
        assert b"anns" not in answer.read()
    world.stack.start_publisher("anns", example_root(), name="pub-anns")
    eventually(lambda: world.ask("ann", "healthz").json["roots"] == len(ANNS))
