"""The script of the demonstration: what it installs for the roots that it is given."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("given", "extras"),
    [
        ([], "services"),
        (["foo=data", "--http", "127.0.0.1:9000"], "services"),
        (["foo=a.h5"], "services,hdf5"),
        (["foo=data", "bar=a=b c.nc"], "services,hdf5"),
        (["foo=missing.h5"], "services"),  # the publisher says that it does not exist
    ],
)
def test_demonstration_installs_what_its_roots_need(
    tmp_path: Path, given: list[str], extras: str
) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("bin/demo", "bin/venv.sh", "pyproject.toml"):
        shutil.copy(TOP / name, tmp_path / name)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nprintf "%s|" "$@" >> {tmp_path}/log\necho >> {tmp_path}/log\n')
    python.chmod(0o755)
    (tmp_path / "data").mkdir()
    for name in ("a.h5", "a=b c.nc"):
        (tmp_path / name).touch()
    subprocess.run(
        [str(tmp_path / "bin" / "demo"), *given], cwd=tmp_path, check=True, capture_output=True
    )
    *_, install, start = (tmp_path / "log").read_text().splitlines()
    found = re.search(r"--editable\|.*\[(.*)\]\|$", install)
    assert found
    assert found[1] == extras
    assert start == "".join(f"{word}|" for word in ("-m", "caterva2", "serve", *given))
