"""Services under strace: the files, processes and connections that they open.

``bin/traced [TEST ...]`` runs tests whose services are traced, file by file, and prints what these
opened that is neither theirs, nor of Python, nor of the system.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import re
import shutil
import site
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from caterva2.cli.children import Process

TRACES = "CAT2_TRACES"
"""Directory of traces, in the environment of tests whose services are traced."""
DEFAULT = ("tests/scenario", "tests/fault/test_inplace.py", "tests/contract/test_hostile.py")
ALL = tuple(
    f"tests/{name}"
    for name in ("browser", "client", "contract", "fault", "integrations", "scenario", "web")
)
"""Where tests start services as processes."""
STRACE = (
    "strace", "-D", "-f", "--seccomp-bpf", "-q", "-y", "-s", "4096", "-e", "signal=none",
    "-e", "trace=open,openat,openat2,creat,execve,execveat,connect",
)  # fmt: skip
_TOP = Path(__file__).parent.parent
_OPENED = re.compile(r"\b(?:open|openat|openat2|creat)\b.*\) += \d+<([^>]*)>$")
_CONNECTED = re.compile(r"\bconnect\(.*\{sa_family=(AF_\w+)(.*)")
_EXECUTED = re.compile(r"\bexecve(?:at)?\((?:[^\"]*)\"([^\"]*)\", \[(.*)\]")
_SYSTEM = re.compile(
    r"/(usr|lib|lib64|sys/(devices|fs/cgroup|kernel/mm)|proc)(/|$)|/dev/(null|u?random|tty|shm/)"
    r"|/etc/(ld\.so\.cache|locale\.alias|localtime|mime\.types|nsswitch\.conf|host\.conf|hosts|resolv\.conf"
    r"|gai\.conf|passwd|group|os-release|machine-id|ssl/.*|apache2/mime\.types|httpd/mime\.types)$"
)
_NO_FILE = re.compile(r"(pipe|socket|anon_inode|memfd)?:|/memfd:")
_HARMLESS = ('sun_path="/var/run/nscd/socket"', 'sun_path="/run/nscd/socket"')
_numbers = itertools.count()
PATIENCE = 5
"""Times as long as else that services under strace are waited for."""
TIMEOUT = 900
"""Seconds for a test that names no limit of its own."""
NONE_FOUND = 5
"""Exit code of pytest where no test was chosen."""


def spawn(
    command: str,
    arguments: list[str],
    errors: IO[bytes],
    cwd: Path | None,
    env: dict[str, str] | None,
) -> Process:
    """Run a command in a new Python under strace, which writes into the directory of traces.

    It ends with this process, also when that is killed.
    """
    place = Path(os.environ[TRACES]) / f"{os.getpid()}-{next(_numbers)}"
    launch, given = [sys.executable, "-m", "caterva2.cli.launch"], [command, *arguments]
    searched = (os.environ if env is None else env).get("PYTHONPATH", "")
    made = [searched, str(cwd or Path.cwd()), *launch, *given]
    place.with_suffix(".json").write_text(json.dumps(made))
    return subprocess.Popen(
        [*STRACE, "-o", str(place.with_suffix(".trace")), *launch, "--tied", *given], stdin=_tie(),
        stdout=subprocess.PIPE, stderr=errors, start_new_session=True, cwd=cwd, env=env,
    )  # fmt: skip


@functools.cache
def _tie() -> int:
    """Return the end of a pipe whose other end closes with this process."""
    read, _ = os.pipe()
    return read


def foreign(traces: Path) -> Iterator[tuple[str, str]]:
    """Yield what services opened that is not theirs, each with the command of the service."""
    for made in sorted(traces.glob("*.json")):
        searched, cwd, *run = json.loads(made.read_text())
        given = [Path(cwd, word) for word in run[4:] if "/" in word or Path(cwd, word).exists()]
        own = [
            str(one.resolve()) for one in (*given, Path(cwd, "caterva2.toml"), *_python(searched))
        ]
        # Python searches the first for modules; that of a file that is served is watched.
        places = {cwd, *(str(one.resolve().parent) for one in given)}
        trace = made.with_suffix(".trace")
        lines = trace.read_text(errors="replace").splitlines() if trace.exists() else ["no trace"]
        for fault in _faults(lines, own):
            if fault.removeprefix("file ") in places:
                continue
            yield f"{run[3]} {' '.join(run[4:])}"[:120], fault


def _python(searched: str) -> Iterable[Path]:
    """Where Python and this package lie, and what a service was started to search for modules."""
    found = [sys.prefix, sys.base_prefix, sys.executable, site.getuserbase(), _TOP, *sys.path]
    found += searched.split(os.pathsep)
    return [Path(one) for one in found if one]


def _faults(lines: Iterable[str], own: list[str]) -> Iterator[str]:
    for line in lines:
        if line == "no trace":
            yield line
        elif found := _OPENED.search(line):
            if not _is_own(found[1], own):
                yield f"file {found[1]}"
        elif found := _CONNECTED.search(line):
            if not _is_local(found[1], found[2]):
                yield f"connection {found[1]}{found[2][:80]}"
        elif (found := _EXECUTED.search(line)) and " = -1 " not in line and not _is_ours(found[2]):
            yield f"process {found[1]} {found[2][:80]}"


def _is_own(path: str, own: list[str]) -> bool:
    path = path.removesuffix(" (deleted)").removesuffix("(deleted)")
    if _NO_FILE.match(path) or _SYSTEM.match(path):
        return True
    return any(path == one or path.startswith(f"{one}/") for one in own)


def _is_local(family: str, rest: str) -> bool:
    if family == "AF_UNIX":
        return any(one in rest for one in _HARMLESS)
    return 'inet_addr("127.0.0.1")' in rest or '"::1"' in rest


def _is_ours(argv: str) -> bool:
    if argv == '"uname", "-p"':  # of Python's `platform`
        return True
    modules = ("caterva2.cli.launch", "caterva2.isolation.child", "multiprocessing")
    return any(f'"{one}' in argv or f"from {one}" in argv for one in modules)


def run(test: str, markers: str) -> tuple[int, int, Counter[tuple[str, str]]]:
    """Run tests under strace; return their exit code, services, and what these opened."""
    with tempfile.TemporaryDirectory(prefix="traces-") as place:
        options = ["-q", "-p", "no:cacheprovider", "-o", f"timeout={TIMEOUT}", "-m", markers]
        given = [sys.executable, "-m", "pytest", *options, test]
        code = subprocess.run(given, env=os.environ | {TRACES: place}, check=False).returncode
        return code, len(list(Path(place).glob("*.json"))), Counter(foreign(Path(place)))


def parts(tests: Iterable[str]) -> Iterator[str]:
    """Yield the files of tests, and as they are those tests that are no directories."""
    for test in tests:
        if Path(test).is_dir():
            yield from sorted(map(str, Path(test).rglob("test_*.py")))
        else:
            yield test


def main(tests: list[str], done: Path | None = None, markers: str = "") -> int:
    """Run tests with services under strace, and report; return 1 if anything foreign was opened.

    Parameters
    ----------
    tests : list of str
    done : Path, optional
        A file that keeps what came of each file of tests, for the next run to go on.
    markers : str
        Of the tests that are run, as pytest's ``-m``.
    """
    if shutil.which(STRACE[0]) is None:
        sys.exit("bin/traced: strace is missing: apt-get install strace")
    known: dict[str, Any] = json.loads(done.read_text()) if done and done.exists() else {}
    for part in parts(tests):
        if part not in known:
            code, count, found = run(part, markers)
            known[part] = [code, count, [[*what, times] for what, times in found.most_common()]]
            if done:
                done.write_text(json.dumps(known, indent=1))
    return report(known)


def report(known: dict[str, Any]) -> int:
    """Print what came of tests; return 1 if anything is foreign or a test failed."""
    count = sum(services for _, services, _ in known.values())
    found = [(part, *one) for part, (_, _, foreign) in known.items() for one in foreign]
    failed = [part for part, (code, _, _) in known.items() if code not in (0, NONE_FOUND)]
    print(f"{count} services traced, {len(found)} foreign files, connections and processes")
    for part, command, fault, times in found:
        print(f"{times:6}  {fault}  of {command}  in {part}")
    for part in failed:
        print(f"tests failed in {part}")
    return 1 if found or failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="bin/traced", description=__doc__)
    parser.add_argument("tests", nargs="*", metavar="TEST", help=f"default: {' '.join(DEFAULT)}")
    parser.add_argument("--all", action="store_true", help="all that start services")
    parser.add_argument("--done", type=Path, metavar="FILE", help="go on after the last run")
    parser.add_argument("--slow", action="store_true", help="slow tests too")
    options = parser.parse_args()
    markers = "" if options.slow else "not slow"
    given = [*options.tests, *(ALL if options.all else ())]
    sys.exit(main(given or list(DEFAULT), options.done, markers))
