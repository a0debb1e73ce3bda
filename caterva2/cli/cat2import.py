"""``cat2import``: convert an HDF5 file to a directory of Blosc2 arrays."""

from __future__ import annotations

import sys

from caterva2.cli import arguments, conversion
from caterva2.cli.parsers import cat2import as make_parser
from caterva2.conversion.importer import import_file


def run(argv: list[str] | None) -> int:
    """Run the command and return its exit code."""
    return conversion.run(make_parser().parse_args(argv), import_file)


def main(argv: list[str] | None = None) -> int:
    """Run the command; an error becomes one line on standard error."""
    return arguments.guarded("cat2import", lambda: run(argv))


if __name__ == "__main__":
    sys.exit(main())
