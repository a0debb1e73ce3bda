"""Search: criteria that datasets are found by, applied to their descriptions."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from caterva2.arrays import dtypes
from caterva2.client.attributes import Attributes
from caterva2.errors import BadRequest, CatervaError

Axes = int | Sequence[int | None]
"""Sizes of a shape; None stands for any size."""
Attrs = str | Mapping[str, Any]
"""The name of an attribute, or values of attributes by their names."""


class Search:
    """Criteria that all have to hold; None is no criterion.

    Parameters
    ----------
    dtype : dtype, optional
    shape : int or sequence of int and None, optional
    ndim : int, optional
    name : str, optional
        A pattern for the relative path: ``*`` stands for any characters, slashes included.
    attr : str or mapping, optional

    Raises
    ------
    BadRequest
        If a criterion is of another type.
    """

    def __init__(
        self, dtype: npt.DTypeLike | None = None, shape: Axes | None = None,
        ndim: int | None = None, name: str | None = None, attr: Attrs | None = None,
    ) -> None:  # fmt: skip
        self._dtype = None if dtype is None else _dtype(dtype)
        self._shape = None if shape is None else _axes(shape)
        self._ndim = ndim
        if not isinstance(name, str | None):
            raise BadRequest(f"name is {type(name).__name__}, not a pattern")
        self._name = None if name is None else re.compile(fnmatch.translate(name))
        if not isinstance(attr, str | Mapping | None):
            raise BadRequest(f"attr is {type(attr).__name__}, neither a name nor a mapping")
        self._attr = attr

    def fits(self, path: str, meta: Mapping[str, Any]) -> bool:
        """Return whether a file fulfils all criteria; one that can't be described never does."""
        if "error" in meta or (self._name is not None and not self._name.match(path)):
            return False
        return self._fits_array(meta) and self._fits_attributes(path, meta)

    def _fits_array(self, meta: Mapping[str, Any]) -> bool:
        if self._dtype is None and self._shape is None and self._ndim is None:
            return True
        if "shape" not in meta:
            return False
        shape = tuple(meta["shape"])
        if self._ndim is not None and len(shape) != self._ndim:
            return False
        if self._shape is not None and not _same_shape(self._shape, shape):
            return False
        try:
            return self._dtype is None or dtypes.parse(meta["dtype"]) == self._dtype
        except CatervaError:  # one that this version does not know
            return False

    def _fits_attributes(self, path: str, meta: Mapping[str, Any]) -> bool:
        if self._attr is None:
            return True
        attrs = Attributes(meta.get("attrs") or {})
        if isinstance(self._attr, str):
            return self._attr in attrs
        try:
            return all(
                name in attrs and _equal(attrs[name], value) for name, value in self._attr.items()
            )
        except CatervaError:  # a form that this version does not know
            return False


def _same_shape(wanted: tuple[int | None, ...], shape: tuple[int, ...]) -> bool:
    return len(wanted) == len(shape) and all(
        size is None or size == other for size, other in zip(wanted, shape, strict=True)
    )


def _dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    try:
        return np.dtype(dtype)
    except TypeError as error:
        raise BadRequest(f"dtype: {error}") from None


def _axes(shape: Axes) -> tuple[int | None, ...]:
    axes = (shape,) if isinstance(shape, int) else tuple(shape)
    if not all(isinstance(size, int | np.integer | None) for size in axes):
        raise BadRequest(f"shape {axes!r} is not of integers and None")
    return axes


def _equal(found: Any, wanted: Any) -> bool:
    """Compare values of attributes, as arrays if one of them is one."""
    if isinstance(found, np.ndarray) or isinstance(wanted, np.ndarray | list | tuple):
        return bool(np.array_equal(np.asarray(found), np.asarray(wanted)))
    return bool(found == wanted)
