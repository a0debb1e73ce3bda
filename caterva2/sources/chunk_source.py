"""A base of sources that list arrays of another format and make chunks of them.

A subclass says which arrays there are. Versions, blocks, attributes, refusals, the chunks that are
kept and looking for changes are here.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from caterva2.arrays import dtypes
from caterva2.arrays.dimensions import checked
from caterva2.errors import BadRequest, CatervaError, NotFound, SourceCorrupt, StaleVersion
from caterva2.frames import blocks
from caterva2.frames.raw import Cut, Run
from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.model import DatasetInfo, Entry
from caterva2.names import DatasetPath
from caterva2.runtime.lru import Lru
from caterva2.runtime.printable import printable
from caterva2.sources import layout as layouts
from caterva2.sources.attributes import packed, typed
from caterva2.sources.base import ALL, NEVER, Source
from caterva2.sources.conversions import Conversions
from caterva2.sources.joined import joined
from caterva2.sources.layout import DType, Layout, Refused

log = logging.getLogger(__name__)
T = TypeVar("T")
SUFFIX = ".b2nd"
LAYOUTS = 1000
"""Arrays whose layouts are remembered."""
SCAN_SHARE = 20
"""A scan that takes long is repeated that much later, so that scanning is a 20th of the time."""


@dataclass(frozen=True, slots=True)
class Array:
    """What a source says about one of its arrays.

    ``version`` is a text that differs whenever anything else differs, such as
    the size and times of a file. ``chunks`` is the shape of the pieces that are read best, None
    if any will do. ``size`` is what the array takes where it is stored, and ``mtime`` the time of
    its last change, in seconds. ``dims`` are the names of the dimensions, None for one without.
    """

    shape: tuple[int, ...]
    dtype: DType
    version: str
    chunks: tuple[int, ...] | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    size: int = 0
    mtime: float = 0.0
    dims: Sequence[str | None] = ()


class ChunkSource(Source):
    """Serves arrays that a subclass lists and makes chunks of: each is ``NAME.b2nd``.

    A subclass has `names`, `array` and `chunk`, which may be called from several threads at once.
    An error in one of the last two is logged, and is damage of that array only.

    Parameters
    ----------
    limits : PublisherLimits, optional
    """

    def __init__(self, limits: PublisherLimits = DEFAULTS.publisher) -> None:
        self.limits = limits
        self._layouts: Lru[str, Layout] = Lru(LAYOUTS)
        self.kept = Conversions(limits.converted_bytes)
        self._lock = threading.Lock()
        self._notices: dict[str, str] = {}
        self._names: frozenset[str] = frozenset()
        self._pause = limits.poll

    @abstractmethod
    def names(self) -> Iterable[str]:
        """Return the names of all arrays, such as ``GROUP/NAME``."""

    @abstractmethod
    def array(self, name: str) -> Array | None:
        """Return an array as it is now, None if it is gone.

        It is called before and after each read, so it should not take long.

        Parameters
        ----------
        name : str
            One that `names` has returned.
        """

    @abstractmethod
    def chunk(self, name: str, layout: Layout, etag: str, n: int) -> bytes:
        """Return chunk ``n`` of an array; `kept` has those that were made before."""

    def close(self) -> None:
        pass

    # --- listing ---

    def scan(self, scope: str = ALL) -> dict[DatasetPath, Entry]:
        began = time.monotonic()
        entries = (self._entry(name) for name in self._list() if _may_be_in(scope, name))
        found = {entry.path: entry for entry in entries if entry is not None}
        self._pause = max(self.limits.poll, SCAN_SHARE * (time.monotonic() - began))
        return found

    def _list(self) -> list[str]:
        names = self._asked(ALL, lambda: list(self.names()))
        self._names = frozenset(names)
        return names

    def _entry(self, name: str) -> Entry | None:
        try:
            array = self._asked(name, lambda: self.array(name))
            return _entry(name, array) if array is not None else None
        except Refused as error:
            self._tell(name, f"is left out: it {error.detail}")
        except CatervaError as error:
            if error.retry != "no":
                raise  # it can't be said now what there is
            self._tell(name, f"is left out: {error.detail}")
        return None

    def changes(self, stop: threading.Event) -> Iterator[set[str]]:
        while not stop.wait(self._pause):
            yield {ALL}

    @property
    def notices(self) -> Mapping[str, str]:
        """Latest log message of each subject: a path, or an attribute of one."""
        return self._notices

    def _tell(self, subject: str, what: str) -> None:
        """Log a fact once."""
        with self._lock:
            known = self._notices.get(subject) == what
            self._notices[subject] = what
        if not known:
            log.warning("%s", printable(f"{subject or 'the source'} {what}"))

    def _asked(self, subject: str, ask: Callable[[], T]) -> T:
        """Call the subclass, and raise what it raises as one of our errors."""
        try:
            return ask()
        except CatervaError:
            raise
        except Exception as error:
            reason = f"it can't be read: {type(error).__name__}: {error}"
            self._tell(subject, reason)
            raise SourceCorrupt(reason, subject=subject) from error

    # --- versions ---

    def _current(self, path: DatasetPath, etag: str = "") -> tuple[str, Array]:
        """Return the name of an array and what it is now, if that is the requested version."""
        name = path.removesuffix(SUFFIX)
        known = path.endswith(SUFFIX) and (name in self._names or name in self._list())
        array = self._asked(path, lambda: self.array(name)) if known else None
        if array is None:
            raise NotFound(f"{path} does not exist")
        current = etag_of(name, array)
        if etag and etag != current:
            raise StaleVersion(f"{path} has changed", info={"etag": current})
        return name, array

    def layout(self, name: str, array: Array, etag: str) -> Layout:
        """Return the layout of a version of an array."""
        return choose(array)

    def _layout(self, path: DatasetPath, name: str, array: Array, etag: str) -> Layout:
        found = self._layouts.get(etag)
        if found is None:
            try:
                found = self._asked(path, lambda: self.layout(name, array, etag))
            except Refused as error:
                raise SourceCorrupt(f"{path} {error.detail}") from None
            with self._lock:
                self._layouts.put(etag, found)
        return found

    # --- reading ---

    def info(self, path: DatasetPath, deadline: float = NEVER) -> DatasetInfo:
        name, array = self._current(path)
        etag = etag_of(name, array)
        layout = self._layout(path, name, array, etag)
        vlmeta, _ = packed(array.attributes)
        given = array.attributes
        attrs, refused = typed((name, functools.partial(given.__getitem__, name)) for name in given)
        for attribute, reason in refused.items():
            self._tell(f"{path}@{attribute}", f"is left out: it {reason}")
        try:
            return DatasetInfo(
                path=path, etag=etag, mtime=array.mtime, kind="array",
                shape=layout.shape, chunks=layout.chunks, blocks=layout.blocks,
                dtype=dtypes.describe(layout.dtype), typesize=layout.dtype.itemsize,
                chunksize=layout.chunksize, blocksize=layout.blocksize,
                nbytes=layout.chunksize * layout.nchunks, cbytes=array.size or layout.nbytes,
                cparams=layout.cparams, vlmeta=vlmeta, attrs=attrs,
                dims=checked(array.dims, len(layout.shape)),
            )  # fmt: skip
        except ValueError as error:
            reason = str(error).splitlines()[-2].strip()
            raise SourceCorrupt(f"its description makes no sense: {reason}", subject=path) from None

    def chunks(
        self, path: DatasetPath, etag: str, ids: Sequence[int], deadline: float = NEVER
    ) -> Iterator[Run]:
        name, array = self._current(path, etag)
        layout = self._layout(path, name, array, etag)

        def chunk(n: int) -> bytes:
            if not 0 <= n < layout.nchunks:
                raise NotFound(f"chunk {n} of {layout.nchunks} does not exist")
            return self._asked(path, lambda: self.chunk(name, layout, etag, n))

        confirm = functools.partial(self._current, path, etag)
        yield from joined(ids, chunk, confirm, self.limits.reply_bytes, deadline)

    def blocks(
        self, path: DatasetPath, etag: str, n: int, ids: Sequence[int], deadline: float = NEVER
    ) -> Cut:
        return blocks.cut_out_of(next(self.chunks(path, etag, [n], deadline)).payload, ids)

    def read_bytes(
        self, path: DatasetPath, etag: str, start: int, stop: int, deadline: float = NEVER
    ) -> Iterator[bytes]:
        self._current(path, etag)
        raise BadRequest(f"{path} is an array: it has chunks, not bytes")


def choose(array: Array) -> Layout:
    """Return the layout that Blosc2 chooses for an array.

    Raises
    ------
    Refused
        If Blosc2 can't hold it.
    """
    return layouts.choose(array.shape, array.chunks, _checked_dtype(array))


def etag_of(name: str, array: Array) -> str:
    """Return the version of an array."""
    facts = (name, array.version, array.shape, str(array.dtype), array.chunks, layouts.TUNING)
    return hashlib.blake2b(repr(facts).encode("utf-8", "replace"), digest_size=12).hexdigest()


def _may_be_in(scope: str, name: str) -> bool:
    """Return whether an array is the scope, or lies below it."""
    return not scope or name + SUFFIX == scope or name.startswith(scope + "/")


def _entry(name: str, array: Array) -> Entry:
    path, dtype = DatasetPath(name + SUFFIX), _checked_dtype(array)
    return Entry(
        path=path, kind="array", etag=etag_of(name, array), mtime=array.mtime,
        size=array.size or int(np.prod(array.shape, dtype=np.float64)) * dtype.itemsize,
    )  # fmt: skip


def _checked_dtype(array: Array) -> DType:
    """Return the dtype that an array is served with, if it can be served."""
    dtype = layouts.served_dtype(array.dtype)
    layouts.check_shape(array.shape, array.chunks, dtype)
    return dtype
