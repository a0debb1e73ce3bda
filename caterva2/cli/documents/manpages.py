"""Man pages of all commands, from their parsers.

``python -m caterva2.cli.documents.manpages docs/man`` makes them.

An installation puts them where ``man`` finds them.
"""

from __future__ import annotations

import argparse
import importlib
import os
from pathlib import Path

from argparse_manpage.manpage import Manpage

from caterva2.version import __version__

COMMANDS = (
    "caterva2", "cat2bro", "cat2pub", "cat2sub", "cat2cli", "cat2keys", "cat2import", "cat2export",
)  # fmt: skip
_DATA = {
    "project_name": "caterva2",
    "version": __version__,
    "manual_title": "Caterva2",
    "date": "2026-11-22",  # fixed, so that the pages are reproducible
}


def page(command: str) -> str:
    """Return the man page of a command, in roff."""
    os.environ["COLUMNS"] = "80"  # the width to which argparse wraps
    parser: argparse.ArgumentParser = importlib.import_module(
        f"caterva2.cli.{command}"
    ).make_parser()
    return f"{Manpage(parser, _data=dict(_DATA))}"


def main() -> None:
    """Write the man pages of all commands into a directory."""
    parser = argparse.ArgumentParser(description="Write the man pages of all commands.")
    parser.add_argument("directory", type=Path)
    directory = parser.parse_args().directory
    directory.mkdir(parents=True, exist_ok=True)
    for command in COMMANDS:
        (directory / f"{command}.1").write_text(page(command))


if __name__ == "__main__":
    main()
