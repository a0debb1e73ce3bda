"""Mutation testing of the pure modules: ``bin/mutate [MODULE ...]``.

mutmut changes one operator, number or call after the other, and runs the tests that reach it. A
mutant that no test notices has survived: what it changed is not specified. Only modules without
sockets, threads and processes are worth it, as a test of theirs takes milliseconds.

It works on a copy of the checkout, with the test files that import the module by its name.
"""

from __future__ import annotations

import argparse
import ast
import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

TOP = Path(__file__).parent.parent
COPIED = ("caterva2", "tests", "benchmarks", "docs", "root-example", "pyproject.toml", "README.md")
SUITES = ("tests/unit", "tests/wire")
SURVIVED = 0
"""Exit code of pytest for a mutant that no test noticed."""
NOT_TESTED = 33
"""What mutmut notes for a mutant that no test reaches."""
CONFIG = """

[tool.mutmut]
source_paths = ["caterva2"]
only_mutate = {modules}
pytest_add_cli_args_test_selection = {tests}
pytest_add_cli_args = ["-p", "no:cacheprovider", "-m", "not slow"]
also_copy = {copied}
use_git_change_detection = false
"""


def default_modules() -> list[str]:
    """The modules that the coverage gate names as pure, without those of the suite itself."""
    settings = tomllib.loads((TOP / "pyproject.toml").read_text())
    patterns: list[str] = settings["tool"]["coverage"]["run"]["include"]
    found = {path for pattern in patterns for path in TOP.glob(pattern)}
    return sorted(str(path.relative_to(TOP)) for path in found if path.stat().st_size)


def imported(path: Path) -> Iterator[str]:
    """Yield the dotted names that a test file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def tests_of(modules: Iterable[str]) -> list[str]:
    """The test files of the unit and wire suites that import one of some modules."""
    wanted = {module.removesuffix(".py").replace("/", ".") for module in modules}
    files = (path for suite in SUITES for path in (TOP / suite).glob("test_*.py"))
    return sorted(str(path.relative_to(TOP)) for path in files if wanted & set(imported(path)))


def mutate(
    modules: list[str], directory: Path, processes: int, tests: list[str]
) -> dict[str, Counter[str]]:
    """Run mutmut on a copy below a directory; return the count of results for each module."""
    tests = tests or tests_of(modules)
    if not tests:
        raise SystemExit(f"no test file imports {', '.join(modules)}")
    for name in COPIED:
        source = TOP / name
        if source.is_dir():
            shutil.copytree(source, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, directory / name)
    with (directory / "pyproject.toml").open("a") as file:
        copied = json.dumps([name for name in COPIED if name not in ("caterva2", "tests")])
        file.write(
            CONFIG.format(modules=json.dumps(modules), tests=json.dumps(tests), copied=copied)
        )
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", str(processes)]
    log = directory / "log"
    with log.open("wb") as file:
        done = subprocess.run(command, cwd=directory, stdout=file, stderr=file, check=False)
    if done.returncode:
        raise SystemExit(f"mutmut failed: {log.read_text()[-3000:]}")
    return {module: ends(directory / "mutants" / module) for module in modules}


def ends(module: Path) -> Counter[str]:
    """Count the mutants of a module by result."""
    meta = module.with_name(module.name + ".meta")
    if not meta.exists():
        return Counter()
    codes = json.loads(meta.read_text())["exit_code_by_key"].values()
    names = {SURVIVED: "survived", NOT_TESTED: "not tested"}
    return Counter(names.get(code, "killed") for code in codes)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bin/mutate", description=__doc__.partition("\n")[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="such as caterva2/names.py")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work here and leave it")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="default: 2")
    parser.add_argument(
        "--tests", nargs="+", default=[], metavar="FILE",
        help="these test files only, for a module that most of the suite imports",
    )  # fmt: skip
    options = parser.parse_args()
    modules = options.modules or default_modules()
    print(f"{'killed':>7} {'of':>5}  score")
    total: Counter[str] = Counter()
    for module in modules:
        with tempfile.TemporaryDirectory() as temporary:
            directory = options.keep or Path(temporary)
            place = directory / module.replace("/", ".")
            place.mkdir(parents=True)
            counts = mutate([module], place, options.processes, options.tests)[module]
        total += counts
        show(counts, module)
    show(total, "all")
    return 0


def show(counts: Counter[str], name: str) -> None:
    killed, all_ = counts["killed"], counts.total()
    share = f"{killed / all_:6.1%}" if all_ else "     -"
    print(f"{killed:7} {all_:5}  {share}  {name}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
