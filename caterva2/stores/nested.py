"""A directory with stores in it: of Zarr, trees of python-blosc2, and sparse frames.

What is in them is served, or what they are.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from caterva2.frames.raw import Cut, Run
from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.model import DatasetInfo, Entry
from caterva2.names import DatasetPath
from caterva2.sources.base import ALL, NEVER, Datasets, Source
from caterva2.sources.directory.plugged import Plugged
from caterva2.sources.kinds import is_hidden
from caterva2.stores.containers import SparseFrames, Trees
from caterva2.stores.mounted import Mounted
from caterva2.stores.recognition import is_sparse, is_tree, is_zarr

Enters = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of stores: how a directory is recognised, and what serves it by its place.

    The directory itself is a dataset, or the store has some.
    """

    recognises: Callable[[str], bool]
    make: Callable[[Path, str, PublisherLimits], Datasets]
    is_dataset: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    real: str
    kind: _Kind


def _zarr(directory: Path, place: str, limits: PublisherLimits) -> Datasets:
    from caterva2.stores.store import DirectoryStore  # these load Blosc2 and numpy
    from caterva2.stores.zarr.source import ZarrSource

    return ZarrSource(DirectoryStore(directory), Path(place).stem, limits)


_ZARR = _Kind(is_zarr, _zarr)


class NestedStores(Source):
    """Serves a directory, and the arrays of the stores in it as ``STORE/GROUP/NAME.b2nd``.

    A sparse frame is served as the dataset ``NAME.b2nd`` or ``NAME.b2frame`` that it is named. The
    files of these stores are not served.

    Parameters
    ----------
    directory : Path
    make : callable
        Makes the source of the directory. It gets a function that says of a path below whether
        the source may enter that directory.
    limits : PublisherLimits, optional
    zarr : bool
        Whether Zarr stores are looked for, beside trees and sparse frames.
    plugged : Plugged, optional
        Reads leaves of trees and sparse frames that need plugins of Blosc2; closed with this
        source.
    """

    def __init__(
        self,
        directory: Path,
        make: Callable[[Enters], Source],
        limits: PublisherLimits = DEFAULTS.publisher,
        *,
        zarr: bool = True,
        plugged: Plugged | None = None,
    ) -> None:
        self._trees = _Kind(is_tree, Trees(plugged).of_directory)
        sparse = _Kind(is_sparse, SparseFrames(plugged).of_directory, is_dataset=True)
        self._plugged = plugged
        self._kinds = (self._trees, sparse, *([_ZARR] if zarr else []))
        self._root = os.path.realpath(directory)
        self._limits = limits
        self._met: set[str] = set()
        self._places: dict[str, _Place] = {}
        self._scanning = threading.Lock()
        self._stores = Mounted(self._store, self._above)
        self._outer = make(self._enters)

    def _store(self, place: str) -> Datasets:
        found = self._places[place]
        return found.kind.make(Path(found.real), place, self._limits)

    def _above(self, place: str) -> str:
        found = self._places.get(place)
        return place.rpartition("/")[0] if found and found.kind.is_dataset else place

    def close(self) -> None:
        self._stores.close()
        self._outer.close()
        if self._plugged is not None:
            self._plugged.close()

    def warm_up(self) -> None:
        self._outer.warm_up()

    def remember(self) -> None:
        self._outer.remember()

    # --- listing ---

    def _is_store(self, path: str) -> bool:
        return self._kind(path) is not None

    def _kind(self, path: str) -> _Kind | None:
        directory = f"{self._root}/{path}"
        return next((kind for kind in self._kinds if kind.recognises(directory)), None)

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
                    self._places = {place: found for place, found in known if place in self._met}
                for met in sorted(self._met):
                    found |= self._scan_store(met)
        below = scope + "/"
        return {p: e for p, e in found.items() if not scope or p == scope or p.startswith(below)}

    def _scan_store(self, place: str, *, now: bool = False) -> dict[DatasetPath, Entry]:
        found = _Place(self._real(place), self._kind(place) or self._trees)
        if self._places.get(place, found) != found:
            self._stores.drop(place)  # a link leads to another one now, say
        self._places[place] = found
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
