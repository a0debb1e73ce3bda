"""Text of variable length: Python objects in an array, and the dtypes of fixed size that hold it.

h5py marks the dtype of such objects in its metadata, as ``vlen``. An array of text becomes one of
`str` (``U``); of `bytes` (``S``) where some of it is not UTF-8, or an item would be too large.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from caterva2.limits import constants

DType = np.dtype[Any]
CHARACTER = 4
"""Bytes of a character in an array of `str`."""


@dataclass(slots=True)
class Extent:
    """The longest item of some text; ``characters`` counts only as long as all of it is UTF-8."""

    characters: int = 0
    nbytes: int = 0
    is_utf8: bool = True

    def add(self, items: list[bytes]) -> None:
        """Take more items into account."""
        self.nbytes = max(self.nbytes, *map(len, items), 0)
        if not self.is_utf8:
            return
        try:
            self.characters = max(self.characters, *(len(item.decode()) for item in items), 0)
        except UnicodeDecodeError:
            self.is_utf8 = False

    @property
    def dtype(self) -> DType:
        """The dtype of fixed size that holds all items."""
        if self.is_utf8 and self.characters * CHARACTER <= constants.ITEMSIZE:
            return np.dtype(f"U{max(self.characters, 1)}")
        return np.dtype(f"S{max(self.nbytes, 1)}")


@dataclass(slots=True)
class Extents:
    """The longest items of an array of text, or of each field that is text.

    ``nbytes`` counts all text that was looked at.
    """

    found: dict[tuple[str, ...], Extent] = field(default_factory=dict)
    nbytes: int = 0

    def add(self, values: npt.NDArray[Any], where: tuple[str, ...] = ()) -> None:
        """Take the values of a part of the array into account."""
        for name in values.dtype.names or ():
            self.add(values[name], (*where, name))
        if is_text(values.dtype) and values.size:
            items = values.ravel().tolist()
            self.found.setdefault(where, Extent()).add(items)
            self.nbytes += sum(map(len, items))

    def dtype(self, stored: DType, where: tuple[str, ...] = ()) -> DType:
        """Return a dtype with text of fixed size in the place of objects."""
        if not has_text(stored):
            return stored
        if stored.names is not None:
            return np.dtype(
                [(name, self.dtype(stored[name], (*where, name))) for name in stored.names]
            )
        if stored.subdtype is not None:
            return np.dtype((self.dtype(stored.base, where), stored.shape))
        return self.found.get(where, Extent()).dtype


def is_text(dtype: DType) -> bool:
    """Return whether items are text of variable length."""
    marks: Mapping[str, Any] = dtype.metadata or {}
    return dtype.kind == "O" and marks.get("vlen") in (str, bytes)


def has_text(dtype: DType) -> bool:
    """Return whether items are or contain text of variable length."""
    if dtype.names is not None:
        return any(has_text(dtype[name]) for name in dtype.names)
    return is_text(dtype.base)


def fill(target: npt.NDArray[Any], values: npt.NDArray[Any]) -> None:
    """Copy values into an array whose dtype `Extents` made of theirs."""
    if values.dtype.names is not None:
        for name in values.dtype.names:
            fill(target[name], values[name])
    elif not is_text(values.dtype):
        target[...] = values
    else:
        items = values.ravel().tolist()
        if target.dtype.kind == "U":
            items = [item.decode() for item in items]
        target[...] = np.array(items, target.dtype).reshape(target.shape)
