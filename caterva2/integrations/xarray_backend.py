"""Caterva2Backend: groups of remote datasets as datasets and trees of xarray, read lazily."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import xarray
from xarray.backends import AbstractDataStore, BackendArray, BackendEntrypoint
from xarray.backends.store import StoreBackendEntrypoint
from xarray.core import indexing

from caterva2.client.attributes import Attributes, known
from caterva2.client.client import Client
from caterva2.client.objects.dataset import Dataset
from caterva2.client.types import Auth
from caterva2.errors import BadMessage, BadName
from caterva2.integrations import grids
from caterva2.integrations.addresses import Address, client_of, is_address

SUFFIX = ".b2nd"
PREFERRED = 2**24
"""Bytes of the pieces that dask is advised to read."""
_HIDDEN = {
    "_ARRAY_DIMENSIONS", "_NCProperties", "_Netcdf4Coordinates", "_Netcdf4Dimid", "_nc3_strict",
    "CLASS", "DIMENSION_LIST", "NAME", "REFERENCE_LIST",
}  # fmt: skip
"""Attributes by which HDF5, netCDF and zarr keep the dimensions, which ``dims`` has."""
_NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable"
_RAW = ("_FillValue", "missing_value")

Members = Mapping[str, Mapping[str, Any]]


class Caterva2Backend(BackendEntrypoint):
    """Engine ``caterva2`` of xarray, for URLs ``cat2://HOST:PORT/ROOT/PATH``."""

    description = "Open groups of datasets at a subscriber of Caterva2"
    open_dataset_parameters: ClassVar[tuple[str, ...]] = (
        "filename_or_obj", "mask_and_scale", "decode_times", "concat_characters", "decode_coords",
        "drop_variables", "use_cftime", "decode_timedelta", "group", "auth",
    )  # fmt: skip
    supports_groups = True

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether it is a URL of this kind."""
        return is_address(filename_or_obj)

    def open_dataset(
        self, filename_or_obj: Any, *, drop_variables: str | Iterable[str] | None = None,
        group: str | None = None, auth: Auth | None = None, **decoding: Any,
    ) -> xarray.Dataset:  # fmt: skip
        """Open a directory, an HDF5 or netCDF file in a root, or a group of one, in two requests.

        Parameters
        ----------
        filename_or_obj : str
        drop_variables : str or iterable of str, optional
        group : str, optional
            Below that path.
        auth : tuple of str, optional
            Name and password, as for `caterva2.Client`; by default those of the environment.
        **decoding
            As for other engines.
        """
        tree = Tree.open(filename_or_obj, group, auth)
        return tree.dataset("", _names(drop_variables), decoding)

    def open_groups_as_dict(
        self, filename_or_obj: Any, *, drop_variables: str | Iterable[str] | None = None,
        group: str | None = None, auth: Auth | None = None, **decoding: Any,
    ) -> dict[str, xarray.Dataset]:  # fmt: skip
        """Open all groups below a path; the parameters are those of `open_dataset`."""
        tree, dropped = Tree.open(filename_or_obj, group, auth), _names(drop_variables)
        return {f"/{name}": tree.dataset(name, dropped, decoding) for name in tree.groups()}

    def open_datatree(self, filename_or_obj: Any, **options: Any) -> xarray.DataTree:
        """Open all groups below a path as a tree; the parameters are those of `open_dataset`."""
        return xarray.DataTree.from_dict(self.open_groups_as_dict(filename_or_obj, **options))


class Tree:
    """What lies below a path, as it was described once.

    Parameters
    ----------
    client : Client
    path : str
        With the root.
    attrs : mapping
        Those of the path itself.
    members : mapping of str to dict
        Descriptions of all datasets below it.
    """

    def __init__(
        self, client: Client, path: str, attrs: Mapping[str, Any], members: Members
    ) -> None:
        self._client, self._path, self._attrs = client, path, attrs
        self._members = members

    @classmethod
    def open(cls, url: Any, group: str | None, auth: Auth | None) -> Tree:
        """Ask for the descriptions."""
        if not is_address(url):
            raise BadName(f"the engine caterva2 opens cat2://HOST:PORT/ROOT/PATH, not {url!r}")
        address = Address.parse(url)
        path = "/".join(part.strip("/") for part in (address.path, group or "") if part.strip("/"))
        if not path:
            raise BadName(f"{url} names no root")
        client = client_of(address.urlbase, auth)
        meta = client.get_info(path)
        members = client.get_members(path) if "shape" not in meta else {}
        if "shape" in meta or (
            meta["kind"] in ("file", "frame") and path.rpartition("/")[2] in members
        ):
            raise BadName(f"{path} is a dataset: name the directory or file that holds variables")
        return cls(client, path, known(path, meta.get("attrs", {})), members)

    def groups(self) -> list[str]:
        """Return the relative paths of all groups; the first is the empty one, of the top."""
        found = {""}
        for path, meta in self._members.items():
            if "shape" in meta:
                parts = path.split("/")[:-1]
                found.update("/".join(parts[:n]) for n in range(1, len(parts) + 1))
        return sorted(found)

    def dataset(self, group: str, dropped: set[str], decoding: Mapping[str, Any]) -> xarray.Dataset:
        """Make the dataset of a group, decoded as other engines do."""
        prefix, attrs = f"{group}/" if group else "", self._attrs
        if group:
            path = f"{self._path}/{group}"
            attrs = known(path, self._client.get_info(path).get("attrs", {}))
        variables = dict[str, xarray.Variable]()
        for path, meta in self._members.items():
            name = path[len(prefix) :].removesuffix(SUFFIX)
            if not path.startswith(prefix) or "/" in name or name in dropped:
                continue
            if "error" in meta:
                warnings.warn(f"{path} is left out: {meta['error'].get('detail')}", stacklevel=5)
            elif "shape" in meta and not _is_only_dimension(meta):
                variables[name] = self._variable(path, name, meta)
        store = _Store(variables, _plain(attrs))
        return StoreBackendEntrypoint().open_dataset(store, **decoding)

    def _variable(self, path: str, name: str, meta: Mapping[str, Any]) -> xarray.Variable:
        array = Dataset(self._client, f"{self._path}/{path}", dict(meta), pinned=True)
        dims = [dim or f"{name}_{axis}" for axis, dim in enumerate(array.dims or ())]
        dims = dims or [f"{name}_{axis}" for axis in range(array.ndim)]
        encoding = dict[str, Any]()
        if array.shape:
            sizes = grids.pieces(array.shape, array.chunks, array.dtype.itemsize, PREFERRED)
            encoding = {
                "chunksizes": array.chunks, "preferred_chunks": dict(zip(dims, sizes, strict=True))
            }  # fmt: skip
        lazy = indexing.LazilyIndexedArray(RemoteArray(array))
        return xarray.Variable(dims, lazy, _plain(array.attrs), encoding)


class _Store(AbstractDataStore):
    """The variables and attributes of one group."""

    def __init__(self, variables: dict[str, xarray.Variable], attrs: dict[str, Any]) -> None:
        self._variables, self._attrs = variables, attrs

    def get_variables(self) -> dict[str, xarray.Variable]:
        return self._variables

    def get_attrs(self) -> dict[str, Any]:
        return self._attrs

    def get_encoding(self) -> dict[str, Any]:
        return {}

    def get_dimensions(self) -> dict[str, int]:
        return {k: n for one in self._variables.values() for k, n in one.sizes.items()}

    def close(self) -> None:
        """Do nothing: connections end with the last array that uses them."""


class RemoteArray(BackendArray):
    """The values of one version of a dataset; it may be read from several threads."""

    def __init__(self, array: Dataset) -> None:
        self._array = array
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        support = indexing.IndexingSupport.OUTER
        return indexing.explicit_indexing_adapter(key, self.shape, support, self._read)

    def _read(self, key: tuple[Any, ...]) -> npt.NDArray[Any]:
        """Read what an integer, slice or index array of each axis selects, independently."""
        axes = [_simple(entry) for entry in key]
        arrays = [n for n, entry in enumerate(axes) if isinstance(entry, np.ndarray)]
        if not arrays:
            return np.asarray(self._array[tuple(axes)])
        # An integer would be an index array beside others: it is a slice until the end.
        numbers = [n for n, entry in enumerate(axes) if isinstance(entry, int)]
        for n in numbers:
            start = axes[n] % self.shape[n]
            axes[n] = slice(start, start + 1)
        for n, index in zip(arrays, np.ix_(*(axes[n] for n in arrays)), strict=True):
            axes[n] = index
        found = np.asarray(self._array[tuple(axes)])
        if arrays != list(range(arrays[0], arrays[-1] + 1)):  # numpy puts their axes first
            found = np.moveaxis(found, range(len(arrays)), arrays)
        return found.squeeze(axis=tuple(numbers))

    def __dask_tokenize__(self) -> tuple[str, ...]:
        return self._array.__dask_tokenize__()


def _simple(entry: Any) -> Any:
    """Return an entry of a key as an integer, a slice if it is one, or an array."""
    if not isinstance(entry, np.ndarray):
        return entry if isinstance(entry, slice) else int(entry)
    if entry.size > 1 and entry[0] >= 0:
        step = int(entry[1]) - int(entry[0])
        if step > 0 and bool(np.all(np.diff(entry) == step)):
            return slice(int(entry[0]), int(entry[-1]) + 1, step)
    return entry


def _names(dropped: str | Iterable[str] | None) -> set[str]:
    return {dropped} if isinstance(dropped, str) else set(dropped or ())


def _is_only_dimension(meta: Mapping[str, Any]) -> bool:
    """Whether a dataset is there for netCDF's sake only: a dimension without a variable."""
    name = Attributes(meta.get("attrs") or {}).get("NAME", "")
    text = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
    return text.startswith(_NO_VARIABLE)


def _plain(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes as other engines give them: single items are scalars, bytes are text."""
    made = dict[str, Any]()
    for name in attrs:
        if name in _HIDDEN:
            continue
        try:
            value = attrs[name]
        except BadMessage as error:
            warnings.warn(str(error), stacklevel=6)
            continue
        made[name] = value if name in _RAW and isinstance(value, bytes) else _scalar(value)
        if name in _RAW and isinstance(made[name], np.ndarray) and made[name].size == 1:
            made[name] = made[name].reshape(())[()]
    return made


def _scalar(value: Any) -> Any:
    if value is None:
        return ""  # an empty text of netCDF
    if isinstance(value, np.ndarray) and value.shape == (1,):
        value = value[0]
    if isinstance(value, np.ndarray) and value.dtype.kind in "OSU":
        return [_scalar(one) for one in value.tolist()] if value.ndim == 1 else value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value) if isinstance(value, str) else value
