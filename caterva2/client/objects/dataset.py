"""Dataset and Field: handles of remote arrays, read by slicing."""

from __future__ import annotations

import asyncio
import copy
import math
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, Self, overload

import blosc2
import numpy as np
import numpy.typing as npt

from caterva2.client.display import ArrayDescription
from caterva2.client.exports import ArrayExports
from caterva2.client.lazy.arithmetic import Reducing
from caterva2.client.lazy.expression import Expression
from caterva2.client.lazy.term import Place, Term, joined
from caterva2.client.objects.file import File
from caterva2.client.read import frames, keys, stored
from caterva2.client.read import values as reading
from caterva2.client.read.overview import Overview
from caterva2.client.read.values import Source
from caterva2.errors import BadSelection
from caterva2.runtime.printable import printable


class Dataset(ArrayDescription, ArrayExports, Reducing, File):
    """An array; slicing it transfers only the selection and follows numpy.

    All of numpy's indexing works: negative numbers and steps, ``...``, ``np.newaxis``, integer
    arrays, masks, and the names of fields. Operators make an `Expression`, and reductions are
    computed by the subscriber.
    """

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a dataset without dimensions")
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        """Read the values of a slice, or of a field, as numpy gives them."""
        if isinstance(key, str):
            return self._read(lambda: self._take(..., key))
        if isinstance(key, list) and key and all(isinstance(name, str) for name in key):
            return self._read(lambda: self._take_fields(key))
        return self._read(lambda: self._take(key))

    def __iter__(self) -> Iterator[Any]:
        """Iterate along the first axis of the known version, some chunks per request.

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
        limits = self._client.transport.limits
        # Whole chunks, unless a single one is too much.
        rows = limits.piece // (row * chunk) * chunk or max(min(chunk, limits.window // row), 1)
        for start in range(0, source.shape[0], rows):
            chosen = keys.layout(slice(start, start + rows), source.shape)
            found = reading.values(self._client.transport, source, chosen.region)
            yield from chosen.arrange(found)

    @property
    def fields(self) -> Mapping[str, Field]:
        """Fields of a structured dtype by their names, each to be sliced like the dataset."""
        return MappingProxyType({name: Field(self, name) for name in self.dtype.names or ()})

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError(f"{self.path} is remote: an array of it is always a copy")
        values = np.asarray(self[...])
        return values if dtype is None else values.astype(dtype, copy=False)

    def get_chunk(self, nchunk: int) -> bytes:
        """Return the bytes of a chunk of the known version, as they are stored.

        Raises
        ------
        StaleVersion
            If the dataset has another version.
        """
        return stored.chunk(self._client.transport, self._source, nchunk)

    async def aget_chunk(self, nchunk: int) -> bytes:
        """Return the bytes of a chunk as `get_chunk` does, which runs in a thread."""
        return await asyncio.to_thread(self.get_chunk, nchunk)

    def stats(
        self, key: Any = None, *, field: str = "", part: str = "", exact: bool | None = None
    ) -> dict[str, Any]:
        """Return statistics of all values or of a part, made by the subscriber; `Client.stats`."""
        return self._client.stats(self.path, key, field=field, part=part, exact=exact)

    def overview(self, key: Any = None, **how: Any) -> Overview:
        """Return a plane or line of it made small by the subscriber, as `Client.overview` does."""
        made: Overview = self._client.overview(self.path, key, **how)
        return made

    @overload
    def copy(self) -> Self: ...

    @overload
    def copy(self, dst: str | PurePosixPath) -> PurePosixPath: ...

    def copy(self, dst: str | PurePosixPath | None = None) -> Self | PurePosixPath:
        """Copy it into a special root and return that path; without one, return another handle.

        The latter is for libraries that copy whatever has operators, as they would an array.
        """
        return copy.copy(self) if dst is None else super().copy(dst)

    def append(self, data: Any) -> tuple[int, ...]:
        """Append to it along its first axis, in a special root; return its new shape."""
        shape = self._client.append(self.path, data)
        self.refresh()
        return shape

    @property
    def _term(self) -> Term:
        etag = self._version if self._is_pinned else ""
        return Term((Place(self.urlbase, str(self.path), etag),))

    def _expression(self, term: Term) -> Expression:
        return Expression(self._client, term)

    def _computed(self, term: Term) -> Any:
        return self._expression(term).compute()

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
        found = reading.values(self._client.transport, source, chosen.region, field)
        return chosen.arrange(found)

    def _take_fields(self, names: list[str]) -> Any:
        for name in names:
            _field_dtype(self._source, name)
        return self._take(...)[names]

    def _frame(self, key: Any) -> blosc2.NDArray | blosc2.SChunk:
        source = self._source
        chosen = keys.layout(key, source.shape)
        if chosen.region.is_fancy or chosen.shape != chosen.region.result_shape:
            return frames.pack(np.asarray(self._take(key), source.dtype))
        return reading.frame(self._client.transport, source, chosen.region)


class Field(Reducing):
    """One field of a structured dataset; slicing it transfers no other field.

    Attributes
    ----------
    name : str
    """

    def __init__(self, dataset: Dataset, name: str) -> None:
        self._dataset = dataset
        self.name = name

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the field's items."""
        return self._dataset.dtype[self.name].base

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the dataset, and of the field's items if they are arrays."""
        return self._dataset.shape + self._dataset.dtype[self.name].shape

    @property
    def _term(self) -> Term:
        return joined(self._dataset._term, f"[{self.name!r}]")

    def _expression(self, term: Term) -> Expression:
        return self._dataset._expression(term)

    def _computed(self, term: Term) -> Any:
        return self._dataset._computed(term)

    def __dask_tokenize__(self) -> tuple[str, ...]:
        return (*self._dataset.__dask_tokenize__(), self.name)

    def __getitem__(self, key: Any) -> Any:
        """Read the field in a slice of the dataset."""
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
