"""Commands where only the light client is installed: help, version, and what to install."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from caterva2.cli.manpages import COMMANDS
from caterva2.version import __version__

TOP = Path(__file__).parents[2]
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
EXTRAS = {
    "zmq", "watchfiles", "argon2", "anyio", "httptools", "python_multipart", "multipart",
    "starlette", "uvicorn", "uvloop", "h5py", "hdf5plugin",
}  # fmt: skip
"""Modules of the packages that extras install."""


LOADED = "import httpx, msgpack, numpy, pydantic, rich"
"""What every installation has; loaded once for commands that run one by one in forks."""
FORKS = """
for arguments in json.loads(sys.stdin.read()):
    (reading, out), (complaints, errors) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(out, 1), os.dup2(errors, 2)
        break
    os.close(out), os.close(errors)
    texts = [open(fd).read() for fd in (reading, complaints)]
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), *texts]))
    sys.stdout.flush()
else:
    sys.exit()
module, function, *sys.argv = arguments
sys.exit(getattr(importlib.import_module(module), function)())
"""
Done = subprocess.CompletedProcess[str]


def run(program: str, *arguments: str, absent: set[str] = EXTRAS, given: str = "") -> Done:
    """Run a program in a Python that lacks some modules."""
    start = f"import sys; sys.modules.update(dict.fromkeys({sorted(absent)}, None)); {program}"
    command = [sys.executable, "-c", start, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=TOP, input=given
    )


def commands(*lines: tuple[str, ...], absent: set[str] = EXTRAS) -> list[Done]:
    """Run commands, each by its name with arguments, as their scripts do."""
    asked = [[*PROJECT["scripts"][name].split(":"), name, *arguments] for name, *arguments in lines]
    program = f"import importlib, json, os\n{LOADED}\n{FORKS}"
    done = run(program, absent=absent, given=json.dumps(asked))
    assert done.returncode == 0, done.stderr
    told = map(json.loads, done.stdout.splitlines())
    return [Done(line, *one) for line, one in zip(lines, told, strict=True)]


def command(name: str, *arguments: str, absent: set[str] = EXTRAS) -> Done:
    """Run one command."""
    return commands((name, *arguments), absent=absent)[0]


def test_all_commands_are_known() -> None:
    assert set(PROJECT["scripts"]) == set(COMMANDS)


def test_help_and_version_need_no_extra() -> None:
    for version in commands(*((name, "--version") for name in COMMANDS)):
        name = version.args[0]
        assert (version.returncode, version.stdout) == (0, f"{name} {__version__}\n"), name
    asked = [(name, "--help") for name in COMMANDS]
    for shown, full in zip(commands(*asked), commands(*asked, absent=set()), strict=True):
        name = shown.args[0]
        assert (shown.returncode, shown.stderr) == (0, ""), name
        assert shown.stdout.startswith(f"usage: {name} ")
        assert shown.stdout == full.stdout


def test_what_to_install_is_named_in_one_line() -> None:
    given = {"cat2import": ("a", "b"), "cat2export": ("a", "b")}
    for done in commands(*((name, *given.get(name, ())) for name in COMMANDS if name != "cat2cli")):
        name = done.args[0]
        assert (done.returncode, done.stdout) == (1, ""), name
        hint = re.fullmatch(
            rf"{name}: (\w+) is not installed: pip install 'caterva2\[(\w+)\]'\n", done.stderr
        )
        assert hint, done.stderr
        assert hint[1] in EXTRAS
        assert hint[2] in PROJECT["optional-dependencies"]


def test_hdf5_tools_need_the_extra_that_they_name() -> None:
    others = EXTRAS - {"h5py", "hdf5plugin"}
    given = "no-such-source", "no-such-target"
    for done in commands(("cat2import", *given), ("cat2export", *given), absent=others):
        assert done.returncode == 1
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


def test_loaded_modules_are_never_searched_for_garbage() -> None:
    facts = "print(gc.isenabled(), gc.get_freeze_count() > 10_000)"
    main = f"try: main()\nexcept SystemExit: {facts}"
    start = "import gc; from caterva2.cli.launch import cat2bro as main"
    done = run(f"{start}\n{main}", "--version", absent=set())
    assert done.stdout.splitlines()[-1] == "True True"
    missing = run(f"{start}\nmain()\n{facts}", absent={"zmq"})
    assert missing.stdout == "True True\n"
