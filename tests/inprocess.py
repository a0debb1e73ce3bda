"""Commands run in the test's process: their output, prompts and effects."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

from caterva2 import limits
from caterva2.cli import cat2sub
from caterva2.cli.cat2cli import main


def cat2cli(
    *arguments: str, cwd: Path | None = None, stdin: str = "", **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a command line to its end, as `run` does in a process."""
    stdout, stderr = (_stream(b"") for _ in range(2))
    with (
        contextlib.chdir(cwd or "."),
        mock.patch.dict(os.environ, env),
        mock.patch.object(sys, "stdin", _stream(stdin.encode())),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        try:
            code = main(list(arguments))
        except SystemExit as end:  # argparse ends so
            code = end.code if isinstance(end.code, int) else 1
    return subprocess.CompletedProcess(arguments, code, _text(stdout), _text(stderr))


def add_user(statedir: Path, name: str, password: str, *, superuser: bool) -> None:
    """Add an account as ``cat2sub --add-user`` does."""
    with (
        mock.patch.object(sys, "stdin", _stream(f"{password}\n".encode())),
        contextlib.redirect_stdout(_stream(b"")),
    ):
        assert cat2sub.add_user(statedir, name, superuser, limits.DEFAULTS.accounts.users) == 0


def _stream(content: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8")


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()
