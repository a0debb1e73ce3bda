"""Accounts from Python: logins, sessions that end, and users that are administered."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import threading
from pathlib import Path

import pytest

import caterva2
from tests.conftest import Stack, eventually
from tests.scenario.accounts import ANN, SUPER, SUPERWORD, WORD, as_ann, as_super
from tests.web.asking import ask


def test_a_client_logs_in_when_it_asks_for_something(members: Stack) -> None:
    assert caterva2.Client(members.url).get_roots().keys() == {"@public"}
    dataset = as_ann(members).get("foo/ds-1d.b2nd")
    assert isinstance(dataset, caterva2.Dataset)
    assert dataset[7] == 7


def test_threads_log_in_once(members: Stack) -> None:
    before = members.log("sub").count(f"{ANN} logged in")
    client = as_ann(members)
    threads = [threading.Thread(target=client.get_list, args=("foo",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert members.log("sub").count(f"{ANN} logged in") == before + 1


@pytest.mark.parametrize("read", ["get_roots", "get_list", "fetch", "download"])
def test_a_client_logs_in_again_when_its_session_is_over(
    members: Stack, tmp_path: Path, read: str
) -> None:
    client = as_ann(members)
    client.login()
    session = client.transport.session
    assert session is not None
    ask(members, "auth/jwt/logout", "POST", Cookie=session.token().cookie)
    doing = {
        "get_roots": lambda: client.get_roots()["foo"],
        "get_list": lambda: client.get_list("foo"),
        "fetch": lambda: client.fetch("foo/ds-1d.b2nd", 7) == 7,
        "download": lambda: client.download("foo/README.md", tmp_path / "r"),
    }
    assert doing[read]()


def test_a_wrong_password_is_told_without_telling_it(members: Stack) -> None:
    client = caterva2.Client(members.url, auth=(ANN, "incorrect-horse"))
    with pytest.raises(caterva2.LoginFailed) as caught:
        client.get_roots()
    assert str(caught.value) == (
        f"400 Bad Request: login at {members.url}: wrong name or password for {ANN}"
    )


def test_nothing_of_a_client_shows_its_password(members: Stack) -> None:
    client = as_ann(members)
    client.login()
    for thing in (client, client.transport, client.transport.session, client.get("foo")):
        assert WORD not in repr(thing)
    assert WORD not in client.get_download_url("foo/README.md")
    assert client.transport.session is not None
    token = client.transport.session.token()
    assert token.cookie not in repr(token)


def test_users_are_administered(members: Stack) -> None:
    client, name = as_super(members), "new@example.com"
    assert client.adduser(name, "a-first-password") == (
        f"User added: username='{name}' superuser=False"
    )
    with pytest.raises(caterva2.HttpError, match="UserAlreadyExists"):
        client.adduser(name, "a-first-password")
    assert [user["email"] for user in client.listusers(name)] == [name]
    assert {name, ANN, SUPER} <= {user["email"] for user in client.listusers()}
    with pytest.raises(caterva2.HttpError, match="401 Unauthorized"):
        as_ann(members).deluser(name)
    assert client.deluser(name) == f"User deleted: {name}"
    assert client.listusers(name) == []


def test_a_changed_password_ends_the_sessions_of_other_clients(members: Stack) -> None:
    name, old, new = "changing@example.com", "a-first-password", "a-second-password"
    as_super(members).adduser(name, old)
    one, other = [caterva2.Client(members.url, auth=(name, old)) for _ in range(2)]
    assert one.get_list("foo") == other.get_list("foo")
    one.change_password(new)
    assert one.get_list("foo")
    with pytest.raises(caterva2.LoginFailed):
        other.get_list("foo")
    one.logout()
    assert one.get_list("foo")


def test_who_has_no_name_is_told_so(members: Stack) -> None:
    with pytest.raises(caterva2.CatervaError, match="without auth"):
        caterva2.Client(members.url).change_password("a-second-password")


def test_the_asynchronous_twin_logs_in_too(members: Stack) -> None:
    async def work() -> None:
        async with caterva2.AsyncClient(members.url, (SUPER, SUPERWORD)) as client:
            assert await client.fetch("foo/ds-1d.b2nd", 7) == 7
            await client.adduser("async@example.com", "a-first-password")
            assert len(await client.listusers("async@example.com")) == 1
            assert await client.deluser("async@example.com")
            await client.logout()
            await client.login()

    asyncio.run(work())


def test_add_user_of_somebody_known_sets_the_password_and_ends_sessions(members: Stack) -> None:
    name, old, new = "again@example.com", "a-first-password", "a-second-password"
    members.add_user(name, old)
    client = caterva2.Client(members.url, auth=(name, old))
    assert client.get_list("foo")
    members.add_user(name, new, "--superuser")

    def is_out() -> bool:
        with contextlib.suppress(caterva2.LoginFailed):
            client.get_list("foo")
            return False
        return True

    eventually(is_out)
    (told,) = caterva2.Client(members.url, auth=(name, new)).listusers(name)
    assert told["is_superuser"]
    as_super(members).deluser(name)


def test_clients_with_a_token_need_no_password(
    members: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = as_ann(members).make_token("a notebook", ["foo"], days=1)
    client = caterva2.Client(members.url, token=made["token"])
    assert list(client) == ["foo"]
    assert client["foo/ds-1d.b2nd"][3] == 3
    assert made["token"] not in repr(client)
    pickled = pickle.dumps(client)
    assert made["token"].encode() not in pickled
    with pytest.raises(caterva2.LoginNeeded, match="pickled without it"):
        pickle.loads(pickled)
    monkeypatch.setenv("CATERVA2_TOKEN", made["token"])
    monkeypatch.setenv("CATERVA2_URL", members.url)
    assert list(pickle.loads(pickled)) == list(caterva2.Client()) == ["foo"]
    monkeypatch.setenv("CATERVA2_URL", "http://127.0.0.1:1")  # the token is not for others
    assert list(caterva2.Client(members.url)) == ["@public"]
    (known,) = [one for one in as_ann(members).get_tokens() if one["id"] == made["id"]]
    assert known["used"] is not None
    assert as_ann(members).revoke_token(made["id"]) == "Ok"
    with pytest.raises(caterva2.HttpError, match="401"):
        client.get_roots()
    for wrong in ("secret", "c2_" + "x" * 43 + "\r\nX: y"):
        with pytest.raises(caterva2.BadRequest) as caught:
            caterva2.Client(members.url, token=wrong)
        assert wrong not in str(caught.value)
