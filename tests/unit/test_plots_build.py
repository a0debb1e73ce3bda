"""The committed script of the plots is what its sources make, and runs under a strict policy."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

import caterva2

TOP = Path(__file__).parents[2]
PAGES = Path(caterva2.__file__).parent / "pages"
SOURCE, BUILT = PAGES / "plots", PAGES / "static" / "plots"
NO_PACKAGES = 3
"""The status of bin/build-plots."""


def versions() -> dict[str, dict[str, str]]:
    known: dict[str, dict[str, str]] = tomllib.loads((BUILT / "VERSIONS").read_text())
    return known


def scripts() -> str:
    return "".join(path.read_text() for path in sorted(BUILT.glob("*.js")))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(("table", "folder"), [("files", BUILT), ("sources", SOURCE)])
def test_the_committed_files_are_those_that_were_built_of_these_sources(
    table: str, folder: Path
) -> None:
    names = [
        path.name for path in folder.iterdir() if path.name not in ("VERSIONS", "node_modules")
    ]
    assert versions()[table] == {name: digest(folder / name) for name in names}


def test_the_script_evaluates_no_text() -> None:
    script = scripts()
    evaluated = re.finditer(r"new Function\b|(?<![\w.$])eval\(", script)
    assert not [script[max(0, at.start() - 40) : at.end() + 40] for at in evaluated]


def test_the_script_names_no_other_host_to_load_from() -> None:
    script = scripts() + (BUILT / "plots.css").read_text()
    assert not re.findall(r"(?:url\(|import\(|fetch\(|src=)[\"']?(?:https?:)?//[^\s\"')]+", script)


def test_the_lock_file_pins_packages_by_their_content_only() -> None:
    packages = json.loads((SOURCE / "package-lock.json").read_text())["packages"]
    named = {name: package for name, package in packages.items() if name}
    assert named
    assert not [name for name, package in named.items() if "resolved" in package]
    assert not [name for name, package in named.items() if "integrity" not in package]


def test_each_package_of_the_script_has_its_licence_beside_it() -> None:
    legal = (BUILT / "plots.LEGAL.txt").read_text()
    for name, licence in versions()["packages"].items():
        assert f"{name} ({licence})\n" in legal
        assert licence in {"MIT", "ISC", "BSD-3-Clause", "0BSD", "Unlicense"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_build_gives_the_committed_files_byte_for_byte(tmp_path: Path) -> None:
    if not shutil.which("npm"):
        pytest.skip("npm is not installed")
    built = subprocess.run(
        [TOP / "bin" / "build-plots", tmp_path], capture_output=True, text=True, timeout=580
    )
    if built.returncode == NO_PACKAGES:
        pytest.skip(f"the packages can't be had: {built.stderr[-300:]}")
    assert built.returncode == 0, built.stderr
    made = {path.name: digest(path) for path in tmp_path.iterdir()}
    assert made == {path.name: digest(path) for path in BUILT.iterdir()}
