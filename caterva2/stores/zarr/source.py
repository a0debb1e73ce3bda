"""A Zarr store as a root: each of its arrays is ``GROUP/NAME.b2nd``."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from caterva2.errors import (
    BadName,
    Busy,
    CatervaError,
    NotFound,
    SourceCorrupt,
    StaleVersion,
)
from caterva2.formats import zarr_metadata
from caterva2.formats.zarr_metadata import METADATA_BYTES, ArrayMetadata
from caterva2.frames.raw import Run
from caterva2.limits import DEFAULTS, PublisherLimits, constants
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath
from caterva2.runtime.lru import Lru
from caterva2.sources import versions
from caterva2.sources.base import NEVER
from caterva2.sources.chunk_source import SUFFIX, Array, ChunkSource, etag_of
from caterva2.sources.conversions import pack
from caterva2.sources.layout import Layout
from caterva2.stores.deadlines import bounded, until
from caterva2.stores.store import METADATA, ODD, Stamp, Store
from caterva2.stores.zarr import contents
from caterva2.stores.zarr.stored import Changed, Indexes, StoredArray

log = logging.getLogger(__name__)
TRIES = 5
NODES = 1_000_000
"""Groups and arrays of a store."""
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
    """

    def __init__(
        self,
        store: Store,
        name: str = "array",
        limits: PublisherLimits = DEFAULTS.publisher,
        place: str = "",
    ) -> None:
        super().__init__(limits)
        self.passed, self.converted = 0, 0
        self._store = store
        self._name = name
        self._place = place
        self._known: dict[str, StoredArray] = {}
        self._indexes = Indexes(limits.converted_bytes)
        self._texts: Lru[str, tuple[Stamp, bytes, float]] = Lru(
            limits.converted_bytes, lambda kept: 500 + len(kept[1])
        )

    def close(self) -> None:
        self.tell_counts()
        self._store.close()

    def tell_counts(self) -> None:
        """Log how many chunks were served as they are stored."""
        log.info("%d chunks were passed on, %d converted", self.passed, self.converted)

    def _key(self, prefix: str, name: str = "") -> str:
        """Return the key of an object of a group or array in the store of objects."""
        return "/".join(part for part in (self._place, prefix, name) if part)

    # --- listing ---

    def names(self) -> list[str]:
        found = list(self._walk())
        self._known = {name: known for name in found if (known := self._known.get(name))}
        return found

    def _walk(self) -> Iterator[str]:
        pending, count = [""], 0
        while pending:
            prefix = pending.pop()
            files, folders = self._store.children(self._key(prefix))
            count += 1
            if count > NODES or prefix.count("/") >= constants.PATH_DEPTH:
                raise SourceCorrupt(f"the store has more than {NODES} groups, or they lie too deep")
            try:
                kind = self._kind(prefix, files)
            except CatervaError as error:
                self._tell(prefix, f"is left out: {error.detail}")
                continue
            if kind == "array":
                yield prefix or self._name
            elif kind == "group":
                for name in (name for name, stamp in files.items() if stamp.text == ODD):
                    self._tell(f"{prefix}/{name}".strip("/"), "is left out: it is a link")
                below = [f"{prefix}/{name}".strip("/") for name in folders]
                pending += sorted(filter(_is_path, below), reverse=True)

    def _kind(self, prefix: str, files: dict[str, Stamp]) -> str:
        if ".zarray" in files:
            return "array"
        if ".zgroup" in files:
            return "group"
        if "zarr.json" not in files:
            return ""
        text = self._metadata(prefix, "zarr.json", files)
        return "array" if text is not None and zarr_metadata.is_array(text) else "group"

    def _metadata(self, prefix: str, name: str, files: dict[str, Stamp]) -> bytes | None:
        """Return a file of metadata, which is read again only if its stamp is another one."""
        key, stamp = self._key(prefix, name), files.get(name)
        kept = self._texts.get(key)
        if stamp is None or stamp.text == ODD:
            return None
        if kept is not None and kept[0] == stamp and stamp.is_settled(kept[2]):
            return kept[1]
        seen = time.time()
        found = self._store.read(key, METADATA_BYTES)
        if found is None:
            return None
        with self._lock:
            self._texts.put(key, (found[1], found[0], seen))
        return found[0]

    def array(self, name: str) -> Array | None:
        """List an array anew, until it was not written within one tick of the clock."""
        for _ in range(TRIES):
            known = self._listed(name)
            if known is None or known.contents.is_settled:
                break
            time.sleep(versions.TICK)
        if known is None:
            self._known.pop(name, None)
            return None
        self._known[name] = known
        return known.array

    def _listed(self, name: str) -> StoredArray | None:
        prefix = (
            "" if name == self._name and name not in self._store.children(self._place)[1] else name
        )
        files, _ = self._store.children(self._key(prefix))
        described = {key: files[key] for key in (*METADATA, ".zattrs") if key in files}
        if ".zarray" in files:
            metadata = self._version2(prefix, files)
        elif "zarr.json" in files:
            text = self._metadata(prefix, "zarr.json", files)
            metadata = zarr_metadata.version3(text) if text is not None else None
        else:
            return None
        if metadata is None:
            return None
        found = contents.listed(self._store, self._key(prefix), described)
        array = Array(
            shape=metadata.shape, dtype=metadata.dtype, version=found.version,
            chunks=metadata.chunks, attributes=metadata.attributes, size=found.size,
            mtime=found.mtime, dims=metadata.dims or (),
        )  # fmt: skip
        etag = etag_of(name, array)
        return StoredArray(
            self._store, self._key(prefix), array, etag, metadata, found, self._indexes
        )

    def _version2(self, prefix: str, files: dict[str, Stamp]) -> ArrayMetadata | None:
        text, given = self._metadata(prefix, ".zarray", files), dict[str, Any]()
        try:
            given = zarr_metadata.attributes(self._metadata(prefix, ".zattrs", files) or b"{}")
        except SourceCorrupt as error:
            self._tell(f"{prefix}/.zattrs", f"is left out: {error.detail}")
        return None if text is None else zarr_metadata.version2(text, given)

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
                self.array(name)
        raise Busy(f"{name}{SUFFIX} is being written", after_ms=500)

    # --- reading ---

    def layout(self, name: str, array: Array, etag: str) -> Layout:
        found = self._reading(name, etag, lambda stored: stored.stored_layout())
        return found or super().layout(name, array, etag)

    def info(self, path: DatasetPath, deadline: float = NEVER) -> DatasetInfo:
        with until(deadline):
            return super().info(path, deadline)

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


def _is_path(name: str) -> bool:
    try:
        DatasetPath(name + SUFFIX)
    except BadName:
        return False
    return True
