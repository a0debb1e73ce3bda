"""The list of behaviours and their tests in docs/testing.md: python -m tests.behaviours --write

A test file's first line says which behaviour it is about.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

TESTS = Path(__file__).parent
DOCUMENT = TESTS.parent / "docs" / "testing.md"
_FIRST = re.compile(r'r?"""([^"\n]*)')
BEGIN = "<!-- made by python -m tests.behaviours --write -->\n"


def table() -> str:
    """A section for each directory of tests, with a line for each of its files."""
    lines = []
    for directory in (TESTS, *sorted(path for path in TESTS.iterdir() if path.is_dir())):
        files = sorted(directory.glob("test_*.py"))
        if files:
            lines += [
                f"\n### {directory.relative_to(TESTS.parent)}\n",
                "| tests | of |",
                "|---|---|",
            ]
            lines += [f"| `{path.name}` | {behaviour(path)} |" for path in files]
    return "\n".join(lines) + "\n"


def behaviour(path: Path) -> str:
    """The first line of a test file's docstring, without its stop."""
    found = _FIRST.match(path.read_text())  # to parse all files would take a second
    return found[1].removesuffix(".").replace("|", "\\|") if found else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="into docs/testing.md")
    if not parser.parse_args().write:
        print(table())
        return
    before, _, _ = DOCUMENT.read_text().partition(BEGIN)
    DOCUMENT.write_text(before + BEGIN + table())


if __name__ == "__main__":
    main()
