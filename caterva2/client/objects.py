"""Roots, files and datasets as Python objects."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, ItemsView, Iterator, Mapping, ValuesView
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import blosc2
import numpy as np
import numpy.typing as npt

from caterva2 import limits
from caterva2.client.display import ArrayDescription, FileDescription
from caterva2.client.http.transport import HttpError, Missing
from caterva2.client.read import keys
from caterva2.client.read import values as fetching
from caterva2.client.read.download import Progress
from caterva2.client.read.values import Source
from caterva2.errors import BadName, BadSelection, StaleVersion
from caterva2.runtime.printable import printable

if TYPE_CHECKING:
    from caterva2.client.client import Client

T = TypeVar("T")
VERSION_TRIES = 5
"""How often a read starts over because its dataset changed under it."""
_MAY_BE_OLD = (400, 404, 409, 413)
"""Statuses that a request made for another version of the dataset may get."""


class Root(Mapping[str, "File | Dataset"]):
    """A root: a mapping from relative paths to its files and datasets.

    Attributes
    ----------
    name : str
    urlbase : str
    """

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self.name = name
        self.urlbase = client.urlbase

    @property
    def file_list(self) -> list[str]:
        """Relative paths of all files, as of now."""
        return self._client.get_list(self.name)

    def __getitem__(self, path: str) -> File | Dataset:
        try:
            found = self._client.get(f"{self.name}/{path}")
        except BadName as error:  # a directory
            raise Missing(404, "Not Found", error.detail, "not-found") from None
        if isinstance(found, Root):
            raise Missing(404, "Not Found", f"{path!r} names no file of {self.name}", "not-found")
        return found

    def items(self) -> ItemsView[str, File | Dataset]:
        """All files and datasets with their paths, opened in few requests."""
        return _Items(self)

    def values(self) -> ValuesView[File | Dataset]:
        """All files and datasets, opened in few requests."""
        return _Values(self)

    def _open_all(self) -> Iterator[tuple[str, File | Dataset]]:
        for path, meta in self._client.get_members(self.name).items():
            if "error" in meta:
                yield path, self[path]  # which tells the error
            else:
                made = Dataset if "shape" in meta else File
                yield path, made(self._client, f"{self.name}/{path}", meta)

    def upload(
        self,
        localpath: str | os.PathLike[str],
        path: str | None = None,
        progress: Progress | None = None,
    ) -> File | Dataset:
        """Put a file into this root, which has to be a special one; under its own name by default.

        Returns
        -------
        File or Dataset
        """
        where = f"{self.name}/{Path(localpath).name if path is None else path}"
        found = self._client.get(self._client.upload(localpath, where, progress))
        assert not isinstance(found, Root)
        return found

    def __contains__(self, path: object) -> bool:
        return path in self.file_list

    def __iter__(self) -> Iterator[str]:
        return iter(self.file_list)

    def __len__(self) -> int:
        return len(self.file_list)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Root):
            return NotImplemented
        return (self.urlbase, self.name) == (other.urlbase, other.name)

    def __hash__(self) -> int:
        return hash((self.urlbase, self.name))

    def __repr__(self) -> str:
        return f"<Root: {printable(self.name)}>"


class _Items(ItemsView[str, "File | Dataset"]):
    """Opens what it iterates over together, not one by one."""

    _mapping: Root

    def __iter__(self) -> Iterator[tuple[str, File | Dataset]]:
        return self._mapping._open_all()


class _Values(ValuesView["File | Dataset"]):
    """The same without the paths."""

    _mapping: Root

    def __iter__(self) -> Iterator[File | Dataset]:
        return (one for _, one in self._mapping._open_all())


class File(FileDescription):
    """A byte string: a plain file, or a Blosc2 frame.

    Slicing it gives bytes; those of one position for an integer.
    """

    def __init__(self, client: Client, path: str, meta: dict[str, Any]) -> None:
        super().__init__(path, meta)
        self._client = client
        self._known: Source | None = None

    @property
    def urlbase(self) -> str:
        return self._client.urlbase

    def refresh(self) -> None:
        """Ask anew for what is known; a read that meets a new version does so by itself."""
        self._meta, self._known = self._client.get_info(self.path), None

    def __len__(self) -> int:
        """Bytes."""
        return self.nbytes

    def __iter__(self) -> Iterator[Any]:
        raise TypeError(f"{self.path} is not iterable: slice it, or fetch it whole")

    def __getitem__(self, key: Any) -> Any:
        """Bytes of a slice."""
        return self._read(lambda: self._take(key))

    def fetch(self, slice_: Any = None) -> Any:
        """The same as indexing; None is everything."""
        return self[()] if slice_ is None else self[slice_]

    def slice(self, slice_: Any = None) -> blosc2.NDArray | blosc2.SChunk:
        """A slice as a Blosc2 object of its own; None is everything."""
        return self._read(lambda: self._frame(() if slice_ is None else slice_))

    def get_download_url(self) -> str:
        """Where a browser gets the whole file."""
        return self._client.get_download_url(self.path)

    def download(
        self, localpath: str | Path | BinaryIO | None = None, progress: Progress | None = None
    ) -> Path | None:
        """Save the whole file; by default as ``ROOT/PATH`` below the current directory."""
        return self._client.download(self.path, localpath, progress)

    def move(self, dst: str | PurePosixPath) -> PurePosixPath:
        """Move it within the special roots; where it is now. This object stays where it was."""
        return self._client.move(self.path, dst)

    def copy(self, dst: str | PurePosixPath) -> PurePosixPath:
        """Copy it into a special root; where the copy is."""
        return self._client.copy(self.path, dst)

    def remove(self) -> PurePosixPath:
        """Remove it from its special root."""
        return self._client.remove(self.path)

    @property
    def _source(self) -> Source:
        """The version that is known, as an array."""
        if self._known is None:
            self._known = self._make_source()
        return self._known

    def _make_source(self) -> Source:
        size, step = self.nbytes, int(self.meta["chunksize"])
        byte = np.dtype(np.uint8)
        return Source(str(self.path), self._version, (size,), (max(step, 1),), byte, is_bytes=True)

    @property
    def _version(self) -> str:
        return str(self.meta.get("etag", ""))

    def _take(self, key: Any) -> Any:
        pick = keys.layout(key, self._source.shape).pick
        return fetching.values(self._client._transport, self._source, pick).tobytes()

    def _frame(self, key: Any) -> blosc2.NDArray | blosc2.SChunk:
        pick = keys.layout(key, self._source.shape).pick
        return fetching.frame(self._client._transport, self._source, pick)

    def _read(self, work: Callable[[], T]) -> T:
        """Read one version; start over on the new one if there is one."""
        for _ in range(VERSION_TRIES):
            try:
                return work()
            except (StaleVersion, BadSelection, HttpError) as error:
                if not self._was_old(error):
                    raise
                last: Exception = error.with_traceback(None)  # nor what its attempt holds
        raise last

    def _was_old(self, error: Exception) -> bool:
        """Whether something failed since it was meant for an older version."""
        if isinstance(error, HttpError) and error.status_code not in _MAY_BE_OLD:
            return False
        old = self._version
        self.refresh()
        return isinstance(error, StaleVersion) or self._version != old


class Dataset(ArrayDescription, File):
    """An array; slicing it transfers what the slice needs and gives what numpy gives.

    All of numpy's indexing works: negative numbers and steps, ``...``, ``np.newaxis``, integer
    arrays, masks, and the names of fields.
    """

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a dataset without dimensions")
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        """Values of a slice, or of a field, as numpy gives them."""
        if isinstance(key, str):
            return self._read(lambda: self._take(..., key))
        if isinstance(key, list) and key and all(isinstance(name, str) for name in key):
            return self._read(lambda: self._take_fields(key))
        return self._read(lambda: self._take(key))

    def __iter__(self) -> Iterator[Any]:
        """Along the first axis, some chunks a request, all of the version that is known now.

        Raises
        ------
        StaleVersion
            If the dataset changes meanwhile.
        """
        if not self.shape:
            raise TypeError("iteration over a dataset without dimensions")
        source = self._source
        row = max(source.dtype.itemsize * math.prod(source.shape[1:]), 1)
        chunk = max(source.chunks[0], 1)
        # Whole chunks, unless a single one is too much.
        several = limits.CLIENT_PIECE // (row * chunk) * chunk
        rows = several or max(min(chunk, limits.CLIENT_WINDOW // row), 1)
        for start in range(0, source.shape[0], rows):
            chosen = keys.layout(slice(start, start + rows), source.shape)
            found = fetching.values(self._client._transport, source, chosen.pick)
            yield from chosen.arrange(found)

    @property
    def fields(self) -> Mapping[str, Field]:
        """The fields of a structured dtype by their names, each to be sliced like the dataset."""
        return MappingProxyType({name: Field(self, name) for name in self.dtype.names or ()})

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError(f"{self.path} is remote: an array of it is always a copy")
        values = np.asarray(self[...])
        return values if dtype is None else values.astype(dtype, copy=False)

    def append(self, data: Any) -> tuple[int, ...]:
        """Let it grow along its first axis, in a special root; its shape then."""
        shape = self._client.append(self.path, data)
        self.refresh()
        return shape

    def _make_source(self) -> Source:
        return Source(str(self.path), self._version, self.shape, self.chunks, self.dtype)

    def _take(self, key: Any, field: str = "") -> Any:
        source = self._source
        dtype = _field_dtype(source, field) if field else source.dtype
        if dtype.subdtype is not None:
            return self._take(key)[field]
        chosen = keys.layout(key, source.shape)
        if chosen.is_empty:
            return np.empty(chosen.shape, dtype)
        found = fetching.values(self._client._transport, source, chosen.pick, field)
        return chosen.arrange(found)

    def _take_fields(self, names: list[str]) -> Any:
        for name in names:
            _field_dtype(self._source, name)
        return self._take(...)[names]

    def _frame(self, key: Any) -> blosc2.NDArray | blosc2.SChunk:
        source = self._source
        chosen = keys.layout(key, source.shape)
        if chosen.pick.is_fancy or chosen.shape != chosen.pick.result_shape:
            return fetching.packed(np.asarray(self._take(key), source.dtype))
        return fetching.frame(self._client._transport, source, chosen.pick)


class Field:
    """One field of the records of a dataset; slicing it transfers no other field.

    Attributes
    ----------
    name : str
    """

    def __init__(self, dataset: Dataset, name: str) -> None:
        self._dataset = dataset
        self.name = name

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._dataset.dtype[self.name].base

    @property
    def shape(self) -> tuple[int, ...]:
        return self._dataset.shape + self._dataset.dtype[self.name].shape

    def __getitem__(self, key: Any) -> Any:
        """Values of the field in a slice of the dataset."""
        return self._dataset._read(lambda: self._dataset._take(key, self.name))

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError(f"{self.name} is remote: an array of it is always a copy")
        values = np.asarray(self[...])
        return values if dtype is None else values.astype(dtype, copy=False)

    def __repr__(self) -> str:
        return f"<Field: {printable(self.name)} of {self._dataset!r}>"


def _field_dtype(source: Source, name: str) -> np.dtype[Any]:
    if source.dtype.fields is None or name not in source.dtype.fields:
        known = ", ".join(source.dtype.names or ()) or "none"
        raise BadSelection(f"{source.path} has no field {name!r}; known are: {known}")
    return source.dtype[name]
