"""What is installed: extras, and that each is tried alone."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
CONTAINER = TOP / "conf" / "Containerfile"
TEXT = (TOP / "pyproject.toml").read_text()
PROJECT = tomllib.loads(TEXT)["project"]
EXTRAS = PROJECT["optional-dependencies"]


def test_each_extra_is_installed_alone_by_the_script() -> None:
    script = (TOP / "bin" / "pythons").read_text()
    assert set(re.findall(r"^    \[([\w-]+)\]=", script, re.MULTILINE)) == set(EXTRAS)


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_brings_something_or_says_why_not(extra: str) -> None:
    if not EXTRAS[extra]:
        assert re.search(rf"^{extra} = \[\]  # empty: .{{20}}", TEXT, re.MULTILINE)


def test_an_extra_names_only_extras_that_there_are() -> None:
    for lines in EXTRAS.values():
        for line in lines:
            if named := re.fullmatch(r"caterva2\[([\w,-]+)\]", line):
                assert set(named[1].split(",")) <= set(EXTRAS)


def test_each_requirement_has_a_least_version() -> None:
    for line in [*PROJECT["dependencies"], *itertools.chain(*EXTRAS.values())]:
        assert line.startswith("caterva2[") or re.match(r"[\w-]+(\[\w+\])?>=\d", line), line


BUILD = tomllib.loads(TEXT)["tool"]["hatch"]["build"]["targets"]["wheel"]
OUTSIDE = [*BUILD["force-include"], *BUILD["shared-data"]]
"""What the wheel has from outside of the package."""


def copied() -> list[str]:
    """What the build in the container gets of a checkout."""
    lines = re.findall(r"^COPY ([^-].*) \S+$", CONTAINER.read_text(), re.MULTILINE)
    return [name for line in lines for name in line.split()]


def test_the_container_is_built_of_all_that_the_wheel_needs() -> None:
    assert {"caterva2", "pyproject.toml", PROJECT["readme"], *PROJECT["license-files"]} <= set(
        copied()
    )
    for name in (*OUTSIDE, *copied()):
        assert (TOP / name).exists(), name
        assert any(Path(name).is_relative_to(source) for source in copied()), name


@pytest.mark.slow
def test_the_wheel_has_all_of_it(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in copied():
        make = shutil.copytree if (TOP / name).is_dir() else shutil.copy
        make(TOP / name, tree / name)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(tree)],
        check=True, env={**os.environ, "PYTHONPATH": ""},
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {str(path.relative_to(TOP)) for path in (TOP / "caterva2").rglob("*.py")}
    assert modules <= names
    data = f"{wheel.name.removesuffix('-py3-none-any.whl')}.data/data/share"
    assert names >= {
        "caterva2/py.typed", "caterva2/tests/pytest.ini", "caterva2/conf/caterva2.sample.toml",
        "caterva2/conf/caterva2-standalone.sample.toml", "caterva2/conf/completions/bash/cat2cli",
        f"{data}/man/man1/caterva2.1", f"{data}/man/man5/caterva2.toml.5",
        f"{data}/bash-completion/completions/caterva2", f"{data}/zsh/site-functions/_caterva2",
        f"{data}/caterva2/systemd/caterva2-broker.service", f"{data}/caterva2/nginx.conf",
        f"{data}/caterva2/Caddyfile", f"{data}/caterva2/monitoring/alerts.yml",
    }  # fmt: skip
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests/")]
