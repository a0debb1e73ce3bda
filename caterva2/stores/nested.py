"""A directory with Zarr stores in it: their arrays are served instead of their files."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from caterva2.frames.raw import Cut, Run
from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.model import DatasetInfo, Entry
from caterva2.names import DatasetPath
from caterva2.sources.base import ALL, NEVER, Datasets, Source
from caterva2.sources.kinds import is_hidden
from caterva2.stores.mounted import Mounted
from caterva2.stores.recognition import is_store

Enters = Callable[[str], bool]


class NestedStores(Source):
    """Serves a directory, and the arrays of the Zarr stores in it as ``STORE/GROUP/NAME.b2nd``.

    Parameters
    ----------
    directory : Path
    make : callable
        Makes the source of the directory. It gets a function that says of a path below whether
        the source may enter that directory.
    limits : PublisherLimits, optional
    """

    def __init__(
        self,
        directory: Path,
        make: Callable[[Enters], Source],
        limits: PublisherLimits = DEFAULTS.publisher,
    ) -> None:
        self._root = os.path.realpath(directory)
        self._limits = limits
        self._met: set[str] = set()
        self._places: dict[str, str] = {}
        self._scanning = threading.Lock()
        self._stores = Mounted(self._store)
        self._outer = make(self._enters)

    def _store(self, place: str) -> Datasets:
        from caterva2.stores.store import DirectoryStore  # these load Blosc2 and numpy
        from caterva2.stores.zarr.source import ZarrSource

        store = DirectoryStore(Path(self._places[place]))
        return ZarrSource(store, Path(place).stem, self._limits)

    def close(self) -> None:
        self._stores.close()
        self._outer.close()

    def warm_up(self) -> None:
        self._outer.warm_up()

    def remember(self) -> None:
        self._outer.remember()

    # --- listing ---

    def _is_store(self, path: str) -> bool:
        return is_store(f"{self._root}/{path}")

    def _enters(self, path: str) -> bool:
        """Note a store that the directory's source comes to, which that does not enter."""
        if self._is_store(path):
            self._met.add(path)
            return False
        return True

    def _store_of(self, scope: str) -> str:
        """Return the store that a scope is, or lies in; empty if there is none in the root."""
        parts = scope.split("/") if scope and not is_hidden(scope) else []
        places = ("/".join(parts[: n + 1]) for n in range(len(parts)))
        found = next(filter(self._is_store, places), "")
        return found if found and self._real(found) else ""

    def _real(self, place: str) -> str:
        """Return the path of a directory without links; empty if it is not in the root."""
        real = os.path.realpath(f"{self._root}/{place}")
        return real if real.startswith(f"{self._root}/") else ""

    def scan(self, scope: str = ALL) -> dict[DatasetPath, Entry]:
        with self._scanning:
            store = self._store_of(scope)
            if store:
                found = self._scan_store(store, now=True)
            else:
                self._met.clear()
                found = dict(self._outer.scan(scope))
                self._stores.keep(self._met, scope)
                if scope == ALL:
                    known = self._places.items()
                    self._places = {place: real for place, real in known if place in self._met}
                for met in sorted(self._met):
                    found |= self._scan_store(met)
        below = scope + "/"
        return {p: e for p, e in found.items() if not scope or p == scope or p.startswith(below)}

    def _scan_store(self, place: str, *, now: bool = False) -> dict[DatasetPath, Entry]:
        real = self._real(place)
        if self._places.get(place, real) != real:
            self._stores.drop(place)  # a link leads to another one now
        self._places[place] = real
        return self._stores.scan(place, now=now)

    def changes(self, stop: threading.Event) -> Iterator[set[str]]:
        for scopes in self._outer.changes(stop):
            yield {self._store_of(scope) or scope for scope in scopes}

    # --- reading ---

    def info(self, path: DatasetPath, deadline: float = NEVER) -> DatasetInfo:
        inside = self._stores.find(path)
        return inside.info(deadline) if inside else self._outer.info(path, deadline)

    def chunks(
        self, path: DatasetPath, etag: str, ids: Sequence[int], deadline: float = NEVER
    ) -> Iterator[Run]:
        inside = self._stores.find(path)
        if inside:
            return inside.chunks(etag, ids, deadline)
        return self._outer.chunks(path, etag, ids, deadline)

    def blocks(
        self, path: DatasetPath, etag: str, n: int, ids: Sequence[int], deadline: float = NEVER
    ) -> Cut:
        inside = self._stores.find(path)
        if inside:
            return inside.blocks(etag, n, ids, deadline)
        return self._outer.blocks(path, etag, n, ids, deadline)

    def read_bytes(
        self, path: DatasetPath, etag: str, start: int, stop: int, deadline: float = NEVER
    ) -> Iterator[bytes]:
        inside = self._stores.find(path)
        if inside:
            return inside.read_bytes(etag, start, stop, deadline)
        return self._outer.read_bytes(path, etag, start, stop, deadline)
