"""Commands where only the light client is installed: help, version, and what to install."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from caterva2.cli.manpages import COMMANDS
from caterva2.version import __version__

TOP = Path(__file__).parents[2]
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
EXTRAS = {
    "zmq", "watchfiles", "argon2", "anyio", "httptools", "python_multipart", "multipart",
    "starlette", "uvicorn", "uvloop", "h5py", "hdf5plugin",
}  # fmt: skip
"""Modules of the packages that extras install."""


def run(
    program: str, *arguments: str, absent: set[str] = EXTRAS
) -> subprocess.CompletedProcess[str]:
    """Run a program in a Python that lacks some modules."""
    start = f"import sys; sys.modules.update(dict.fromkeys({sorted(absent)}, None)); {program}"
    command = [sys.executable, "-c", start, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=TOP)


def command(
    name: str, *arguments: str, absent: set[str] = EXTRAS
) -> subprocess.CompletedProcess[str]:
    """Run a command as its script does."""
    module, _, function = PROJECT["scripts"][name].partition(":")
    program = f"from {module} import {function} as main; sys.argv[0] = {name!r}; sys.exit(main())"
    return run(program, *arguments, absent=absent)


def test_all_commands_are_known() -> None:
    assert set(PROJECT["scripts"]) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_and_version_need_no_extra(name: str) -> None:
    version = command(name, "--version")
    assert (version.returncode, version.stdout) == (0, f"{name} {__version__}\n")
    shown = command(name, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith(f"usage: {name} ")
    assert shown.stdout == command(name, "--help", absent=set()).stdout


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"cat2cli"}))
def test_what_to_install_is_named_in_one_line(name: str) -> None:
    given = ["a", "b"] if name in ("cat2import", "cat2export") else []
    done = command(name, *given)
    assert (done.returncode, done.stdout) == (1, "")
    hint = re.fullmatch(
        rf"{name}: (\w+) is not installed: pip install 'caterva2\[(\w+)\]'\n", done.stderr
    )
    assert hint, done.stderr
    assert hint[1] in EXTRAS
    assert hint[2] in PROJECT["optional-dependencies"]


@pytest.mark.parametrize("name", ["cat2import", "cat2export"])
def test_hdf5_tools_need_the_extra_that_they_name(name: str) -> None:
    others = EXTRAS - {"h5py", "hdf5plugin"}
    done = command(name, "no-such-source", "no-such-target", absent=others)
    assert "is not installed" not in done.stderr


def test_publisher_of_an_hdf5_file_names_the_extra(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(1000))
    given = "--statedir", str(tmp_path / "state"), "foo", str(tmp_path / "a.h5")
    done = command("cat2pub", *given, absent={"h5py"})
    assert done.returncode == 1
    assert "HDF5 files need h5py: pip install 'caterva2[hdf5]'" in done.stderr


def test_hdf5_files_of_a_directory_are_files_where_the_extra_is_missing(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(1000))
    start = f"""
from pathlib import Path
from caterva2.cli.cat2pub import open_source
source = open_source(Path({str(tmp_path / "files")!r}), Path({str(tmp_path)!r}))
print(list(source.scan()), list(source.scan()))
"""
    done = run(start, absent={"h5py"})
    assert done.stdout == "['a.h5'] ['a.h5']\n"
    hint = "HDF5 files need h5py: pip install 'caterva2[hdf5]'"
    assert done.stderr == f"a.h5: HDF5 files are served as files only; {hint}\n"


def test_example_file_names_the_extra(tmp_path: Path) -> None:
    start = "import runpy; sys.argv[1:] = ['x.h5']; "
    start += "runpy.run_module('caterva2.examples.hdf5root', run_name='__main__')"
    done = run(start, absent={"h5py"})
    assert done.returncode == 1
    assert done.stderr == "hdf5root: h5py is not installed: pip install 'caterva2[hdf5]'\n"


def test_client_needs_no_extra() -> None:
    done = run("import caterva2; caterva2.Client; caterva2.AsyncClient; caterva2.Dataset")
    assert (done.returncode, done.stderr) == (0, "")
