"""The curl examples of the REST documentation work as written."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import blosc2
import pytest

from tests.conftest import Stack

PAGE = Path(__file__).parents[2] / "docs" / "rest.md"
FRAMES = {"part.b2nd", "points.b2nd", "field.b2nd"}


def _examples() -> list[str]:
    block = re.search(r"```sh\n(S=.*?)```", PAGE.read_text(), re.DOTALL)
    assert block
    lines = block[1].replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("curl")]


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
@pytest.mark.parametrize("command", _examples())
def test_example_works(shared_stack: Stack, tmp_path: Path, command: str) -> None:
    endless = " -N " in command
    given = "curl --fail --silent --show-error" + (" --max-time 1" if endless else "")
    done = subprocess.run(
        ["sh", "-c", f"S={shared_stack.url}\n" + command.replace("curl", given, 1)],
        capture_output=True, text=True, timeout=30, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == (28 if endless else 0), done.stderr
    made = {path.name for path in tmp_path.iterdir()}
    assert bool(made) == (" -o" in command.lower())
    for name in made & FRAMES:
        assert blosc2.open(str(tmp_path / name))[()].size > 0
