"""``cat2import``: convert an HDF5 file or a Zarr store to a directory of Blosc2 arrays."""

from __future__ import annotations

import sys
from pathlib import Path

from caterva2.cli import arguments, conversion
from caterva2.cli.conversion import Work
from caterva2.cli.parsers import cat2import as make_parser
from caterva2.errors import BadRequest
from caterva2.formats.zip_directory import MAGIC
from caterva2.stores.recognition import is_zarr


def run(argv: list[str] | None) -> int:
    """Run the command and return its exit code."""
    options = make_parser().parse_args(argv)
    return conversion.run(options, _work(options.source))


def _work(source: Path) -> Work:
    """Return what imports a source; that of Zarr needs no HDF5.

    Raises
    ------
    BadRequest
        If it is a directory that is no Zarr store.
    """
    if source.is_dir():
        if not is_zarr(str(source)):
            raise BadRequest(f"{source} is a directory, and no Zarr store")
    elif not _is_zip(source):
        from caterva2.conversion.importer import import_file

        return import_file
    from caterva2.conversion.zarr.importer import import_store

    return import_store


def _is_zip(source: Path) -> bool:
    try:
        with source.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False  # the import says so


def main(argv: list[str] | None = None) -> int:
    """Run the command; an error becomes one line on standard error."""
    return arguments.guarded("cat2import", lambda: run(argv))


if __name__ == "__main__":
    sys.exit(main())
