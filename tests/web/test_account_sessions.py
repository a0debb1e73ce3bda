"""Accounts over HTTP: sessions, refusals, and what browsers are told."""

from __future__ import annotations

import statistics
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import caterva2
from tests import tracing
from tests.conftest import SPAWN, Stack
from tests.web.accountworld import ANN, BOB, LOGINS, SUPER, WORD, World, post
from tests.web.asking import ask, cookie_of, login

# --- logging in and out ---


def test_login_sets_a_cookie_that_scripts_and_other_sites_do_not_get(world: World) -> None:
    answer = login(world.stack, ANN, WORD)
    assert (answer.status, answer.body) == (204, b"")
    value, *rest = answer.headers["set-cookie"].split("; ")
    assert value.startswith("c2subauth=")
    assert len(value) >= len("c2subauth=") + 43
    assert set(rest) == {"HttpOnly", "Max-Age=43200", "Path=/", "SameSite=lax"}
    assert answer.headers["cache-control"] == "no-store"


def test_the_cookie_is_secure_behind_a_proxy_that_speaks_https(world: World) -> None:
    answer = ask(
        world.stack, "auth/jwt/login", "POST", f"username={ANN}&password=correct+horse",
        X_Forwarded_Proto="https", X_Forwarded_For="192.0.2.1",
    )  # fmt: skip
    assert "Secure" in answer.headers["set-cookie"].split("; ")


def test_logout_ends_the_session(world: World) -> None:
    cookie = cookie_of(login(world.stack, ANN, WORD))
    assert ask(world.stack, "api/list/anns", Cookie=cookie).status == 200
    answer = ask(world.stack, "auth/jwt/logout", "POST", Cookie=cookie)
    assert answer.status == 204
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert ask(world.stack, "api/list/anns", Cookie=cookie).status == 404


def test_the_cookie_of_an_expired_session_is_cleared(world: World) -> None:
    answer = world.ask("stale", "api/list/open")
    assert answer.status == 200
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert "set-cookie" not in world.ask("nobody", "api/list/open").headers


def test_changing_the_password(world: World) -> None:
    name = "changing@example.com"
    assert world.post("super", "api/adduser/", {"username": name, "password": WORD}).status == 200
    old = cookie_of(login(world.stack, name, WORD))
    body = {"password": WORD, "new_password": "battery staple"}
    answer = post(world.stack, "api/password/", body, old)
    assert answer.status == 204
    assert ask(world.stack, "api/list/members", Cookie=old).status == 404
    assert ask(world.stack, "api/list/members", Cookie=cookie_of(answer)).status == 200
    assert login(world.stack, name, WORD).status == 400
    assert login(world.stack, name, "battery staple").status == 204


def test_a_deleted_user_is_out_at_once(world: World) -> None:
    name = "deleted@example.com"
    assert world.post("super", "api/adduser/", {"username": name, "password": WORD}).json == (
        f"User added: username='{name}' superuser=False"
    )
    cookie = cookie_of(login(world.stack, name, WORD))
    assert ask(world.stack, "api/list/members", Cookie=cookie).status == 200
    assert world.ask("super", f"api/deluser/{name}", "HEAD").status == 200
    assert ask(world.stack, "api/list/members", Cookie=cookie).status == 200
    assert world.ask("super", f"api/deluser/{name}", "DELETE").json == f"User deleted: {name}"
    assert ask(world.stack, "api/list/members", Cookie=cookie).status == 404
    again = world.ask("super", f"api/deluser/{name}")
    assert (again.status, again.json["detail"]) == (
        400, f"Error in deleting {name}: UserNotExists",
    )  # fmt: skip


def test_a_disabled_user_is_out_within_a_second_and_comes_back(world: World) -> None:
    name, target = "away@example.com", "api/users/away@example.com"
    world.post("super", "api/adduser/", {"username": name, "password": WORD})
    cookie = cookie_of(login(world.stack, name, WORD))
    made = post(world.stack, "api/tokens", {"name": "x"}, cookie).json["token"]
    token = {"Authorization": f"Bearer {made}"}
    with (
        world.stack.open("api/events", Cookie=cookie) as one,
        world.stack.open("api/events", **token) as other,
    ):
        assert one.readline() == other.readline() == b"retry: 2000\n"
        assert world.post("bob", target, {"active": False}).status == 401
        began = time.monotonic()
        changed = world.post("super", target, {"active": False})
        assert (changed.status, changed.json["is_active"]) == (200, False)
        assert one.read() == other.read() == b"\n"  # both streams end, and properly
        took = time.monotonic() - began
        assert took < 10, took  # and not with the next event or comment
    assert ask(world.stack, "api/list/members", Cookie=cookie).status == 404
    assert ask(world.stack, "api/list/members", **token).status == 401
    assert login(world.stack, name, WORD).status == 400
    assert world.post("super", target, {"active": True}).json["is_active"] is True
    assert ask(world.stack, "api/list/members", **token).status == 200
    assert ask(world.stack, "api/list/members", Cookie=cookie).status == 404
    assert login(world.stack, name, WORD).status == 204


def test_a_superuser_sets_a_password(world: World) -> None:
    name, target = "forgetful@example.com", "api/users/forgetful@example.com"
    world.post("super", "api/adduser/", {"username": name, "password": WORD})
    cookie = cookie_of(login(world.stack, name, WORD))
    body = {"password": "battery staple"}
    assert [world.post(who, target, body).status for who in ("nobody", "bob")] == [401, 401]
    for one in (target, f"api/users/{SUPER}"):  # else a token would get out of its scope
        assert world.post("super's token", one, body).status == 403
    assert world.post("super", target, {"password": "short"}).status == 400
    assert world.post("super", target, body).json["email"] == name
    assert ask(world.stack, "api/list/members", Cookie=cookie).status == 404
    assert login(world.stack, name, "battery staple").status == 204
    missing = world.post("super", "api/users/none@example.com", body)
    assert (missing.status, missing.json["name"]) == (400, "no-such-user")
    own = world.post("super", "api/users/Super@example.com", {"active": False})
    assert (own.status, "own account" in own.json["detail"]) == (400, True)


def test_who_registers_is_a_user_and_no_more(world: World) -> None:
    name = "new@example.com"
    answer = post(world.stack, "auth/register", {"email": name, "password": WORD})
    assert answer.status == 201
    made = answer.json
    assert made.pop("id")
    assert made == {
        "email": name, "is_active": True, "is_superuser": False, "is_verified": False
    }  # fmt: skip
    assert login(world.stack, name, WORD).status == 204


# --- bad input ---


@pytest.mark.parametrize(
    ("target", "body", "status", "detail"),
    [
        ("auth/register", {"email": ANN, "password": WORD}, 403, "for an administrator"),
        ("auth/register", {"email": SUPER, "password": WORD}, 400, "REGISTER_USER_ALREADY_EXISTS"),
        ("auth/register", {"email": "bob", "password": WORD}, 400, "not an e-mail address"),
        ("auth/register", {"email": "c@b.c", "password": "short"}, 400, "less than 8"),
        ("auth/register", {"email": "c@b.c"}, 422, "password: Field required"),
        ("auth/register", {"email": 5, "password": WORD}, 422, "email: Input should be"),
        ("auth/register", [], 422, "the body: "),
        ("auth/register", {"email": "c@b.c", "password": "x" * 20_000}, 413, "FORM_BYTES"),
        ("api/adduser/", {"username": BOB, "password": WORD}, 400, f"adding {BOB}: UserAlready"),
        ("api/adduser/", {"username": "bob", "password": WORD}, 400, "Error in adding bob: not"),
        ("api/adduser/", {"username": "c@b.c", "password": "short"}, 400, "less than 8"),
        ("api/adduser/", {"username": "c@b.c", "password": None}, 400, "a password is needed"),
        ("api/adduser/", {"username": "c@b.c", "password": 12345678}, 422, "password: Input"),
        ("api/password/", {"password": WORD, "new_password": "short"}, 400, "less than 8"),
    ],
)
def test_bad_input(world: World, target: str, body: Any, status: int, detail: str) -> None:
    answer = world.post("super", target, body)
    assert (answer.status, detail in answer.json["detail"]) == (status, True), answer.json


@pytest.mark.parametrize(
    "body", ["", "username=a@b.c", '{"username":"a@b.c"}', "%ff=%ff", "&" * 99]
)
def test_a_login_that_is_not_a_form(world: World, body: str) -> None:
    assert ask(world.stack, "auth/jwt/login", "POST", body).status == 422


def test_two_users_race_for_one_name(world: World) -> None:
    body = {"username": "race@example.com", "password": WORD}
    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(lambda _: world.post("super", "api/adduser/", body), range(4)))
    assert sorted(end.status for end in ends) == [200, 400, 400, 400]


def test_too_many_failures_are_put_off(world: World) -> None:
    name = "guessed@example.com"
    answers = [login(world.stack, name, "wrong horse") for _ in range(LOGINS + 1)]
    assert [answer.status for answer in answers] == LOGINS * [400] + [429]
    assert answers[0].json["detail"] == "LOGIN_BAD_CREDENTIALS"
    assert 50 <= int(answers[-1].headers["retry-after"]) <= 61
    assert login(world.stack, ANN, WORD).status == 204


@pytest.mark.skipif(
    SPAWN is tracing.spawn, reason="tests hash passwords cheaply, services under strace do not"
)
def test_an_unknown_user_takes_as_long_as_a_wrong_password(world: World) -> None:
    def seconds(name: str, n: int) -> float:
        began = time.perf_counter()
        body = urllib.parse.urlencode({"username": name, "password": "wrong horse"})
        # From other addresses, as a proxy tells them: so that nobody is put off.
        answer = ask(world.stack, "auth/jwt/login", "POST", body, X_Forwarded_For=f"192.0.2.{n}")
        assert answer.status == 400
        return time.perf_counter() - began

    known, unknown = [], []
    for n in range(15):  # in turns, so that what else the machine does counts for both
        known.append(seconds(BOB, n))
        unknown.append(seconds("unknown@example.com", n))
    ratio = statistics.median(known) / statistics.median(unknown)
    assert 0.5 < ratio < 2


# --- what browsers are told ---


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 400),
        ({"Sec-Fetch-Site": "none"}, 400),
        ({"Origin": "{own}"}, 400),
        ({"Referer": "http://evil.example/page"}, 403),
        ({"Referer": "{own}/page"}, 400),
        ({}, 400),
    ],
)
@pytest.mark.parametrize("method", ["DELETE", "GET"])
def test_a_page_of_another_site_changes_nothing(
    world: World, method: str, headers: dict[str, str], status: int
) -> None:
    told = {name: value.format(own=world.stack.url) for name, value in headers.items()}
    answer = world.ask("super", "api/deluser/nobody@example.com", method, **told)
    assert answer.status == status


def test_another_site_can_not_log_a_user_in(world: World) -> None:
    body = urllib.parse.urlencode({"username": ANN, "password": WORD})
    answer = ask(world.stack, "auth/jwt/login", "POST", body, Origin="http://evil.example")
    assert answer.status == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("target", ["api/roots", "api/download/open/README.md", "nowhere"])
def test_answers_keep_browsers_from_harm(world: World, target: str) -> None:
    headers = world.ask("ann", target).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["referrer-policy"] == "same-origin"


def test_caches_keep_the_answers_of_users_apart(world: World) -> None:
    told = world.ask("ann", "api/list/anns").headers
    assert (told["vary"], told["cache-control"]) == ("Cookie, Authorization", "private")
    assert world.ask("nobody", "api/list/open").headers["vary"] == "Cookie, Authorization"


# --- without accounts ---


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "auth/jwt/login"), ("POST", "auth/jwt/logout"), ("POST", "auth/register"),
        ("POST", "api/adduser/"), ("GET", "api/deluser/a@b.c"), ("GET", "api/listusers/"),
        ("POST", "api/password/"),
    ],
)  # fmt: skip
def test_there_is_nothing_of_accounts_where_login_is_off(
    shared_stack: Stack, method: str, target: str
) -> None:
    answer = ask(shared_stack, target, method)
    assert (answer.status, answer.json["detail"]) == (404, "Not Found")


def test_a_cookie_means_nothing_where_login_is_off(shared_stack: Stack) -> None:
    answer = ask(shared_stack, "api/list/foo", Cookie="c2subauth=x")
    assert answer.status == 200
    assert "set-cookie" not in answer.headers
    assert answer.headers["vary"] == "Accept-Encoding"


def test_a_client_learns_that_there_are_no_accounts(shared_stack: Stack) -> None:
    client = caterva2.Client(shared_stack.url, auth=(ANN, WORD))
    with pytest.raises(caterva2.LoginFailed, match="it has no accounts"):
        client.get_roots()
