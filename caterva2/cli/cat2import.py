"""``cat2import``: make a directory of Blosc2 arrays of an HDF5 file."""

from __future__ import annotations

import argparse
import sys

from caterva2.cli import arguments, conversion
from caterva2.conversion.importer import import_file


def make_parser() -> argparse.ArgumentParser:
    return conversion.parser(
        "cat2import", "Make a directory of Blosc2 arrays of an HDF5 file.", "FILE.h5", "DIR"
    )


def run(argv: list[str] | None) -> int:
    return conversion.run(make_parser().parse_args(argv), import_file)


def main(argv: list[str] | None = None) -> int:
    return arguments.guarded("cat2import", lambda: run(argv))


if __name__ == "__main__":
    sys.exit(main())
