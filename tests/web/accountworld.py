"""A subscriber with users, and roots that not all of them read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from caterva2.limits import DEFAULTS
from tests.conftest import Stack, eventually, example_root
from tests.web.asking import Answer, ask, cookie_of, login

ANN, BOB, SUPER = "ann@example.com", "bob@example.com", "super@example.com"
DISABLED = "disabled@example.com"
WORD = "correct horse"
SETTINGS = """
[subscriber]
register = true
proxy = ["127.0.0.1"]
maxusers = 40
[subscriber.roots.open]
read = "public"
[subscriber.roots.members]
read = "users"
[subscriber.roots.anns]
read = ["group:anns"]
[subscriber.roots.both]
read = ["bob@example.com"]
[publisher.theirs]
read = ["group:anns"]
[publisher.both]
read = "users"
[subscriber.groups]
anns = ["ann@example.com", "disabled@example.com"]
"""
ROOTS = ("plain", "open", "members", "anns", "theirs", "both")
"""The publishers of the last two say who may read."""
ANNS = set(ROOTS) - {"both"}
READING = (
    ("GET", "api/list/{root}"),
    ("GET", "api/list/{root}/dir1"),
    ("GET", "api/entries/{root}/dir1"),
    ("GET", "api/members/{root}"),
    ("GET", "api/members/{root}?depth=1"),
    ("GET", "api/fetch/{root}/ds-1d.b2nd?format=npy"),
    ("GET", "api/search/{root}?q=ds"),
    ("GET", "api/info/{root}"),
    ("GET", "api/info/{root}/ds-1d.b2nd"),
    ("GET", "api/fetch/{root}/ds-1d.b2nd"),
    ("GET", "api/fetch/{root}/ds-1d.b2nd?slice_=3:5"),
    ("POST", "api/fetch/{root}/ds-1d.b2nd"),
    ("GET", "api/overview/{root}/ds-1d.b2nd"),
    ("GET", "api/stats/{root}/ds-1d.b2nd"),
    ("GET", "api/table/{root}/ds-1d.b2nd"),
    ("GET", "api/image/{root}/dir1/ds-2d.b2nd"),
    ("GET", "api/chunk/{root}/ds-1d.b2nd?nchunk=0"),
    ("GET", "api/chunks/{root}/ds-1d.b2nd?ids=0"),
    ("GET", "api/download/{root}/README.md"),
    ("HEAD", "api/download/{root}/README.md"),
    ("POST", "api/subscribe/{root}"),
    ("POST", "api/prefetch/{root}"),
    ("GET", "api/prefetch/{root}"),
    ("GET", "zarr/{root}/ds-1d/zarr.json"),
    ("POST", "api/exchange/{root}"),
)
"""Calls that read a root."""
LOGINS = DEFAULTS.accounts.logins


def post(stack: Stack, target: str, body: Any, cookie: str = "", **headers: str) -> Answer:
    return ask(stack, target, "POST", json.dumps(body), Cookie=cookie, **headers)


@dataclass
class World:
    """A subscriber with accounts, and the sessions of its users."""

    stack: Stack
    cookies: dict[str, str]
    tokens: dict[str, str]
    """API tokens, by names as those of the cookies."""

    def proof(self, who: str) -> dict[str, str]:
        """The headers that say who asks."""
        if who in self.tokens:
            return {"Authorization": f"Bearer {self.tokens[who]}"}
        return {"Cookie": self.cookies[who]} if self.cookies[who] else {}

    def ask(self, who: str, target: str, method: str = "GET", **headers: str) -> Answer:
        return ask(self.stack, target, method, **(headers | self.proof(who)))

    def post(self, who: str, target: str, body: Any, **headers: str) -> Answer:
        return ask(self.stack, target, "POST", json.dumps(body), **(headers | self.proof(who)))

    def token(self, who: str, *roots: str, **more: Any) -> str:
        """Make an API token."""
        answer = self.post(who, "api/tokens", {"name": "a test", "roots": roots, **more})
        assert answer.status == 201, answer.json
        made: str = answer.json["token"]
        return made


def started(stack: Stack) -> World:
    (stack.directory / "caterva2.toml").write_text(SETTINGS)
    stack.add_user(SUPER, WORD, "--superuser")
    stack.add_user(ANN, WORD)
    stack.add_user(BOB, WORD)
    stack.add_user(DISABLED, WORD)
    stack.start_broker()
    publishers = [
        stack.spawn_publisher(root, example_root(), f"pub-{root}", "--id", root) for root in ROOTS
    ]
    subscriber = stack.spawn_subscriber()
    for publisher in publishers:
        publisher.ready()
    stack.subscriber_ready(subscriber)
    users = {"ann": ANN, "bob": BOB, "super": SUPER, "disabled": DISABLED}
    cookies = {who: cookie_of(login(stack, name, WORD)) for who, name in users.items()}
    cookies |= {"nobody": "", "stale": "c2subauth=" + 43 * "x"}
    made = World(stack, cookies, {})
    made.tokens = {
        "ann's token": made.token("ann", "*"),
        "ann's narrow": made.token("ann", "an*", "plain"),
        "bob's narrow": made.token("bob", "anns", "open", "@shared", write=True),
        "super's token": made.token("super", "members", manage=True),
        "disabled's token": made.token("disabled", "*"),
    }
    eventually(lambda: made.ask("disabled", "api/list/anns").status == 200)
    assert made.post("super", f"api/users/{DISABLED}", {"active": False}).status == 200
    eventually(lambda: made.ask("ann", "api/roots").json.keys() >= ANNS)
    eventually(lambda: "both" in made.ask("bob", "api/roots").json)
    return made
