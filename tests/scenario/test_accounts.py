"""Accounts from Python and from the command line, and where their secrets show: nowhere."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import pty
import select
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

import caterva2
from caterva2.cli import children
from tests.conftest import Stack, eventually, example_root, run
from tests.web.asking import ask

ANN, SUPER = "ann@example.com", "super@example.com"
WORD, SUPERWORD = "correct-horse-ann", "correct-horse-super"
SECRET = "a-secret-that-keeps-sessions"
SETTINGS = '[subscriber]\nread = "users"\n'
ROOTS = "@personal *\n@public *\n@shared *\nfoo *\n"
"""What `cat2cli roots` tells a user."""


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A subscriber whose only root, ``foo``, is for users."""
    stack = Stack(tmp_path_factory.mktemp("members"))
    try:
        _start(stack)
        yield stack
    finally:
        stack.stop_all()


def _start(stack: Stack) -> None:
    stack.secret = SECRET
    (stack.directory / "caterva2.toml").write_text(SETTINGS)
    stack.add_user(ANN, WORD)
    stack.add_user(SUPER, SUPERWORD, "--superuser")
    stack.start_broker()
    stack.start_publisher("foo", example_root())
    stack.start_subscriber()
    eventually(lambda: _ann(stack).subscribe("foo") == "Ok")


def _ann(stack: Stack) -> caterva2.Client:
    return caterva2.Client(stack.url, (ANN, WORD))


def _super(stack: Stack) -> caterva2.Client:
    return caterva2.Client(stack.url, auth=(SUPER, SUPERWORD))


# --- Python ---


def test_a_client_logs_in_when_it_asks_for_something(members: Stack) -> None:
    assert caterva2.Client(members.url).get_roots().keys() == {"@public"}
    dataset = _ann(members).get("foo/ds-1d.b2nd")
    assert isinstance(dataset, caterva2.Dataset)
    assert dataset[7] == 7


def test_threads_log_in_once(members: Stack) -> None:
    before = members.log("sub").count(f"{ANN} logged in")
    client = _ann(members)
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
    client = _ann(members)
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
    client = _ann(members)
    client.login()
    for thing in (client, client.transport, client.transport.session, client.get("foo")):
        assert WORD not in repr(thing)
    assert WORD not in client.get_download_url("foo/README.md")
    assert client.transport.session is not None
    token = client.transport.session.token()
    assert token.cookie not in repr(token)


def test_users_are_administered(members: Stack) -> None:
    client, name = _super(members), "new@example.com"
    assert client.adduser(name, "a-first-password") == (
        f"User added: username='{name}' superuser=False"
    )
    with pytest.raises(caterva2.HttpError, match="UserAlreadyExists"):
        client.adduser(name, "a-first-password")
    assert [user["email"] for user in client.listusers(name)] == [name]
    assert {name, ANN, SUPER} <= {user["email"] for user in _ann(members).listusers()}
    with pytest.raises(caterva2.HttpError, match="401 Unauthorized"):
        _ann(members).deluser(name)
    assert client.deluser(name) == f"User deleted: {name}"
    assert client.listusers(name) == []


def test_a_changed_password_ends_the_sessions_of_other_clients(members: Stack) -> None:
    name, old, new = "changing@example.com", "a-first-password", "a-second-password"
    _super(members).adduser(name, old)
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


# --- the command line ---


def test_cli_takes_name_and_password_from_options(members: Stack) -> None:
    for options in (("--username", ANN, "--password", WORD), ("--user", ANN, "--pass", WORD)):
        assert members.cli(*options, "roots").stdout == ROOTS
        assert members.cli("roots", *options).stdout == ROOTS
    assert members.cli("roots").stdout == "@public *\n"


def test_cli_takes_them_from_the_environment(members: Stack) -> None:
    given = {"CATERVA2_USERNAME": ANN, "CATERVA2_PASSWORD": WORD}
    assert members.cli("roots", **given).stdout == ROOTS


def test_cli_takes_them_from_the_settings_and_warns_if_others_may_read_them(
    members: Stack, tmp_path: Path
) -> None:
    file = tmp_path / "caterva2.toml"
    file.write_text(f'[client]\nusername = "{ANN}"\npassword = "{WORD}"\n')
    file.chmod(0o600)
    done = members.cli("roots", cwd=tmp_path)
    assert (done.stdout, done.stderr) == (ROOTS, "")
    file.chmod(0o640)
    done = members.cli("roots", cwd=tmp_path)
    assert done.stdout == ROOTS
    assert "chmod 600 caterva2.toml" in done.stderr


def test_a_password_counts_for_its_own_user_only(members: Stack) -> None:
    given = {"CATERVA2_USERNAME": ANN, "CATERVA2_PASSWORD": WORD}
    done = members.cli("--user", SUPER, "roots", **given)
    assert (done.returncode, done.stderr) == (
        2, f"cat2cli: no password for {SUPER}: set CATERVA2_PASSWORD, or [client] password\n",
    )  # fmt: skip


def test_cli_ends_its_session(members: Stack) -> None:
    before = _sessions(members)
    members.cli("--user", ANN, "--pass", WORD, "roots")
    assert _sessions(members) == before


def _sessions(stack: Stack) -> int:
    with contextlib.closing(sqlite3.connect(stack.directory / "sub" / "accounts.sqlite")) as db:
        return int(db.execute("SELECT count(*) FROM sessions").fetchone()[0])


def _at_a_terminal(command: list[str], answers: list[tuple[str, str]]) -> tuple[int, str]:
    """Run a command at a terminal, and answer what it asks; its exit code and all it showed."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", *command])
    shown, until = "", time.monotonic() + 30
    waiting = list(answers)
    with contextlib.suppress(OSError):  # its end, as Linux tells it
        while time.monotonic() < until:
            if select.select([terminal], [], [], 1)[0]:
                piece = os.read(terminal, 4096)
                if not piece:
                    break
                shown += piece.decode()
            if waiting and waiting[0][0] in shown:
                os.write(terminal, f"{waiting.pop(0)[1]}\n".encode())
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown


def test_cli_asks_for_the_password_at_a_terminal_and_does_not_show_it(members: Stack) -> None:
    command = ["caterva2.cli.cat2cli", "--subscriber", members.url, "--user", ANN, "roots"]
    code, shown = _at_a_terminal(command, [("Password of", WORD)])
    assert (code, "foo *" in shown, WORD in shown) == (0, True, False)


def test_add_user_asks_twice_at_a_terminal(members: Stack) -> None:
    statedir = str(members.directory / "sub")
    command = ["caterva2.cli.cat2sub", "--statedir", statedir, "--add-user", "tty@example.com"]
    answers = [("Password of", "a-first-password"), ("Once more", "another-password")]
    code, shown = _at_a_terminal(command, answers)
    assert (code, "passwords differ" in shown) == (2, True)
    answers = [("Password of", "a-first-password"), ("Once more", "a-first-password")]
    code, shown = _at_a_terminal(command, answers)
    assert (code, "added tty@example.com" in shown, "a-first" in shown) == (0, True, False)
    _super(members).deluser("tty@example.com")


def test_cli_administers_users(members: Stack) -> None:
    given = {"CATERVA2_USERNAME": SUPER, "CATERVA2_PASSWORD": SUPERWORD}
    name = "cli@example.com"
    done = members.cli("adduser", name, stdin="a-first-password\n", **given)
    assert done.stdout == f"User added: username='{name}' superuser=False\n"
    listed = members.cli("lsu", **given).stdout.splitlines()
    assert {name, ANN, f"{SUPER} (superuser)"} <= set(listed)
    (told,) = json.loads(members.cli("listusers", name, "--json", **given).stdout)
    assert (told["email"], told["is_superuser"]) == (name, False)

    login = ("--user", name, "--pass")
    done = members.cli("passwd", *login, "a-first-password", stdin="a-second-password\n")
    assert done.stdout == "The password was changed\n"
    assert members.cli("roots", *login, "a-first-password").returncode == 1
    assert members.cli("roots", *login, "a-second-password").returncode == 0

    refused = members.cli("deluser", name, **given)
    assert (refused.returncode, "--yes is needed" in refused.stderr) == (2, True)
    assert members.cli("deluser", name, "--yes", **given).stdout == f"User deleted: {name}\n"
    again = members.cli("deluser", name, "--yes", **given)
    assert (again.returncode, "UserNotExists" in again.stderr) == (1, True)


def test_deluser_asks_at_a_terminal(members: Stack) -> None:
    _super(members).adduser("tty@example.com", "a-first-password")
    options = ["--subscriber", members.url, "--user", SUPER, "--pass", SUPERWORD]
    command = ["caterva2.cli.cat2cli", *options, "deluser", "tty@example.com"]
    assert "Nothing was deleted" in _at_a_terminal(command, [("[y/N]", "")])[1]
    assert len(_super(members).listusers("tty@example.com")) == 1
    assert "User deleted" in _at_a_terminal(command, [("[y/N]", "y")])[1]
    assert _super(members).listusers("tty@example.com") == []


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        ("short\n", "the password has less than 8 characters"),
        ("", "no password: the first line of standard input must contain it"),
    ],
)
def test_cli_refuses_a_password_that_can_not_be(members: Stack, stdin: str, message: str) -> None:
    given = {"CATERVA2_USERNAME": SUPER, "CATERVA2_PASSWORD": SUPERWORD}
    done = members.cli("adduser", "cli@example.com", stdin=stdin, **given)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


# --- the service ---


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
    _super(members).deluser(name)


@pytest.mark.parametrize(
    ("settings", "env", "message"),
    [
        ("login = true", {}, "login = true needs accounts, but CATERVA2_SECRET is not set"),
        ("register = true", {}, "register = true needs accounts, but CATERVA2_SECRET is not"),
        ("read = 'users'", {}, "read needs accounts, but CATERVA2_SECRET is not set"),
        (
            "login = false\nregister = true", {"CATERVA2_SECRET": "x"},
            "register = true needs accounts, but login is false",
        ),
    ],
)  # fmt: skip
def test_settings_that_need_accounts_stop_the_start(
    tmp_path: Path, settings: str, env: dict[str, str], message: str
) -> None:
    (tmp_path / "caterva2.toml").write_text(f"[subscriber]\n{settings}\n")
    done = run("cat2sub", cwd=tmp_path, **({"CATERVA2_SECRET": ""} | env))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr


def test_add_user_refuses_what_can_not_be(tmp_path: Path) -> None:
    statedir = ("--statedir", str(tmp_path / "s"), "--add-user")
    done = run("cat2sub", *statedir, "ann", stdin="a-first-password\n")
    assert (done.returncode, "not an e-mail address" in done.stderr) == (1, True)
    done = run("cat2sub", *statedir, ANN, stdin="short\n")
    assert (done.returncode, "less than 8" in done.stderr) == (1, True)
    assert run("cat2sub", "--superuser").returncode == 2


# --- secrets ---


class _Watch:
    """Looks at the command lines of all processes, again and again."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._end.wait(0.05):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    self.seen.add(path.read_bytes())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


def test_no_secret_shows_in_logs_answers_or_the_process_list(stack: Stack, tmp_path: Path) -> None:
    """All of an account's life, by each way there is to name a password."""
    stack.spawn_process = children.spawn  # the list of processes shows what was executed
    words = [f"sesame-number-{n}" for n in range(6)]
    told = io.StringIO()
    super_env = {"CATERVA2_USERNAME": SUPER, "CATERVA2_PASSWORD": SUPERWORD}
    settings = tmp_path / "mine.toml"

    def cli(*arguments: str, stdin: str = "", **env: str) -> None:
        done = stack.cli(*arguments, stdin=stdin, **env)
        told.write(done.stdout + done.stderr)

    def process(*arguments: str, stdin: str = "", **env: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "caterva2.cli.cat2cli", "--subscriber", stack.url, *arguments],
            capture_output=True, text=True, timeout=60, check=False, input=stdin,
            env=os.environ | env,
        )  # fmt: skip
        told.write(done.stdout + done.stderr)

    with _Watch() as watch:
        _start(stack)
        process("adduser", "a@b.c", stdin=f"{words[0]}\n", **super_env)
        cli("adduser", "a@b.c", stdin=f"{words[1]}\n", **super_env)
        cli("passwd", stdin=f"{words[2]}\n", CATERVA2_USERNAME="a@b.c", CATERVA2_PASSWORD=words[0])
        cli("roots", CATERVA2_USERNAME="a@b.c", CATERVA2_PASSWORD=words[3])
        settings.write_text(f'[client]\nusername = "a@b.c"\npassword = "{words[2]}"\nbad = 1\n')
        cli("--conf", str(settings), "roots")
        settings.write_text(f'[client]\nusername = "a@b.c"\npassword = "{words[2]}"\n')
        cli("--conf", str(settings), "show", "foo/nope.b2nd")
        cli("--conf", str(settings), "listusers", "--json")
        _, shown = _at_a_terminal(
            ["caterva2.cli.cat2cli", "--subscriber", stack.url, "--user", "a@b.c", "info", "foo"],
            [("Password of", words[2])],
        )
        told.write(shown)
        client = caterva2.Client(stack.url, auth=("a@b.c", words[2]))
        client.login()
        assert client.transport.session is not None
        token = client.transport.session.token().cookie.partition("=")[2]
        kind = {"Content-Type": "application/json", "Cookie": f"c2subauth={token}"}
        for target, body in (
            ("api/password/", {"password": words[4], "new_password": "short"}),
            ("api/password/", {"password": [words[4]], "new_password": words[5]}),
            ("api/adduser/", {"username": words[4], "password": words[5]}),
            ("auth/register", {"email": "a@b.c", "password": words[5]}),
            ("auth/jwt/login", {"username": words[4], "password": words[5]}),
        ):
            answer = ask(stack, target, "POST", json.dumps(body), **kind)
            told.write(f"{answer.headers}{answer.body!r}")
        for target in ("api/roots", "api/listusers/", "api/events?root=x&y", "metrics", "nowhere"):
            answer = ask(stack, target, Cookie=kind["Cookie"])
            told.write(f"{answer.headers}{answer.body!r}")
        cli("deluser", "a@b.c", "--yes", **super_env)
        stack.stop_all()

    logs = "".join(path.read_text() for path in stack.directory.glob("*.log"))
    assert "a@b.c logged in" in logs  # so it was there to be found
    assert any(b"a@b.c" in line for line in watch.seen)
    assert "User added" in told.getvalue()
    for secret in (*words, WORD, SUPERWORD, SECRET, token, "argon2"):
        assert secret not in logs
        assert secret not in told.getvalue()
        assert not any(secret.encode() in line for line in watch.seen)
    for file in (stack.directory / "sub").rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert not any(word.encode() in content for word in (*words, WORD, SECRET, token))
            assert (
                not file.name.startswith("accounts") or stat.S_IMODE(file.stat().st_mode) == 0o600
            )
