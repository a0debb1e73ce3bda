"""Groups of a Zarr store that have attributes: these are served as those of directories."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from caterva2.formats import zarr_metadata
from caterva2.model import DatasetInfo, Entry
from caterva2.names import DatasetPath, group_path
from caterva2.sources.attributes import typed
from caterva2.sources.kinds import group_info
from caterva2.stores.store import Stamp

FILES = {"zarr.json": "attributes", ".zattrs": ""}
"""Files that may hold the attributes, and the key in them."""


@dataclass(frozen=True, slots=True)
class Group:
    """The attributes of a group, packed; ``refused`` has the reasons why others are left out."""

    entry: Entry
    attrs: Mapping[str, bytes]
    refused: Mapping[str, str]

    def info(self) -> DatasetInfo:
        """Describe the group."""
        entry = self.entry
        return group_info(entry.path, entry.etag, entry.mtime, dict(self.attrs))


def group(
    prefix: str,
    files: Mapping[str, Stamp],
    read: Callable[[str], bytes | None],
    former: Group | None,
) -> Group | None:
    """Return a group that has attributes, None for one without.

    Parameters
    ----------
    prefix : str
    files : mapping
        Its files.
    read : callable
        Returns the content of one of them.
    former : Group, optional
        What was found before; it stands while the file has the same stamp.

    Raises
    ------
    SourceCorrupt
        If the attributes can't be read.
    BadName
        If its name is no path.
    """
    name = next((name for name in FILES if name in files), None)
    if name is None:
        return None
    path, text = group_path(prefix), read(name)
    stamp = files[name]  # that of what was read
    etag = hashlib.blake2b(f"{path}\0{stamp.text}".encode(), digest_size=12).hexdigest()
    if former is not None and former.entry.etag == etag:
        return former
    found = _attributes(text or b"{}", FILES[name])
    if not found:
        return None
    attrs, refused = typed((name, partial(found.__getitem__, name)) for name in found)
    return Group(Entry(DatasetPath(path), "group", etag, 0, stamp.mtime), attrs, refused)


def _attributes(text: bytes, key: str) -> dict[str, Any]:
    found = zarr_metadata.attributes(text)
    inner = found.get(key, {}) if key else found
    return inner if isinstance(inner, dict) else {}
