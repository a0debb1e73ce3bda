"""``caterva2``: serve data from this machine, open its pages, and find what is wrong."""

from __future__ import annotations

import importlib
import sys

from caterva2.cli import arguments
from caterva2.cli.parsers import caterva2 as make_parser


def run(argv: list[str] | None) -> int:
    """Run a command and return its exit code."""
    options = make_parser().parse_args(argv)
    code: int = importlib.import_module(f"caterva2.cli.{options.work}").run(options)
    return code


def main(argv: list[str] | None = None) -> int:
    """Run the command; an error becomes one line on standard error."""
    return arguments.guarded("caterva2", lambda: run(argv))


if __name__ == "__main__":
    sys.exit(main())
