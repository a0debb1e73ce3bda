"""A Zarr store as a root: each of its arrays is ``GROUP/NAME.b2nd``."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from caterva2.errors import (
    Busy,
    CatervaError,
    NotFound,
    SourceCorrupt,
    StaleVersion,
)
from caterva2.formats import zarr_fill_values, zarr_metadata
from caterva2.formats.zarr_metadata import ArrayMetadata
from caterva2.frames.raw import Run
from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.model import DatasetInfo, Entry
from caterva2.names import DatasetPath, is_group
from caterva2.sources import versions
from caterva2.sources.base import ALL, NEVER
from caterva2.sources.chunk_source import SUFFIX, Array, ChunkSource, etag_of
from caterva2.sources.conversions import pack
from caterva2.sources.layout import Layout
from caterva2.stores.deadlines import bounded, until
from caterva2.stores.recognition import METADATA
from caterva2.stores.store import Stamp, Store
from caterva2.stores.zarr import contents
from caterva2.stores.zarr.groups import Group
from caterva2.stores.zarr.hierarchy import Hierarchy
from caterva2.stores.zarr.stored import Changed, Indexes, StoredArray

log = logging.getLogger(__name__)
TRIES = 5
T = TypeVar("T")


class ZarrSource(ChunkSource):
    """Serves the arrays of a store; chunks of Blosc 1 are passed on where their geometry allows.

    Parameters
    ----------
    store : Store
    name : str
        What the array is called if the store is a single one.
    limits : PublisherLimits, optional
    place : str, optional
        The prefix of the Zarr store in the store of objects.
    shared : bool
        Whether others use the store of objects too, so that it is not closed.
    """

    def __init__(
        self,
        store: Store,
        name: str = "array",
        limits: PublisherLimits = DEFAULTS.publisher,
        place: str = "",
        *,
        shared: bool = False,
    ) -> None:
        super().__init__(limits)
        self.passed, self.converted = 0, 0
        self._store = store
        self._shared = shared
        self._name = name
        self._place = place
        self._known: dict[str, StoredArray] = {}
        self._lost = False
        self._indexes = Indexes(limits.converted_bytes)
        self._groups: dict[str, Group] = {}
        self._hierarchy = Hierarchy(store, place, self._tell, limits.converted_bytes)

    def close(self) -> None:
        if self.passed or self.converted:
            log.info("%d chunks were passed on, %d converted", self.passed, self.converted)
        if not self._shared:
            self._store.close()

    # --- listing ---

    def names(self) -> list[str]:
        if not self._shared:  # else the scan of the whole store has done it
            self._store.renew()
        found, self._groups = self._hierarchy.nodes(self._known.keys() - {self._name})
        named = [name or self._name for name in found]
        self._known = {name: known for name in named if (known := self._known.get(name))}
        return named

    def scan(self, scope: str = ALL) -> dict[DatasetPath, Entry]:
        arrays, below = super().scan(scope), scope + "/"
        if self._lost:  # what was an array may be a group now
            self._lost = False
            arrays = super().scan(scope)
        groups = {group.entry.path: group.entry for group in self._groups.values()}
        return arrays | {
            path: entry
            for path, entry in groups.items()
            if not scope or path == scope or path.startswith(below)
        }

    @property
    def groups(self) -> list[str]:
        """The paths of all groups that the last scan found, the one of the store first."""
        return self._hierarchy.groups

    def metadata(self, info: DatasetInfo) -> ArrayMetadata:
        """Return the metadata of an array that was described.

        Raises
        ------
        StaleVersion
            If it is another version.
        """
        return self._stored(info.path.removesuffix(SUFFIX), info.etag).metadata

    def array(self, name: str) -> Array | None:
        """List an array anew, until it was not written within one tick of the clock."""
        known = None
        try:
            for _ in range(TRIES):
                known = self._listed(name)
                if known is None or known.contents.is_settled:
                    break
                time.sleep(versions.TICK)
        except CatervaError as error:
            if error.retry == "no":
                self._lose(name)
            raise
        if known is None:
            self._lose(name)
            return None
        self._known[name] = known
        return known.array

    def _lose(self, name: str) -> None:
        self._lost |= self._known.pop(name, None) is not None

    def _listed(self, name: str) -> StoredArray | None:
        alone = name == self._name and name not in self._store.children(self._place)[1]
        prefix = "" if alone else name
        key = self._hierarchy.key(prefix)
        listing = contents.listed(self._store, key)
        texts = self._texts(prefix, listing.files)
        if not texts.keys() & {*METADATA}:
            return None
        if "zarr.json" in texts and not zarr_metadata.is_array(texts["zarr.json"]):
            return None
        found, former = listing.with_metadata(texts), self._known.get(name)
        if former is not None and former.contents.version == found.version:
            return replace(former, contents=found)
        metadata = self._parsed(prefix, texts)
        array = Array(
            shape=metadata.shape, dtype=metadata.dtype, version=found.version,
            chunks=metadata.chunks, attributes=zarr_fill_values.attributes(metadata),
            size=found.size, mtime=found.mtime, dims=metadata.dims or (),
        )  # fmt: skip
        etag = etag_of(name, array)
        return StoredArray(self._store, key, array, etag, metadata, found, self._indexes)

    def _texts(self, prefix: str, files: dict[str, Stamp]) -> dict[str, bytes]:
        """Return the metadata of an array by the names of its files."""
        texts = {}
        for name in (".zarray", ".zattrs") if ".zarray" in files else ("zarr.json",):
            try:
                text = self._hierarchy.metadata(prefix, name, files)
            except SourceCorrupt as error:
                if name != ".zattrs":
                    raise
                self._tell(f"{prefix}/{name}", f"is left out: {error.detail}")
                continue
            if text is not None:
                texts[name] = text
        return texts

    def _parsed(self, prefix: str, texts: dict[str, bytes]) -> ArrayMetadata:
        if ".zarray" not in texts:
            return zarr_metadata.version3(texts["zarr.json"])
        given: dict[str, Any] = {}
        try:
            given = zarr_metadata.attributes(texts.get(".zattrs", b"{}"))
        except SourceCorrupt as error:
            self._tell(f"{prefix}/.zattrs", f"is left out: {error.detail}")
        return zarr_metadata.version2(texts[".zarray"], given)

    def _stored(self, name: str, etag: str) -> StoredArray:
        """Return a version of an array, which is listed anew if it is another one."""
        found = self._known.get(name)
        if found is None or found.etag != etag:
            self.array(name)
            found = self._known.get(name)
        if found is None:
            raise NotFound(f"{name}{SUFFIX} does not exist")
        if found.etag != etag:
            raise StaleVersion(f"{name}{SUFFIX} has changed", info={"etag": found.etag})
        return found

    def _current(self, path: DatasetPath, etag: str = "") -> tuple[str, Array]:
        """Return an array without listing it: each chunk that is read is compared by itself."""
        name = path.removesuffix(SUFFIX)
        if not etag or not path.endswith(SUFFIX) or name not in self._known:
            return super()._current(path, etag)
        return name, self._stored(name, etag).array

    def _reading(self, name: str, etag: str, read: Callable[[StoredArray], T]) -> T:
        """Read from a version of an array; list it anew when an object is another one."""
        for _ in range(TRIES):
            try:
                return read(self._stored(name, etag))
            except Changed:
                self._store.renew()
                self.array(name)
        raise Busy(f"{name}{SUFFIX} is being written", after_ms=500)

    # --- reading ---

    def layout(self, name: str, array: Array, etag: str) -> Layout:
        found = self._reading(name, etag, lambda stored: stored.stored_layout())
        return found or super().layout(name, array, etag)

    def info(self, path: DatasetPath, deadline: float = NEVER) -> DatasetInfo:
        with until(deadline):
            if is_group(path):
                return self._group(path).info()
            return super().info(path, deadline)

    def _group(self, path: DatasetPath) -> Group:
        """Return a group as it is now."""
        found = self._hierarchy.group(path.rpartition("/")[0])
        if found is None:
            raise NotFound(f"{path} does not exist")
        return found

    def chunks(
        self, path: DatasetPath, etag: str, ids: Sequence[int], deadline: float = NEVER
    ) -> Iterator[Run]:
        return bounded(super().chunks(path, etag, ids, deadline), deadline)

    def chunk(self, name: str, layout: Layout, etag: str, n: int) -> bytes:
        made = self.kept.get((etag, n))
        if made is not None:
            return made
        stored = self._stored(name, etag)
        position = layout.position(n)
        data = self._reading(name, etag, lambda stored: stored.data(position))
        made = stored.passed(layout, data)
        if made is not None:
            self.passed += 1
            return made
        self.converted += 1
        made = pack(stored.values(layout, data), layout)
        self.kept.put((etag, n), made)
        return made
