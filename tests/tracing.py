"""Services under strace: the files, processes and connections that they open.

``bin/traced [TEST ...]`` runs tests whose services are traced, and prints what these opened that is
neither theirs, nor of Python, nor of the system.
"""

from __future__ import annotations

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
from typing import IO

from caterva2.cli.children import Process

TRACES = "CAT2_TRACES"
"""Directory of traces, in the environment of tests whose services are traced."""
DEFAULT = ("tests/scenario", "tests/fault/test_inplace.py", "tests/contract/test_hostile.py")
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


def spawn(
    command: str,
    arguments: list[str],
    errors: IO[bytes],
    cwd: Path | None,
    env: dict[str, str] | None,
) -> Process:
    """Run a command in a new Python under strace, which writes into the directory of traces."""
    place = Path(os.environ[TRACES]) / f"{os.getpid()}-{next(_numbers)}"
    run = [sys.executable, "-m", "caterva2.cli.launch", command, *arguments]
    place.with_suffix(".json").write_text(json.dumps([str(cwd or Path.cwd()), *run]))
    return subprocess.Popen(
        [*STRACE, "-o", str(place.with_suffix(".trace")), *run], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=errors, start_new_session=True, cwd=cwd, env=env,
    )  # fmt: skip


def foreign(traces: Path) -> Iterator[tuple[str, str]]:
    """Yield what services opened that is not theirs, each with the command of the service."""
    for made in sorted(traces.glob("*.json")):
        cwd, *run = json.loads(made.read_text())
        given = [Path(cwd, word) for word in run[4:] if "/" in word or Path(cwd, word).exists()]
        own = [str(one.resolve()) for one in (*given, Path(cwd, "caterva2.toml"), *_python())]
        # Python searches the first for modules; that of a file that is served is watched.
        places = {cwd, *(str(one.resolve().parent) for one in given)}
        trace = made.with_suffix(".trace")
        lines = trace.read_text(errors="replace").splitlines() if trace.exists() else ["no trace"]
        for fault in _faults(lines, own):
            if fault.removeprefix("file ") in places:
                continue
            yield f"{run[3]} {' '.join(run[4:])}"[:120], fault


def _python() -> Iterable[Path]:
    """Where Python and this package lie."""
    found = [sys.prefix, sys.base_prefix, sys.executable, site.getuserbase(), _TOP, *sys.path]
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


def main(tests: list[str]) -> int:
    """Run tests with services under strace; return 1 if these opened anything foreign."""
    if shutil.which(STRACE[0]) is None:
        sys.exit("bin/traced: strace is missing: apt-get install strace")
    with tempfile.TemporaryDirectory(prefix="traces-") as place:
        run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(tests or DEFAULT)]
        code = subprocess.run(run, env=os.environ | {TRACES: place}, check=False).returncode
        count = len(list(Path(place).glob("*.json")))
        found = Counter(foreign(Path(place)))
    print(f"{count} services traced, {len(found)} foreign files, connections and processes")
    for (command, fault), times in found.most_common():
        print(f"{times:6}  {fault}  of {command}")
    return 1 if found else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
