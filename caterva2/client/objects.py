"""Roots, files and datasets as Python objects."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import blosc2
import numpy as np

from caterva2 import dtypes, limits, selection

if TYPE_CHECKING:
    from caterva2.client.client import Client


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
        found = self._client.get(f"{self.name}/{path}")
        assert isinstance(found, File)
        return found

    def __contains__(self, path: object) -> bool:
        return path in self.file_list

    def __iter__(self) -> Iterator[str]:
        return iter(self.file_list)

    def __len__(self) -> int:
        return len(self.file_list)

    def __repr__(self) -> str:
        return f"<Root: {self.name}>"


class File:
    """A byte string: a plain file, or a Blosc2 frame.

    Attributes
    ----------
    name : str
        Path relative to the root.
    path : PurePosixPath
        Path with the root.
    meta : dict
        What the subscriber tells about it.
    """

    def __init__(self, client: Client, path: str, meta: dict[str, Any]) -> None:
        self._client = client
        self.path = PurePosixPath(path)
        self.root = self.path.parts[0]
        self.name = path.partition("/")[2]
        self.meta = meta

    @property
    def urlbase(self) -> str:
        return self._client.urlbase

    @property
    def vlmeta(self) -> dict[str, Any]:
        """User attributes."""
        schunk = self.meta.get("schunk", self.meta)
        vlmeta: dict[str, Any] = schunk.get("vlmeta", {})
        return vlmeta

    def __len__(self) -> int:
        """Bytes."""
        size: int = self.meta["nbytes"]
        return size

    def __getitem__(self, key: Any) -> Any:
        """Bytes of a slice; of one position for an integer."""
        return self._client.fetch(self.path, key)

    def fetch(self, slice_: Any = None) -> Any:
        """The same as indexing; None is everything."""
        return self._client.fetch(self.path, slice_)

    def slice(self, slice_: Any = None) -> blosc2.NDArray | blosc2.SChunk:
        """A slice as a Blosc2 object of its own."""
        return self._client.fetch_frame(self.path, slice_)

    def get_download_url(self) -> str:
        """Where a browser gets the whole file."""
        return self._client.get_download_url(self.path)

    def download(self, localpath: str | Path | None = None) -> Path:
        """Save the whole file; by default as ``ROOT/PATH`` below the current directory."""
        return self._client.download(self.path, localpath)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.path}>"


class Dataset(File):
    """An array; slicing it transfers what the slice needs and gives numpy arrays."""

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.meta["shape"])

    @property
    def chunks(self) -> tuple[int, ...]:
        return tuple(self.meta["chunks"])

    @property
    def blocks(self) -> tuple[int, ...]:
        return tuple(self.meta["blocks"])

    @property
    def dtype(self) -> np.dtype[Any]:
        return dtypes.parse(self.meta["dtype"])

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of items."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a scalar dataset")
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        """Values of a slice as numpy gives them; a large one comes in several requests."""
        wanted = selection.normalise(key, self.shape)
        most = limits.CLIENT_WINDOW // (math.prod(self.chunks) * self.dtype.itemsize or 1)
        large = wanted.size * self.dtype.itemsize > limits.CLIENT_WINDOW
        if not large or wanted.is_whole:
            return super().__getitem__(key)
        parts = list(selection.split(wanted, self.chunks, max(most, 1)))
        keys = [selection.as_key(part) for part, _ in parts]
        result = np.empty(wanted.result_shape, self.dtype)
        for (_, where), values in zip(
            parts, self._client.fetch_parts(self.path, keys), strict=True
        ):
            result[where] = values
        return result

    def fetch(self, slice_: Any = None) -> Any:
        """The same as indexing; None is everything."""
        return self[()] if slice_ is None else self[slice_]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        values = np.asarray(self[()])
        return values if dtype is None else values.astype(dtype, copy=False)

    def __repr__(self) -> str:
        return f"<Dataset: {self.path} {self.shape} {self.dtype}>"
