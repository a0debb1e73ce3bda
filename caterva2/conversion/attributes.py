"""Attributes of HDF5 objects with their types: read by an import, written by an export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
from h5py import h5, h5a, h5o, h5p, h5s

from caterva2.arrays import dtypes
from caterva2.arrays.attributes import BYTES, REFERENCE, TEXT, Form, value_of
from caterva2.conversion import hdf5_types
from caterva2.conversion.hdf5_types import Described
from caterva2.conversion.memory import Memory
from caterva2.errors import BadMessage
from caterva2.frames import metadata
from caterva2.limits import constants

TYPES_BYTES = 128 * 1024
"""Bytes of the types that are noted of one object."""
SCALES = "DIMENSION_LIST"
MADE = frozenset({SCALES, "REFERENCE_LIST"})
"""Attributes that HDF5 makes where scales are attached."""
FAILURES = (
    BadMessage, TypeError, ValueError, LookupError, AttributeError, OverflowError, RuntimeError
)  # fmt: skip
"""What h5py raises for what HDF5 does not support; anything else is a failure of the disk."""


@dataclass(slots=True)
class Attributes:
    """The attributes of an object: packed forms, and types in the order of their creation.

    ``refused`` has the reasons why others are left out, ``lost`` why the types of some are.
    """

    packed: dict[str, bytes] = field(default_factory=dict)
    types: dict[str, Described] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)


def read(owner: Any, packed: dict[str, bytes], refused: dict[str, str]) -> Attributes:
    """Return all attributes of an object with their types.

    Parameters
    ----------
    owner : ObjectID
        A group or dataset.
    packed, refused : dict
        What `hdf5.typed.read` returned for it.
    """
    found = Attributes(packed, {}, dict(refused))
    more = int(h5o.get_info(owner).num_attrs) - len(packed) - len(refused)
    if more > 0:
        found.refused["..."] = f"and {more} more attributes are too many"
    room = TYPES_BYTES
    for name in _in_order(owner, packed):
        described = hdf5_types.describe(h5a.open(owner, name.encode()).get_type())
        size = len(metadata.encode(described))
        if described is None or size > room:
            found.lost[name] = "has a type of which only the values are kept"
        else:
            room -= size
            found.types[name] = described
    return found


def is_ordered(plist: Any) -> bool:
    """Return whether the order in which an object's attributes were made is kept."""
    return bool(plist.get_attr_creation_order() & h5p.CRT_ORDER_TRACKED)


def _in_order(owner: Any, names: Mapping[str, bytes]) -> Iterator[str]:
    """Yield names of attributes, in the order in which they were made if that is known."""
    if h5o.get_info(owner).num_attrs > constants.ATTRS_ITEMS:  # HDF5 would sort all of them
        return iter(names)
    found: list[str] = []

    def note(name: bytes, *_: Any) -> None:
        found.append(name.decode("utf-8", "surrogateescape"))

    try:
        h5a.iterate(owner, note, index_type=h5.INDEX_CRT_ORDER)
    except (RuntimeError, ValueError, KeyError):  # it is not tracked
        found = list(names)
    return (name for name in found if name in names)


def write(owner: Any, name: str, form: Form, described: Described | None, memory: Memory) -> None:
    """Write an attribute.

    Parameters
    ----------
    owner : ObjectID
        Without an attribute of that name.
    name : str
    form : dict
        See `arrays.attributes`.
    described : str or list, optional
        The type that was noted, which is taken if it can hold the value.
    memory : Memory

    Raises
    ------
    TypeError, ValueError, KeyError, RuntimeError, BadMessage
        If HDF5 can't store it.
    """
    if form.get("shape", ()) is None:
        empty = described or _empty(form["dtype"])
        h5a.create(owner, name.encode(), hdf5_types.make(empty), h5s.create(h5s.NULL))
        return
    values = _values(form)
    if described is not None:
        try:
            raw = memory.items(described, values)
        except (TypeError, ValueError, LookupError):  # another value was put in its place
            described = None
    if described is None:
        described = hdf5_types.of_values(values)
        raw = memory.items(described, values)
    made = hdf5_types.make(described)
    space = h5s.create_simple(raw.shape) if raw.shape else h5s.create(h5s.SCALAR)
    attribute = h5a.create(owner, name.encode(), made, space)
    if raw.size:
        attribute.write(raw, mtype=made)


def refers(form: Form) -> bool:
    """Return whether references are, or are in, the items of an attribute."""
    inner = [*form.get("fields", {}).values()]
    if isinstance(form.get("items"), dict):
        inner.append(form["items"])
    return form["dtype"] == REFERENCE or any(map(refers, inner))


def _empty(dtype: str) -> Described:
    if dtype == REFERENCE:
        return hdf5_types.REFERENCE
    if dtype in (TEXT, BYTES):
        return hdf5_types.TEXT
    return hdf5_types.of_values(np.empty(0, dtypes.parse(dtype)))


def _values(form: Form) -> np.ndarray[Any, Any]:
    """Return the value of a form as an array: lists are those of numpy, if it knows them so."""
    value = value_of(form)
    if isinstance(value, np.ndarray | np.generic) and not isinstance(value, str | bytes):
        return np.asarray(value)
    if isinstance(value, dict) or value is None:
        raise TypeError(f"{'a map' if value else 'a value that is none'} is no HDF5 attribute")
    if isinstance(value, str | bytes):
        boxed = np.empty((), object)
        boxed[()] = value
        return boxed
    made = np.array(value)
    if made.dtype.kind not in "biufcUS":
        raise TypeError(f"a {type(value).__name__} of such items is no HDF5 attribute")
    return made.astype(object) if made.dtype.kind == "U" else made


class Scales:
    """Attaches the scales of datasets when all of these are in the file.

    Parameters
    ----------
    file : h5py.File
    """

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._noted: list[tuple[h5py.Dataset, str, Form]] = []

    def note(self, dataset: h5py.Dataset, owner: str, form: Form) -> None:
        """Note the form of a dataset's list of scales."""
        self._noted.append((dataset, owner, form))

    def attach(self) -> Iterator[tuple[str, str]]:
        """Attach all scales; yield the names of those that can't be, and why."""
        for dataset, owner, form in self._noted:
            try:
                runs = np.asarray(value_of(form), object).reshape(-1)
                axes = list(zip(dataset.dims, runs, strict=True))
            except FAILURES as error:
                yield owner, f"is no list of scales: {error}"
                continue
            for axis, run in axes:
                for path in np.asarray(run).reshape(-1).tolist():
                    try:
                        axis.attach_scale(self._file[str(path)])
                    except FAILURES as error:
                        yield owner, f"the scale {path} can't be attached: {error}"
