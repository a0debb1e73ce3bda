"""Notes: facts of HDF5 or Zarr that Blosc2 does not have, kept by an import for an export.

Those of a dataset are an entry of the array's vlmeta, those of a group a hidden file in its
directory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from caterva2.arrays.attributes import Form
from caterva2.errors import SourceCorrupt
from caterva2.frames import attributes as typed
from caterva2.frames import metadata
from caterva2.frames.attributes import NOTES
from caterva2.limits import constants
from caterva2.model import DatasetInfo
from caterva2.sources.directory import group_files

Notes = dict[str, Any]
LARGE = 32_000
"""Bytes of a packed attribute above which it may not fit into the plain header of an object."""


@dataclass(frozen=True, slots=True)
class Group:
    """The notes of a group: the forms of its attributes, and everything else."""

    forms: dict[str, Form] = field(default_factory=dict)
    notes: Notes = field(default_factory=dict)

    @property
    def order(self) -> list[str]:
        """Names of links in the order in which they were made, if that is known."""
        found = self.notes.get("order")
        return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []

    @property
    def is_ordered(self) -> bool:
        """Whether the order in which links and attributes are made is to be kept."""
        large = any(len(str(form)) > LARGE for form in self.forms.values())
        return large or "order" in self.notes or bool(self.notes.get("ordered"))


def table(notes: Notes, name: str) -> dict[str, Any]:
    """Return a note that is a dictionary, an empty one for any other."""
    found = notes.get(name)
    return found if isinstance(found, dict) else {}


def of_dataset(vlmeta: Mapping[str, bytes]) -> Notes:
    """Return the notes in an array's vlmeta."""
    try:
        found = metadata.decode(vlmeta[NOTES]) if NOTES in vlmeta else None
    except SourceCorrupt:
        found = None
    return found if isinstance(found, dict) else {}


def annotated(info: DatasetInfo, noted: Notes) -> DatasetInfo:
    """Return the description of an imported array, with what is noted of its dataset.

    Raises
    ------
    SourceCorrupt
        If that is too large.
    """
    own = {NOTES: metadata.encode(noted)} if noted else {}
    # Without the plain values, if all is too much: a reader of attributes needs the others.
    for plain in (info.vlmeta, dict[str, bytes]()):
        bare = DatasetInfo.model_validate(dict(info) | {"vlmeta": plain})
        made = plain | own | typed.notes(bare)
        size = sum(map(len, made.values()))
        if size <= constants.VLMETA_BYTES and len(made) <= constants.VLMETA_ITEMS:
            return DatasetInfo.model_validate(dict(bare) | {"vlmeta": made, "attrs": {}})
    raise SourceCorrupt(f"has more metadata than VLMETA_BYTES, {constants.VLMETA_BYTES}")


def write_group(directory: Path, notes: Notes) -> list[str]:
    """Write the notes of a group; return what is left out since it would be too large."""
    left: list[str] = []
    kept: Notes = {"values": {}} | notes
    if not any(notes.values()):
        return left
    for name in ("order", "named", "types", "dimensions"):
        if len(metadata.encode(kept)) <= constants.VLMETA_BYTES:
            break
        if kept.pop(name, None):
            left.append(name)
    (directory / group_files.GROUP_FILE).write_bytes(metadata.encode(kept))
    return left


def read_group(directory: Path) -> Group:
    """Read what is noted of a group.

    Raises
    ------
    SourceCorrupt
        If the file has other content.
    """
    path = directory / group_files.GROUP_FILE
    if path.is_symlink() or not path.is_file():
        return Group()
    with path.open("rb") as file:
        kept = group_files.read(file.read(constants.VLMETA_BYTES + 1))
    packed = group_files.attributes(kept)
    return Group({name: typed.unpacked(stored) for name, stored in packed.items()}, kept)
