"""Accounts from the command line: where name and password come from, and who is refused."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest

from tests.conftest import Stack, run
from tests.scenario.accounts import ANN, SUPER, SUPERWORD, WORD, as_super
from tests.terminal import at_terminal

ROOTS = "@personal *\n@public *\n@shared *\nfoo *\n"
"""What `cat2cli roots` tells a user."""


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


def test_cli_asks_for_the_password_at_a_terminal_and_does_not_show_it(members: Stack) -> None:
    command = "cat2cli", "--subscriber", members.url, "--user", ANN, "roots"
    code, shown = at_terminal(*command, answers=[("Password of", WORD)])
    assert (code, "foo *" in shown, WORD in shown) == (0, True, False)


def test_add_user_asks_twice_at_a_terminal(members: Stack) -> None:
    statedir = str(members.directory / "sub")
    command = "cat2sub", "--statedir", statedir, "--add-user", "tty@example.com"
    answers = [("Password of", "a-first-password"), ("Once more", "another-password")]
    code, shown = at_terminal(*command, answers=answers)
    assert (code, "passwords differ" in shown) == (2, True)
    answers = [("Password of", "a-first-password"), ("Once more", "a-first-password")]
    code, shown = at_terminal(*command, answers=answers)
    assert (code, "added tty@example.com" in shown, "a-first" in shown) == (0, True, False)
    as_super(members).deluser("tty@example.com")


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


def test_cli_makes_lists_and_revokes_tokens(members: Stack) -> None:
    login = {"CATERVA2_USERNAME": ANN, "CATERVA2_PASSWORD": WORD}
    made = members.cli("token", "new", "a job", "--root", "foo", "--days", "1", **login).stdout
    token = {"CATERVA2_TOKEN": made.strip()}
    before = _sessions(members)
    assert members.cli("roots", **token).stdout.splitlines() == ["foo *"]
    assert _sessions(members) == before  # a token takes no login
    listed = members.cli("token", "list", **login).stdout
    assert ": foo, until " in listed
    assert made.strip() not in listed
    refused = members.cli("token", "list", **token)
    assert (refused.returncode, "may not administer tokens" in refused.stderr) == (1, True)
    ident = listed.split()[0]
    assert members.cli("token", "revoke", ident, **login).stdout == f"{ident} is revoked\n"
    assert "not valid" in members.cli("roots", **token).stderr
    assert members.cli("token", "new", **login).returncode == 2


def test_deluser_asks_at_a_terminal(members: Stack) -> None:
    as_super(members).adduser("tty@example.com", "a-first-password")
    options = ["--subscriber", members.url, "--user", SUPER, "--pass", SUPERWORD]
    command = "cat2cli", *options, "deluser", "tty@example.com"
    assert "Nothing was deleted" in at_terminal(*command, answers=[("[y/N]", "")])[1]
    assert len(as_super(members).listusers("tty@example.com")) == 1
    assert "User deleted" in at_terminal(*command, answers=[("[y/N]", "y")])[1]
    assert as_super(members).listusers("tty@example.com") == []


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
