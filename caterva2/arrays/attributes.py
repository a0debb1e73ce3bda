"""Typed values of attributes, and the one form in which they travel and are shown as JSON.

A value is what numpy and h5py make of an attribute: a scalar or an array of numpy, text, bytes, a
`Reference`, `Empty`, an array of objects that are text, bytes, references or arrays; in addition
lists and dictionaries of any of these, which a frame's vlmeta may hold. A *form* is a dictionary
of plain JSON: ``{"dtype": "<f4", "shape": [2], "value": [1.5, "NaN"]}``. docs/rest.md describes it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from caterva2.arrays import dtypes, json_items
from caterva2.arrays.json_items import Array, DType, checked_text, flatten, nest
from caterva2.errors import BadMessage, CatervaError
from caterva2.limits import constants

Form = dict[str, Any]
TEXT, BYTES, REFERENCE = "text", "bytes", "reference"
RECORD, VLEN, JSON, LIST, MAP = "record", "vlen", "json", "list", "map"
_OBJECTS: Final = (TEXT, BYTES, REFERENCE)
_NAMED: Final = (*_OBJECTS, RECORD, VLEN)
_WRONG: Final = (
    ValueError, TypeError, OverflowError, KeyError, AttributeError, IndexError, MemoryError,
    RecursionError, CatervaError,
)  # fmt: skip


class Reference(str):
    """A path in the file, to which a reference leads; empty if it leads to nothing."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Empty:
    """An attribute that has a dtype and no value."""

    dtype: str


def form_of(value: Any) -> Form:
    """Return the form of a value.

    Raises
    ------
    TypeError, ValueError
        If there is none: for an object of another type, text that is not Unicode, too many
        items or axes, or lists that are nested too deep.
    """
    return _form(value, 0)


def value_of(form: Any) -> Any:
    """Return the value of a form, and None for an empty one.

    Enumerations are integers, whose dtype has the names as ``metadata["enum"]``, unless they are
    scalars.

    Raises
    ------
    BadMessage
        If it is not a form.
    """
    try:
        return _value(form, 0)
    except _WRONG as error:
        what = error.detail if isinstance(error, CatervaError) else str(error)
        raise BadMessage(f"it is no attribute: {what[:200]}") from None


# --- values to forms ---


def _form(value: Any, depth: int) -> Form:
    if depth > constants.METADATA_DEPTH:
        raise ValueError(f"is nested deeper than METADATA_DEPTH, {constants.METADATA_DEPTH}")
    if isinstance(value, Empty):
        return {"dtype": value.dtype, "shape": None}
    if isinstance(value, np.ndarray):
        return _array_form(np.asarray(value), depth)
    if isinstance(value, np.generic) and not isinstance(value, np.str_):
        return _array_form(np.asarray(value), depth)
    if isinstance(value, str | bytes):
        return _array_form(_boxed(value), depth)
    if isinstance(value, bool | int | float | complex):
        return _array_form(np.array(value), depth)
    if value is None or isinstance(value, list | tuple | dict | set | frozenset):
        return _collection(value, depth)
    raise TypeError(f"is of type {type(value).__name__}")


def _array_form(array: Array, depth: int) -> Form:
    shape = list(array.shape)
    size = math.prod(max(n, 1) for n in shape)
    if len(shape) > constants.NDIM or size > constants.ATTRS_BYTES:
        raise ValueError(f"has the shape {array.shape}, which is too large")
    dtype = array.dtype
    if dtype.fields is not None:
        if len(dtype.fields) > constants.DTYPE_FIELDS:
            raise ValueError(f"has more fields than DTYPE_FIELDS, {constants.DTYPE_FIELDS}")
        fields = {checked_text(name): _form(array[name], depth + 1) for name in dtype.names or ()}
        return {"dtype": RECORD, "shape": shape, "fields": fields}
    if dtype.hasobject:
        return _objects_form(array, shape, depth)
    if dtype.itemsize == 0:
        raise ValueError("has items of no bytes")
    items = nest(json_items.encode(array), shape)
    form: Form = {"dtype": dtype.str, "shape": shape, "value": items}
    names = _noted(dtype).get("enum")
    if names is not None:
        form["enum"] = {checked_text(name): int(number) for name, number in names.items()}
    return form


def _noted(dtype: DType) -> Mapping[str, Any]:
    """Return what h5py notes in a dtype that numpy has no name for."""
    return dtype.metadata or {}


def _objects_form(array: Array, shape: list[int], depth: int) -> Form:
    items: list[Any] = array.reshape(-1).tolist()
    if any(isinstance(item, np.ndarray) for item in items) or _is_vlen(array.dtype, items):
        return _vlen_form(array.dtype, items, shape, depth)
    kind = _kind_of(array.dtype, items)
    written = [_WRITE[kind](item) for item in items]
    return {"dtype": kind, "shape": shape, "value": nest(written, shape)}


def _is_vlen(dtype: DType, items: list[Any]) -> bool:
    return not items and isinstance(_noted(dtype).get("vlen"), np.dtype)


def _kind_of(dtype: DType, items: list[Any]) -> str:
    for kind, cls in ((REFERENCE, Reference), (TEXT, str), (BYTES, bytes)):
        if items and all(isinstance(item, cls) for item in items):
            return kind
    if items:
        raise TypeError("has items of several types, or of none that is known")
    noted = _noted(dtype)
    return REFERENCE if "ref" in noted else BYTES if noted.get("vlen") is bytes else TEXT


def _vlen_form(dtype: DType, items: list[Any], shape: list[int], depth: int) -> Form:
    runs = [np.asarray(item) for item in items]
    if any(run.ndim != 1 for run in runs) or len({run.dtype for run in runs}) > 1:
        raise TypeError("has items of variable length of several types")
    base = runs[0].dtype if runs else np.dtype(_noted(dtype)["vlen"])
    joined = np.concatenate(runs) if runs else np.empty(0, base)
    if base.metadata:
        joined = joined.astype(base)
    return {
        "dtype": VLEN, "shape": shape, "lengths": [len(run) for run in runs],
        "items": _form(joined, depth + 1),
    }  # fmt: skip


def _collection(value: Any, depth: int) -> Form:
    if _is_json(value, depth):
        return {"dtype": JSON, "value": value}
    if isinstance(value, dict):
        pairs = [[_form(key, depth + 1), _form(item, depth + 1)] for key, item in value.items()]
        return {"dtype": MAP, "items": pairs}
    return {"dtype": LIST, "items": [_form(item, depth + 1) for item in value]}


def _is_json(value: Any, depth: int) -> bool:
    if depth > constants.METADATA_DEPTH:
        raise ValueError(f"is nested deeper than METADATA_DEPTH, {constants.METADATA_DEPTH}")
    if isinstance(value, dict):
        return all(type(key) is str and _is_json(item, depth + 1) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(_is_json(item, depth + 1) for item in value)
    if type(value) is float:
        return math.isfinite(value)
    return value is None or type(value) in (bool, int, str)


_WRITE: Final[dict[str, Callable[[Any], str]]] = {
    TEXT: checked_text, REFERENCE: checked_text, BYTES: json_items.base64_of
}  # fmt: skip


# --- forms to values ---


def _value(form: Any, depth: int) -> Any:
    kind = _checked(form, depth)
    if kind == JSON:
        if not _is_json(form["value"], depth):
            raise ValueError("its value is no JSON")
        return form["value"]
    if kind == LIST:
        return [_value(item, depth + 1) for item in _list(form["items"])]
    if kind == MAP:
        pairs = [flatten(pair, (2,)) for pair in _list(form["items"])]
        return {_value(key, depth + 1): _value(item, depth + 1) for key, item in pairs}
    if form["shape"] is None:
        return _no_value(kind)
    return _array(form, depth)[()]


def _checked(form: Any, depth: int) -> str:
    if depth > constants.METADATA_DEPTH:
        raise ValueError(f"it is nested deeper than METADATA_DEPTH, {constants.METADATA_DEPTH}")
    if not isinstance(form, dict) or not isinstance(form.get("dtype"), str):
        raise TypeError("it has no dtype")
    kind: str = form["dtype"]
    return kind


def _no_value(kind: str) -> None:
    if kind not in _NAMED:
        dtypes.parse(kind)


def _list(value: Any) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise TypeError("its items are no list")
    return value


def _array(form: Any, depth: int) -> Array:
    kind, shape = _checked(form, depth), tuple(_list(form["shape"]))
    if len(shape) > constants.NDIM or any(type(n) is not int or n < 0 for n in shape):
        raise ValueError(f"its shape is not one of at most NDIM, {constants.NDIM}, sizes")
    if kind == RECORD:
        return _records(form["fields"], shape, depth)
    if kind == VLEN:
        return _runs(form, shape, depth)
    items = flatten(form["value"], shape)
    if kind in _OBJECTS:
        return _boxed(*map(_READ[kind], items)).reshape(shape)
    dtype = dtypes.parse(kind)
    if dtype.fields is not None:
        raise ValueError(f"records have the dtype {RECORD!r} and fields")
    found = json_items.decode(items, dtype).reshape(shape)
    return found if "enum" not in form else found.astype(_enumeration(form["enum"], dtype))


def _boxed(*items: Any) -> Array:
    """Return an array of objects, some of which may be arrays; of no axis for a single one."""
    found = np.empty(len(items), object)
    for n, item in enumerate(items):
        found[n] = item
    return found.reshape(()) if len(items) == 1 else found


def _enumeration(names: Any, dtype: DType) -> DType:
    if not isinstance(names, dict) or dtype.kind not in "iu":
        raise ValueError("an enumeration has integers, and a number for each name")
    bounds = np.iinfo(dtype)
    for name, number in names.items():
        if type(name) is not str or type(number) is not int:
            raise TypeError("an enumeration has texts as names and integers as numbers")
        if not bounds.min <= number <= bounds.max:
            raise ValueError(f"{name[:40]!r} stands for a number beyond {dtype}")
    return np.dtype(dtype, metadata={"enum": dict(names)})


def _records(fields: Any, shape: tuple[int, ...], depth: int) -> Array:
    if not isinstance(fields, dict) or not 0 < len(fields) <= constants.DTYPE_FIELDS:
        raise ValueError(f"a record has 1 to DTYPE_FIELDS, {constants.DTYPE_FIELDS}, fields")
    columns: Mapping[str, Array] = {
        name: _array(field, depth + 1) for name, field in fields.items()
    }
    if any(column.shape[: len(shape)] != shape for column in columns.values()):
        raise ValueError("a field does not have the shape of its record")
    dtype = np.dtype([(name, c.dtype, c.shape[len(shape) :]) for name, c in columns.items()])
    found = np.empty(shape, dtype)
    for name, column in columns.items():
        found[name] = column
    return found


def _runs(form: Any, shape: tuple[int, ...], depth: int) -> Array:
    lengths, items = _list(form["lengths"]), _array(form["items"], depth + 1)
    if any(type(n) is not int or n < 0 for n in lengths) or items.shape != (sum(lengths),):
        raise ValueError("its lengths do not add up to its items")
    ends = itertools.accumulate(lengths)
    runs = [items[end - size : end] for end, size in zip(ends, lengths, strict=True)]
    return _boxed(*runs).reshape(shape)


def _text(item: Any) -> str:
    if type(item) is not str:
        raise TypeError(f"a text is of type {type(item).__name__}")
    return item


_READ: Final[dict[str, Callable[[Any], Any]]] = {
    TEXT: _text, BYTES: json_items.from_base64, REFERENCE: lambda item: Reference(_text(item))
}  # fmt: skip
