"""``cat2export``: convert a directory of Blosc2 arrays to an HDF5 file."""

from __future__ import annotations

import functools
import sys

from caterva2.cli import arguments, conversion
from caterva2.cli.parsers import cat2export as make_parser
from caterva2.conversion.exporter import export_directory


def run(argv: list[str] | None) -> int:
    """Run the command and return its exit code."""
    options = make_parser().parse_args(argv)
    work = functools.partial(export_directory, compression=options.compression)
    return conversion.run(options, work)


def main(argv: list[str] | None = None) -> int:
    """Run the command; an error becomes one line on standard error."""
    return arguments.guarded("cat2export", lambda: run(argv))


if __name__ == "__main__":
    sys.exit(main())
