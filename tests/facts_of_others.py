"""Compare dtypes, attributes and dimensions of foreign data with what is served of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np

from caterva2.arrays.attributes import Reference


def same_dtype(got: Any, expected: Any) -> bool:
    """Whether a served dtype is that of h5py or zarr; text of variable length has one that fits."""
    one, other = np.dtype(got), np.dtype(expected)
    if other.names:
        return one.names == other.names and all(
            same_dtype(one[name].base, other[name].base) for name in other.names
        )
    return one.kind in "US" if other.hasobject or other.kind == "T" else one == other.base


def attributes(owner: Any, got: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the names of all attributes of an HDF5 object, each with what became of it."""
    for name in owner.attrs:
        try:
            expected = owner.attrs[name]
        except (OSError, TypeError, ValueError) as error:
            yield name, f"h5py can't read it: {error}" if name not in got else "equal"
            continue
        if name not in got:
            yield name, "absent"
            continue
        dtype = owner.attrs.get_id(name).dtype
        if isinstance(expected, bytes) and isinstance(got[name], str):  # UTF-8 in a fixed length
            expected = expected.decode()
        one, other = plain(got[name], None), plain(expected, owner.file)
        alike = equal(one, other) and same_kind(got[name], expected, dtype)
        yield name, "equal" if alike else f"{got[name]!r}, not {expected!r}"[:300]
    for name in got.keys() - {*owner.attrs}:
        yield name, "is not in the file"


def same_kind(got: Any, expected: Any, dtype: Any) -> bool:
    """Whether an attribute has the dtype that it has in the file, and is text if it is text."""
    if isinstance(expected, str | bytes | h5py.Empty) or dtype.hasobject or dtype.kind == "S":
        return isinstance(got, bytes) == isinstance(expected, bytes)
    return bool(dtype.names) or np.asarray(got).dtype == np.asarray(expected).dtype


def plain(value: Any, file: h5py.File | None) -> Any:
    """Return a value as lists of Python's values, references as paths."""
    if isinstance(value, h5py.RegionReference | h5py.Reference):
        assert file is not None
        return file[value].name if value else ""
    if isinstance(value, h5py.Empty):
        return None
    if isinstance(value, Reference):
        return str(value)
    if isinstance(value, np.ndarray | np.generic) and not isinstance(value, str | bytes):
        if value.dtype.names:
            return [plain(value[name], file) for name in value.dtype.names]
        return plain(value.tolist(), file)
    if isinstance(value, list | tuple):
        return [plain(item, file) for item in value]
    return value


def equal(one: Any, other: Any) -> bool:
    """Whether two plain values are equal, NaNs included."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, complex) and isinstance(other, complex):
        return equal(one.real, other.real) and equal(one.imag, other.imag)
    return type(one) is type(other) and bool(one == other)


def dimensions(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the names of dimensions of all variables that netCDF's library finds in a file."""
    found: dict[str, tuple[str, ...]] = {}
    if path.suffix not in (".nc", ".nc4"):  # of others it crashes on some
        return found

    def add(group: Any, place: str) -> None:
        for name, variable in group.variables.items():
            dims = variable.dimensions
            if dims and not any(dim.startswith("phony_dim") for dim in dims):
                found[place + name] = dims
        for name, inner in group.groups.items():
            add(inner, f"{place}{name}/")

    try:
        with netCDF4.Dataset(path) as file:
            file.set_auto_maskandscale(False)
            add(file, "")
    except (OSError, RuntimeError, UnicodeDecodeError):
        return {}  # it is HDF5, and no file of netCDF's
    return found


def labelled(dataset: h5py.Dataset) -> tuple[str | None, ...]:
    """Return the names of the scales that h5py finds attached to a dataset, or the labels."""
    names = []
    for axis in dataset.dims:
        scales = [scale.name.rpartition("/")[2] for scale in axis.values()]
        names.append((scales[0] if scales else axis.label) or None)
    return tuple(names)


def groups(file: h5py.File) -> Iterator[h5py.Group]:
    """Yield the root group and all groups by their first names."""
    yield file["/"]
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Group) else None)
    for name in found:
        yield file[name]
