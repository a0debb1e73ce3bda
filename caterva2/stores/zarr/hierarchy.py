"""The groups and arrays of a Zarr store, found by their files of metadata."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Container

from caterva2.errors import BadName, CatervaError, SourceCorrupt
from caterva2.formats import zarr_metadata
from caterva2.formats.zarr_metadata import METADATA_BYTES
from caterva2.limits import constants
from caterva2.names import DatasetPath
from caterva2.runtime.lru import Lru
from caterva2.stores.store import ODD, Stamp, Store
from caterva2.stores.zarr import groups
from caterva2.stores.zarr.groups import Group

NODES = 1_000_000
"""Groups and arrays of a store."""


class Hierarchy:
    """Finds groups and arrays, and reads their metadata, each file once for each of its stamps.

    Parameters
    ----------
    store : Store
    place : str
        Prefix of the Zarr store in the store of objects.
    tell : callable
        Gets a name and what is wrong with it, for the log.
    max_bytes : int
        Metadata that is kept.
    """

    def __init__(
        self, store: Store, place: str, tell: Callable[[str, str], None], max_bytes: int
    ) -> None:
        self._store = store
        self._place = place
        self._tell = tell
        self._lock = threading.Lock()
        self._groups: dict[str, Group] = {}
        self.groups: list[str] = []
        """The prefixes of all groups that were found last."""
        self._texts: Lru[str, tuple[Stamp, bytes, bool]] = Lru(
            max_bytes, lambda kept: 500 + len(kept[1])
        )

    def key(self, prefix: str, name: str = "") -> str:
        """Return the key of an object of a group or array in the store of objects."""
        return "/".join(part for part in (self._place, prefix, name) if part)

    def nodes(self, sure: Container[str] = ()) -> tuple[list[str], dict[str, Group]]:
        """Return the prefixes of all arrays, and the groups that have attributes.

        Parameters
        ----------
        sure : container of str, optional
            Prefixes of arrays that are not looked at, since they are listed next.

        Raises
        ------
        SourceCorrupt
            If there are too many.
        """
        arrays, groups, described = list[str](), list[str](), dict[str, Group]()
        pending, count = [""], 0
        while pending:
            prefix, count = pending.pop(), count + 1
            if count > NODES or prefix.count("/") >= constants.PATH_DEPTH:
                raise SourceCorrupt(f"the store has more than {NODES} groups, or they lie too deep")
            if prefix in sure:
                arrays.append(prefix)
                continue
            found, folders = self._store.children(self.key(prefix))
            files = dict(found)
            kind = self._kind(prefix, files)
            if kind == "array":
                arrays.append(prefix)
            elif kind == "group":
                groups.append(prefix)
                if (group := self._described(prefix, files)) is not None:
                    described[prefix] = group
                pending += self._below(prefix, files, folders)
        self._groups, self.groups = described, groups
        return arrays, described

    def group(self, prefix: str) -> Group | None:
        """Return a group as it is now, None if it has no attributes."""
        files = dict(self._store.children(self.key(prefix))[0])
        return self._described(prefix, files) if self._kind(prefix, files) == "group" else None

    def metadata(self, prefix: str, name: str, files: dict[str, Stamp]) -> bytes | None:
        """Return a file of metadata, None if there is none.

        Parameters
        ----------
        prefix, name : str
        files : dict
            The files right below the prefix; the stamp of the file becomes that of what was read.
        """
        key, stamp = self.key(prefix, name), files.get(name)
        kept = self._texts.get(key)
        if stamp is None or stamp.text == ODD:
            return None
        if kept is not None and kept[0] == stamp and kept[2]:
            return kept[1]
        seen = time.time()
        found = self._store.read(key, METADATA_BYTES)
        if found is None:
            return None
        files[name] = found[1]
        with self._lock:
            self._texts.put(key, (found[1], found[0], found[1].is_settled(seen, time.time())))
        return found[0]

    def _kind(self, prefix: str, files: dict[str, Stamp]) -> str:
        """Return what is at a prefix: an array, a group, or an empty text for neither."""
        if ".zarray" in files:
            return "array"
        if ".zgroup" in files:
            return "group"
        if "zarr.json" not in files:
            return ""
        try:
            text = self.metadata(prefix, "zarr.json", files)
            return "array" if text is not None and zarr_metadata.is_array(text) else "group"
        except CatervaError as error:
            if error.retry != "no":
                raise
            self._tell(prefix, f"is left out: {error.detail}")
            return ""

    def _described(self, prefix: str, files: dict[str, Stamp]) -> Group | None:
        former = self._groups.get(prefix)
        try:
            found = groups.group(
                prefix, files, lambda name: self.metadata(prefix, name, files), former
            )
        except (SourceCorrupt, BadName) as error:
            self._tell(prefix, f"is served without its attributes: {error.detail}")
            return None
        if found is not None and found is not former:
            for name, reason in found.refused.items():
                self._tell(f"{prefix}@{name}", f"is left out: it {reason}")
        return found

    def _below(self, prefix: str, files: dict[str, Stamp], folders: list[str]) -> list[str]:
        """Return the prefixes to look at next, the first one last."""
        for name in (name for name, stamp in files.items() if stamp.text == ODD):
            self._tell(f"{prefix}/{name}".strip("/"), "is left out: it is a link")
        found = (f"{prefix}/{name}".strip("/") for name in folders)
        return sorted(filter(_is_path, found), reverse=True)


def _is_path(name: str) -> bool:
    try:
        DatasetPath(name)
    except BadName:
        return False
    return True
