"""``cat2export``: convert a directory of Blosc2 arrays to an HDF5 file or a Zarr store."""

from __future__ import annotations

import argparse
import functools
import sys

from caterva2.cli import arguments, conversion
from caterva2.cli.conversion import Work
from caterva2.cli.parsers import cat2export as make_parser


def run(argv: list[str] | None) -> int:
    """Run the command and return its exit code."""
    options = make_parser().parse_args(argv)
    return conversion.run(options, _work(options))


def _work(options: argparse.Namespace) -> Work:
    """Return what exports to the target; that to Zarr needs no HDF5."""
    named = "zarr" if options.target.suffix.lower() in (".zarr", ".zip") else "hdf5"
    if (options.format or named) == "zarr":
        from caterva2.conversion.zarr.exporter import export_store

        return export_store
    from caterva2.conversion.exporter import export_directory

    return functools.partial(export_directory, compression=options.compression)


def main(argv: list[str] | None = None) -> int:
    """Run the command; an error becomes one line on standard error."""
    return arguments.guarded("cat2export", lambda: run(argv))


if __name__ == "__main__":
    sys.exit(main())
