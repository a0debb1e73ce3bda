"""Logins at an OpenID Connect provider: a real one, who is let in, and what is refused"""

from __future__ import annotations

import http.client
import http.cookies
import urllib.parse
from collections.abc import Iterator

import pytest

from tests.conftest import Stack
from tests.web.asking import Answer

ANN, NEW = "ann@example.com", "new@example.com"
WORD = "correct horse"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the provider, about Authlib
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    import oidc_provider_mock

    made = Stack(tmp_path_factory.mktemp("oidc"))
    made.secret = "keeps sessions"
    try:
        with oidc_provider_mock.run_server_in_thread(require_nonce=True) as provider:
            issuer = f"http://localhost:{provider.server_port}"
            oidc = f'[subscriber.oidc]\nissuer = "{issuer}"\nclient_id = "cat2"\nlabel = "Lab"\n'
            oidc += 'groups_claim = "groups"\n[subscriber]\nwrite = ["group:staff"]\n'
            oidc += 'prefix = "/data"\n'  # requests without it are answered, too
            made.configure(oidc)
            made.add_user(ANN, WORD)
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("CATERVA2_OIDC_SECRET", "known to the provider")
                made.start_subscriber()
            yield made
    finally:
        made.stop_all()


class Browser:
    """Follows a login by hand: the subscriber's cookies, and the form of the provider."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.cookies: dict[str, str] = {}

    def get(self, target: str) -> Answer:
        parts = urllib.parse.urlsplit(self._stack.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
        sent = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        connection.request("GET", f"/{target}", headers={"Accept": "text/html", "Cookie": sent})
        response = connection.getresponse()
        known: http.cookies.SimpleCookie = http.cookies.SimpleCookie()
        for cookie in response.headers.get_all("Set-Cookie", []):
            known.load(cookie)
        self.cookies |= {name: one.coded_value for name, one in known.items()}
        told = {name.lower(): value for name, value in response.getheaders()}
        answer = Answer(response.status, told, response.read())
        connection.close()
        return answer

    def authorized(self, user: str, verified: bool = True, groups: object = None) -> str:
        """Begin a login, and return where the provider leads back to."""
        import httpx

        place = self.get("login/oidc?next=/account").headers["location"]
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(place).query))
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        assert query["state"] != query["nonce"]
        issuer = place.partition("/oauth2")[0]
        claims = {"email": user, "email_verified": verified, "groups": groups or []}
        url = f"{issuer}/users/{urllib.parse.quote(user)}"
        assert httpx.put(url, json=claims).status_code == 204
        answer = httpx.post(place, data={"sub": user})
        back = answer.headers["location"]
        assert back.startswith(f"{self._stack.url}/data/login/oidc/callback?")
        return back.removeprefix(self._stack.url + "/")


def test_users_of_the_provider_log_in_where_they_have_an_account(stack: Stack) -> None:
    browser = Browser(stack)
    assert "Log in with Lab" in browser.get("login").body.decode()
    answer = browser.get(browser.authorized(ANN))
    assert (answer.status, answer.headers["location"]) == (303, "/data/account")
    assert browser.get("api/me").json["user"] == ANN
    refused = Browser(stack)
    assert refused.get(refused.authorized(NEW)).status == 400
    assert refused.get("api/me").json["user"] is None
    unverified = Browser(stack)
    assert unverified.get(unverified.authorized(ANN, verified=False)).status == 400
    assert unverified.get("api/me").json["user"] is None


def test_codes_are_for_the_browser_that_began_the_login(stack: Stack) -> None:
    browser, other = Browser(stack), Browser(stack)
    back = browser.authorized(ANN)
    other.authorized(ANN)
    assert other.get(back).status == 503  # the state is another's
    assert Browser(stack).get(back).status == 503  # there is none
    changed = back.replace("code=", "code=x")
    assert browser.get(changed).status == 503
    assert browser.get(back).status == 503  # a state is used once
    for query in ("", "?error=access_denied", "?state=x&code=y"):
        assert Browser(stack).get(f"login/oidc/callback{query}").status == 503


def test_groups_of_the_provider_give_rights_until_the_next_login(stack: Stack) -> None:
    for groups, may in ((["staff", 7], True), (["others"], False)):
        browser = Browser(stack)
        assert browser.get(browser.authorized(ANN, groups=groups)).status == 303
        assert browser.get("api/me").json["special"] is may
