"""The transport contract, over HTTP and in memory: repeated only where it does no harm."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from caterva2.client.errors import BadKey, HttpError, LoginFailed, Missing, Unreachable
from caterva2.client.http.transport import HttpTransport
from caterva2.client.login import SessionTransport, change_password, log_out
from caterva2.client.transport import Transport
from caterva2.errors import LoginNeeded
from caterva2.limits import DEFAULTS, ClientLimits
from tests.httpscript import Received, Reply, Script, refusal, serving
from tests.memorytransport import MemoryTransport

Make = Callable[..., Transport]


@pytest.fixture(params=["http", "memory"])
def world(request: pytest.FixtureRequest) -> Iterator[tuple[Script, Make]]:
    """A script, and what makes transports to it."""
    if request.param == "http":
        with serving(lambda received: Reply(body=b'"fine"')) as script:
            yield script, lambda limits=DEFAULTS.client: HttpTransport(script.url, limits=limits)
        return
    scripted = Script(lambda received: Reply(body=b'"fine"'))

    def answer(received: Received) -> Reply:
        scripted.asked.append(received)
        return scripted.answer(received)

    yield scripted, lambda limits=DEFAULTS.client: MemoryTransport(answer, limits)


@pytest.fixture
def script(world: tuple[Script, Make]) -> Script:
    return world[0]


@pytest.fixture
def make(world: tuple[Script, Make]) -> Make:
    return world[1]


def test_postponed_request_is_sent_again_after_the_time_that_is_named(
    script: Script, make: Make
) -> None:
    replies = iter([refusal(503, "busy", "later", Retry_After="1"), Reply(body=b"2")])
    script.answer = lambda received: next(replies)
    start = time.monotonic()
    assert make().request("GET", "a").json() == 2
    assert time.monotonic() - start >= 1


@pytest.mark.parametrize(
    ("method", "reply"),
    [
        ("GET", refusal(503, "root-offline", "later", Retry_After="0")),
        ("GET", refusal(404, "not-found")),
        ("GET", refusal(500, "internal")),
        ("POST", refusal(503, "busy", "later", Retry_After="0")),
    ],
)
def test_request_is_not_sent_again(script: Script, make: Make, method: str, reply: Reply) -> None:
    script.answer = lambda received: reply
    with pytest.raises(HttpError):
        make().request(method, "a")
    assert len(script.asked) == 1


def test_patience_has_an_end(script: Script, make: Make) -> None:
    limits = ClientLimits(patience=0.5, tries=3)
    script.answer = lambda received: refusal(429, "slow-down", "later", Retry_After="9999")
    with pytest.raises(HttpError, match="429") as refused:
        make(limits).request("GET", "a")
    assert refused.value.put_off == 9999
    assert len(script.asked) == 1
    script.answer = lambda received: refusal(429, "slow-down", "later", Retry_After="0")
    with pytest.raises(HttpError, match="429"):
        make(limits).request("GET", "a")
    assert len(script.asked) == 1 + 3


def test_pause_has_an_end(script: Script, make: Make) -> None:
    replies = iter([refusal(503, "busy", "later", Retry_After="9999"), Reply(body=b"2")])
    script.answer = lambda received: next(replies)
    assert make(replace(DEFAULTS.client, pause=0.01)).request("GET", "a").json() == 2


def test_body_that_ends_early_is_an_error(script: Script, make: Make) -> None:
    script.answer = lambda received: Reply(body=bytes(100), sent=40)
    with pytest.raises(Unreachable, match="40 of 100 bytes"):
        make().request("GET", "a")
    with make().stream("GET", "a") as response, pytest.raises(Unreachable):
        response.read()


def test_body_is_read_in_pieces(script: Script, make: Make) -> None:
    script.answer = lambda received: Reply(body=b"0123456789")
    with make().stream("GET", "a") as response:
        assert (response.status, response.length) == (200, 10)
        assert response.read(4) == b"0123"
        buffer = bytearray(4)
        assert response.readinto(memoryview(buffer)) == 4
        assert (bytes(buffer), response.read(), response.read(1)) == (b"4567", b"89", b"")
        response.close()  # and again at the end of the block


def test_answer_that_is_not_json_or_of_another_type_is_an_error(script: Script, make: Make) -> None:
    assert make().json(str, "GET", "a") == "fine"
    with pytest.raises(Unreachable, match="/a answered with str"):
        make().json(dict, "GET", "a")
    script.answer = lambda received: Reply(body=b"<html>")
    with pytest.raises(Unreachable, match="not JSON"):
        make().request("GET", "a").json()


def test_errors_name_status_and_detail_and_are_what_python_expects(
    script: Script, make: Make
) -> None:
    script.answer = lambda received: refusal(404, "not-found")
    with pytest.raises(KeyError) as missing:
        make().request("GET", "a")
    assert str(missing.value) == "404 Not Found: it is not-found"
    assert isinstance(missing.value, Missing)
    assert missing.value.about("foo/a") is missing.value
    script.answer = lambda received: refusal(400, "bad-selection")
    with pytest.raises(IndexError) as bad:
        make().request("GET", "a")
    assert isinstance(bad.value, BadKey)
    again = pickle.loads(pickle.dumps(bad.value))
    assert (type(again), str(again), again.kind) == (BadKey, str(bad.value), "bad-selection")


def test_long_query_travels_in_a_body(script: Script, make: Make) -> None:
    client = make()
    for query in ("[1]", "1" * 4000):
        with client.ask("api/fetch/a", {"indices": query}) as response:
            response.content()
    short, long = script.asked
    assert (short.method, short.path) == ("GET", "/api/fetch/a?indices=%5B1%5D")
    assert (long.method, long.path, len(long.body)) == ("POST", "/api/fetch/a", 4000 + 15)
    assert long.headers["Content-Type"] == "application/json"


def test_threads_share_a_transport(script: Script, make: Make) -> None:
    client = make()
    script.answer = lambda received: Reply(body=received.path.rpartition("/")[2].encode())
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: client.request("GET", f"{n}").json(), range(200)))
    assert found == list(range(200))
    assert script.connections <= 8


def test_path_is_quoted(script: Script, make: Make) -> None:
    make().request("GET", "api/info/a b/größe?#%\r\nX: y")
    quoted = "/api/info/a%20b/gr%C3%B6%C3%9Fe%3F%23%25%0D%0AX%3A%20y"
    assert script.asked[0].path == quoted


def test_closed_transport_connects_anew(make: Make) -> None:
    client = make()
    client.close()
    client.close()
    assert client.request("GET", "a").json() == "fine"


# --- as a user ---

WORD = "a-password"
OVER = {"Set-Cookie": 'c2subauth=""; Max-Age=0'}


class Accounts:
    """Answers with the user whom a request is made as, while sessions last."""

    def __init__(self) -> None:
        self.logins = 0
        self.valid: set[str] = set()
        self.refuses = True
        """Whether a session that is over is refused, not answered as for nobody."""

    def __call__(self, received: Received) -> Reply:
        if received.path == "/auth/jwt/login":
            return self._log_in(received)
        token = received.headers.get("Cookie", "").partition("=")[2]
        if token in self.valid:
            return Reply(body=f'"{token}"'.encode())
        if self.refuses:
            return refusal(401, "login-needed", **OVER)
        return Reply(body=b'"nobody"', headers=OVER)

    def _log_in(self, received: Received) -> Reply:
        if WORD.encode() not in received.body:
            return refusal(400, "bad-credentials")
        self.logins += 1
        token = f"token{self.logins}"
        self.valid.add(token)
        return Reply(body=b"{}", headers={"Set-Cookie": f"c2subauth={token}; Max-Age=1000"})


@pytest.fixture
def accounts(script: Script) -> Accounts:
    script.answer = made = Accounts()
    return made


def test_user_is_logged_in_with_the_first_request(accounts: Accounts, make: Make) -> None:
    client = SessionTransport(make(), ("ann", WORD))
    assert accounts.logins == 0
    assert [client.request("GET", "a").json() for _ in range(2)] == ["token1", "token1"]


@pytest.mark.parametrize("refuses", [True, False])
def test_user_is_logged_in_again_when_the_session_is_over(
    accounts: Accounts, make: Make, refuses: bool
) -> None:
    accounts.refuses = refuses
    client = SessionTransport(make(), ("ann", WORD))
    client.request("GET", "a")
    accounts.valid.clear()
    assert client.request("GET", "a").json() == "token2"


def test_request_that_changes_things_is_not_made_twice(accounts: Accounts, make: Make) -> None:
    accounts.refuses = False
    client = SessionTransport(make(), ("ann", WORD))
    client.request("GET", "a")
    accounts.valid.clear()
    assert client.request("POST", "a").json() == "nobody"
    assert accounts.logins == 1


def test_wrong_password_is_an_error_without_it(accounts: Accounts, make: Make) -> None:
    client = SessionTransport(make(), ("ann", "incorrect"))
    with pytest.raises(LoginFailed, match="wrong name or password for ann") as caught:
        client.request("GET", "a")
    assert "incorrect" not in str(caught.value)


def test_logout_ends_the_session(script: Script, accounts: Accounts, make: Make) -> None:
    client = SessionTransport(make(), ("ann", WORD))
    log_out(client)
    assert script.asked == []
    client.request("GET", "a")
    log_out(client)
    assert script.asked[-1].path == "/auth/jwt/logout"
    assert not client.session.begun


def test_new_password_is_used_for_the_next_login(
    script: Script, accounts: Accounts, make: Make
) -> None:
    client = SessionTransport(make(), ("ann", WORD))
    change_password(client, "another")
    assert client.session.auth == ("ann", "another")
    assert script.asked[-1].body == b'{"password": "a-password", "new_password": "another"}'
    with pytest.raises(LoginNeeded):
        change_password(make(), "another")
