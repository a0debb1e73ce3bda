"""The tutorial of three hosts works as written, from its first line to its last."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
HOSTS = ("hub", "lab", "away", "switch")


@pytest.fixture
def script() -> str:
    text = (TOP / "docs" / "tutorials" / "three-hosts.md").read_text()
    return "\n".join(re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A directory with the commands of this tree."""
    folder = tmp_path / "bin"
    folder.mkdir()
    lines = {"python": f'{sys.executable} "$@"'}
    for name in ("cat2bro", "cat2pub", "cat2sub", "cat2keys", "cat2cli"):
        module, function = ("cat2cli", "main") if name == "cat2cli" else ("launch", name)
        line = f"import sys; from caterva2.cli.{module} import {function} as run; sys.exit(run())"
        lines[name] = f"{sys.executable} -c '{line}' \"$@\""
    for name, line in lines.items():
        (folder / name).write_text(f"#!/bin/sh\nexec {line}\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def hosts() -> Iterator[None]:
    """Remove what a script that failed has left."""
    yield
    for host in HOSTS:
        left = subprocess.run(
            ["ip", "netns", "pids", host], capture_output=True, text=True, check=False
        )
        for pid in left.stdout.split():
            os.kill(int(pid), signal.SIGTERM)
        subprocess.run(["ip", "netns", "delete", host], capture_output=True, check=False)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="it needs root and iproute2"
)
@pytest.mark.usefixtures("hosts")
def test_three_hosts(script: str, programs: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    done = subprocess.run(
        ["bash", "-euc", script], cwd=place, capture_output=True, text=True,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(TOP)},
        check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("[1. 1. 1. 1. 1.]") == 2
    assert "Traceback" not in done.stderr
