"""The tutorial of three hosts works as written, and over a thin link."""

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
DELAY, BANDWIDTH = 0.05, 10e6 / 8
"""Of the thin link, in seconds there, as many back, and in bytes a second."""
LISTENS = "cat2pub --conf lab.toml --endpoint 10.77.0.2:8001"
THIN = f"""python -m tests.fault.thinlink 10.77.0.2 8001 {DELAY} {BANDWIDTH} &
ip netns exec lab cat2pub --conf lab.toml --endpoint 127.0.0.1:8001 --advertise 10.77.0.2:8001"""
FIRST = "ip netns exec away cat2cli download climate/wind.b2nd first.b2nd"
TIMED = f"""begun=$(date +%s%N)
{FIRST}
echo took $((($(date +%s%N) - begun) / 1000000)) ms"""


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
@pytest.mark.parametrize("thin", [False, True], ids=["as-written", "thin"])
def test_three_hosts(script: str, programs: Path, tmp_path: Path, thin: bool) -> None:
    place = tmp_path / "place"
    place.mkdir()
    assert LISTENS in script
    if thin:
        script = script.replace(LISTENS, THIN).replace(FIRST, TIMED)
    done = subprocess.run(
        ["bash", "-euc", script], cwd=place, capture_output=True, text=True,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(TOP)},
        check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("[1. 1. 1. 1. 1.]") == 2
    assert "Traceback" not in done.stderr
    found = re.search(r"first reader took (\d+) bytes from lab, the second one (\d+)", done.stdout)
    assert found, done.stdout
    first, second = map(int, found.groups())
    took = int(re.findall(r"took (\d+) ms|$", done.stdout)[0] or 0) / 1000
    print(f"{first} bytes in {took} s, and {second}")
    stored = (place / "climate" / "wind.b2nd").stat().st_size
    assert stored < first < 1.3 * stored
    assert second < 0.02 * stored
    if thin:
        assert took > stored / BANDWIDTH
