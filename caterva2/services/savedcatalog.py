"""A root's catalog in a file, so that it outlives the subscriber."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import msgpack
from pydantic import TypeAdapter

from caterva2 import durable
from caterva2.errors import CatervaError
from caterva2.model import Entry
from caterva2.names import RootName
from caterva2.services.catalog import CatalogCopy

log = logging.getLogger(__name__)
_ENTRIES = TypeAdapter(tuple[Entry, ...])


def read(file: Path, root: RootName) -> CatalogCopy:
    """The catalog that was saved; one that knows nothing where there is none to be used."""
    try:
        saved = msgpack.unpackb(file.read_bytes(), use_list=False)
        entries = _ENTRIES.validate_python(saved["entries"])
        return CatalogCopy(
            inst=saved["inst"], rev=saved["rev"], complete=True,
            entries={entry.path: entry for entry in entries},
        )  # fmt: skip
    except FileNotFoundError:
        return CatalogCopy()
    except (OSError, ValueError, KeyError, TypeError, CatervaError) as error:
        log.warning("the saved catalog of %s can't be used: %s", root, error)
        return CatalogCopy()


def write(file: Path, inst: str, rev: int, entries: Sequence[Entry]) -> None:
    """Save a catalog, an entry at a time: all at once would hold the interpreter.

    Raises
    ------
    OSError
        If it can't be written.
    """
    packer = msgpack.Packer(autoreset=False)
    packer.pack_map_header(3)
    for name, value in (("inst", inst), ("rev", rev)):
        packer.pack(name)
        packer.pack(value)
    packer.pack("entries")
    packer.pack_array_header(len(entries))
    for entry in entries:
        packer.pack(entry.fields())
    durable.write(file, packer.bytes())
