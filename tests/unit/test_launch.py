"""Commands where only the light client is installed: help, version, and what to install."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from caterva2.cli.documents.completions import COMMANDS
from caterva2.version import __version__
from tests import forkserver

TOP = Path(__file__).parents[2]
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
EXTRAS = {
    "zmq", "argon2", "anyio", "httptools", "python_multipart", "multipart",
    "starlette", "uvicorn", "uvloop", "h5py", "hdf5plugin",
}  # fmt: skip
"""Modules of the packages that extras install."""

RUN = """
for module, function, *sys.argv in json.loads(sys.stdin.read()):
    printed, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
        try:
            code = getattr(importlib.import_module(module), function)()
        except SystemExit as end:
            code = end.code
    print(json.dumps([code or 0, printed.getvalue(), errors.getvalue()]))
"""
Done = subprocess.CompletedProcess[str]


def run(program: str, *arguments: str, absent: set[str] = EXTRAS, given: str = "") -> Done:
    """Run a program in a Python that lacks some modules."""
    start = f"import sys; sys.modules.update(dict.fromkeys({sorted(absent)}, None)); {program}"
    command = [sys.executable, "-c", start, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=TOP, input=given
    )


def commands(*lines: tuple[str, ...], absent: set[str] = EXTRAS, before: str = "") -> list[Done]:
    """Run commands one after the other, each by its name with arguments, as their scripts do."""
    asked = [[*PROJECT["scripts"][name].split(":"), name, *arguments] for name, *arguments in lines]
    program = f"import contextlib, importlib, io, json\n{before}\n{RUN}"
    done = run(program, absent=absent, given=json.dumps(asked))
    assert done.returncode == 0, done.stderr
    told = map(json.loads, done.stdout.splitlines())
    return [Done(line, *one) for line, one in zip(lines, told, strict=True)]


def test_all_commands_are_known() -> None:
    assert set(PROJECT["scripts"]) == set(COMMANDS)


def test_client_help_version_and_what_to_install_need_no_extra() -> None:
    names = list(COMMANDS)
    needy = [name for name in names if name not in ("cat2cli", "caterva2")]
    given = {
        "cat2keys": ("show", "a"), "cat2import": ("a", "b"), "cat2export": ("a", "b"),
    }  # fmt: skip
    done = commands(
        *((name, "--version") for name in names),
        *((name, "--help") for name in names),
        *((name, *given.get(name, ())) for name in needy),
        before="import caterva2; caterva2.Client; caterva2.AsyncClient; caterva2.Dataset",
    )
    for name, version in zip(names, done, strict=False):
        assert (version.returncode, version.stdout) == (0, f"{name} {__version__}\n")
    for name, shown in zip(names, done[len(names) :], strict=False):
        assert (shown.returncode, shown.stderr) == (0, ""), name
        assert shown.stdout.startswith(f"usage: {name} ")
        assert shown.stdout == forkserver.run(name, "--help").stdout  # with all extras
    for name, refused in zip(needy, done[2 * len(names) :], strict=True):
        assert (refused.returncode, refused.stdout) == (1, ""), name
        hint = re.fullmatch(
            rf"{name}: (\w+) is not installed: pip install 'caterva2\[(\w+)\]'\n", refused.stderr
        )
        assert hint, refused.stderr
        assert hint[1] in EXTRAS
        assert hint[2] in PROJECT["optional-dependencies"]


@pytest.mark.slow
def test_hdf5_tools_need_the_extra_that_they_name() -> None:
    others = EXTRAS - {"h5py", "hdf5plugin"}
    given = "no-such-source", "no-such-target"
    for done in commands(("cat2import", *given), ("cat2export", *given), absent=others):
        assert done.returncode == 1
        assert "is not installed" not in done.stderr


@pytest.mark.slow
def test_without_h5py_hdf5_files_are_refused_or_files_only(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    file = tmp_path / "files" / "a.h5"
    file.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(1000))
    listed = f"""
from pathlib import Path

import pytest
from caterva2.cli.cat2pub import open_source
source = open_source(Path({str(tmp_path / "files")!r}), Path({str(tmp_path)!r}))
print(list(source.scan()), list(source.scan()))
from caterva2.cli import launch
sys.argv = ["cat2pub", "--statedir", {str(tmp_path / "state")!r}, "foo", {str(file)!r}]
print(launch.cat2pub())
import runpy
sys.argv[1:] = ["x.h5"]
runpy.run_module("caterva2.examples.hdf5root", run_name="__main__")
"""
    done = run(listed, absent={"h5py"})
    assert done.returncode == 1
    assert done.stdout == "['a.h5'] ['a.h5']\n1\n"
    hint = "pip install 'caterva2[hdf5]'"
    served, published, example = done.stderr.splitlines()
    assert served == f"a.h5: HDF5 files are served as files only; HDF5 files need h5py: {hint}"
    assert f"HDF5 files need h5py: {hint}" in published
    assert example == f"hdf5root: h5py is not installed: {hint}"


@pytest.mark.slow
def test_loaded_modules_are_never_searched_for_garbage() -> None:
    facts = "print(gc.isenabled(), gc.get_freeze_count() > 10_000)"
    main = f"try: main()\nexcept SystemExit: {facts}"
    start = "import gc; from caterva2.cli.launch import cat2bro as main"
    done = run(f"{start}\n{main}", "--version", absent=set())
    assert done.stdout.splitlines()[-1] == "True True"
    missing = run(f"{start}\nmain()\n{facts}", absent={"zmq"})
    assert missing.stdout == "True True\n"
