"""Where passwords, sessions and the secret of accounts show: nowhere."""

from __future__ import annotations

import contextlib
import io
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Self

import caterva2
from tests.conftest import Stack
from tests.scenario.accounts import SECRET, SUPER, SUPERWORD, WORD, start_with_accounts
from tests.terminal import at_terminal
from tests.web.asking import ask


class _Watch:
    """Looks at the command lines of all processes, again and again."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._end.wait(0.25):
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
        start_with_accounts(stack)
        # The list of processes shows what was executed; services are forked, as is all else here.
        process("adduser", "a@b.c", stdin=f"{words[0]}\n", **super_env)
        cli("adduser", "a@b.c", stdin=f"{words[1]}\n", **super_env)
        cli("passwd", stdin=f"{words[2]}\n", CATERVA2_USERNAME="a@b.c", CATERVA2_PASSWORD=words[0])
        cli("roots", CATERVA2_USERNAME="a@b.c", CATERVA2_PASSWORD=words[3])
        settings.write_text(f'[client]\nusername = "a@b.c"\npassword = "{words[2]}"\nbad = 1\n')
        cli("--conf", str(settings), "roots")
        settings.write_text(f'[client]\nusername = "a@b.c"\npassword = "{words[2]}"\n')
        cli("--conf", str(settings), "show", "foo/nope.b2nd")
        cli("--conf", str(settings), "listusers", "--json")
        asked = "cat2cli", "--subscriber", stack.url, "--user", "a@b.c", "info", "foo"
        _, shown = at_terminal(*asked, answers=[("Password of", words[2])])
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
    for secret in (*words, WORD, SUPERWORD, SECRET, token, "$argon2"):
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
