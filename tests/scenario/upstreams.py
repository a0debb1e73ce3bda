"""Two subscribers: one with a broker and accounts, and one at home that has only HTTP."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import caterva2
from tests.conftest import Stack, eventually, example_root
from tests.web.asking import Answer, ask, cookie_of, login

ANN, WORD = "ann@example.com", "correct horse"
SETTINGS = """
[subscriber.roots.members]
read = ["ann@example.com"]
"""
AT_HOME = """
[subscriber]
broker = ""
upstream_readers = ["public"]
"""


@dataclass
class Home:
    """The subscriber ``sub`` at the lab, and ``home``, which takes its roots."""

    stack: Stack
    source: Path
    lab: str
    cookie: str = ""
    ident: str = ""
    """Of the token, as the lab lists it."""
    former: str = ""
    """Of the token before."""
    token_file: str = ""
    url: str = ""

    @classmethod
    def made(cls, stack: Stack) -> Home:
        """Start a lab with the roots ``foo``, and ``members``, which Ann alone may read."""
        source = stack.directory / "source"
        shutil.copytree(example_root(), source)
        stack.secret = "keeps sessions"
        stack.configure(SETTINGS)
        stack.add_user(ANN, WORD)
        lab = stack.hold_port().address
        stack.start_services("--http", lab, foo=source, members=example_root())
        home = cls(stack, source, f"http://{lab}")
        home.cookie = cookie_of(login(stack, ANN, WORD))
        eventually(lambda: {"foo", "members"} <= home.of_lab("api/roots").json.keys())
        return home

    def start_lab(self) -> None:
        """Start the subscriber at the lab again."""
        self.stack.start_subscriber(given=("--http", self.lab.partition("://")[2]))

    def token(self, *roots: str) -> None:
        """Have a token made, and write it to its file."""
        body = f'{{"name": "home", "roots": {list(roots)}}}'.replace("'", '"')
        made = self.of_lab("api/tokens", "POST", body)
        file = self.stack.directory / "token"
        file.touch(0o600)
        file.write_text(made.json["token"] + "\n")
        self.stack.passwords.add(made.json["token"])
        self.token_file = str(file)
        self.former, self.ident = self.ident, made.json["id"]

    def start(self) -> None:
        """Start the subscriber at home."""
        token = "--upstream-token-file", self.token_file
        self.url = self.spawn("home", "--upstream", self.lab, *token)

    def spawn(self, name: str, *given: str) -> str:
        """Start a subscriber without broker and accounts, and return its URL."""
        secret, self.stack.secret = self.stack.secret, ""
        conf = self.stack.directory / "home.toml"
        conf.write_text(AT_HOME)
        arguments = "--conf", str(conf), "--http", "127.0.0.1:0", *given
        child = self.stack.spawn(name, "cat2sub", *arguments)
        self.stack.secret = secret
        found = re.search(r"https?://\S+:\d+", child.ready())
        assert found
        return found[0]

    def of_lab(self, target: str, method: str = "GET", body: str | None = None) -> Answer:
        self.stack.url = self.lab
        return ask(self.stack, target, method, body, Cookie=self.cookie)

    def ask(self, target: str, method: str = "GET", **headers: str) -> Answer:
        self.stack.url = self.url
        return ask(self.stack, target, method, **headers)

    def not_cached(self, name: str) -> str:
        """Make another dataset, and return how it is fetched, which was not done before."""
        shutil.copy(self.source / "ds-1d.b2nd", self.source / name)
        eventually(lambda: name in self.ask("api/list/foo").json)
        return f"api/fetch/foo/{name}"

    @property
    def problems(self) -> set[str]:
        return {one["problem"] for one in self.ask("api/status").json["problems"]}

    @property
    def states(self) -> dict[str, str]:
        roots = self.ask("api/status").json["roots"]
        return {one["name"]: one["state"] for one in roots}

    @property
    def client(self) -> caterva2.Client:
        return caterva2.Client(self.url)
