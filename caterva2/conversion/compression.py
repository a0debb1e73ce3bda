"""Compression of HDF5 datasets: noted by an import, chosen by an export."""

from __future__ import annotations

from typing import Any, Literal

import h5py
import hdf5plugin
from h5py import h5z

from caterva2.conversion.hdf5_types import Described
from caterva2.model import CParams

Compression = Literal["keep", "blosc2"]
"""The filters of the imported file where they are known, or those of Blosc2 for all."""
Filters = list[list[Any]]
TYPESIZE = 255
"""Bytes of an item; HDF5's Blosc2 filter can't read what it writes of larger ones."""
LEVEL = 4
"""Of gzip, where none is known."""
BLOSC2 = 32026
CODECS: dict[int, Literal["blosclz", "lz4", "lz4hc", "zlib", "zstd"]] = {
    0: "blosclz", 1: "lz4", 2: "lz4hc", 4: "zlib", 5: "zstd",
}  # fmt: skip
_NAMES = {
    h5z.FILTER_DEFLATE: "gzip", h5z.FILTER_SHUFFLE: "shuffle", h5z.FILTER_FLETCHER32: "fletcher32",
    h5z.FILTER_LZF: "lzf", BLOSC2: "blosc2",
}  # fmt: skip


def describe(plist: Any) -> tuple[Filters, list[str]]:
    """Return the filters of a dataset, and the names of those that an export replaces."""
    found: Filters = []
    replaced = []
    for n in range(plist.get_nfilters()):
        code, _, values, name = plist.get_filter(n)
        if code == h5z.FILTER_SZIP:
            found.append(["gzip", LEVEL])
        elif code == h5z.FILTER_DEFLATE:
            found.append(["gzip", int(values[0]) if values else LEVEL])
        elif code in _NAMES:
            found.append([_NAMES[code]])
        else:
            found.append(["blosc2"])
        if code not in _NAMES:
            replaced.append(name.decode(errors="replace") or str(code))
    return found, replaced


def filters_of(noted: Any, mode: Compression, described: Described, size: int) -> Filters:
    """Return the filters that an export uses for a dataset.

    Parameters
    ----------
    noted : object
        What `describe` returned; None for an array that was not imported.
    mode : str
    described : str or list
        The type, see `hdf5_types`.
    size : int
        Bytes of an item.
    """
    filters: Filters = [["blosc2"]]
    if mode == "keep" and isinstance(noted, list | tuple):
        filters = [list(one) for one in noted]
    if size <= TYPESIZE and not _has_pointers(described):
        return filters
    # That of Blosc2 ends the process that writes items of variable length.
    others = [one for one in filters if one[0] != "blosc2"]
    return others if len(others) == len(filters) else [["shuffle"], ["gzip", LEVEL]]


def _has_pointers(described: Described) -> bool:
    if isinstance(described, str):
        return False
    kind, *rest = described
    if kind == "compound":
        return any(_has_pointers(inner) for *_, inner in rest[1])
    return kind == "vlen" or (kind == "string" and rest[0] is None) or _has_pointers_in(rest)


def _has_pointers_in(rest: list[Any]) -> bool:
    return isinstance(rest[-1], list) and _has_pointers(rest[-1])


def apply(plist: Any, filters: Filters, cparams: CParams) -> None:
    """Set the filters of a new dataset.

    Raises
    ------
    ValueError, TypeError
        If one is not known.
    """
    for name, *values in filters:
        if name == "gzip":
            (level,) = values
            plist.set_deflate(min(max(int(level), 0), 9))
        elif name == "shuffle":
            plist.set_shuffle()
        elif name == "fletcher32":
            plist.set_fletcher32()
        elif name == "lzf":
            plist.set_filter(h5z.FILTER_LZF, h5z.FLAG_OPTIONAL)
        elif name == "blosc2":
            shuffle = next((code for code in cparams.filters if code in (1, 2)), 0)
            plugin = hdf5plugin.Blosc2(CODECS[cparams.codec], cparams.clevel, shuffle)
            plist.set_filter(BLOSC2, h5z.FLAG_OPTIONAL, plugin.filter_options)
        else:
            raise ValueError(f"the filter {str(name)[:40]!r} is not known")


def is_blosc2(dataset: h5py.Dataset) -> bool:
    """Return whether the chunks of a dataset are frames of Blosc2 and nothing else."""
    plist = dataset.id.get_create_plist()
    return [plist.get_filter(n)[0] for n in range(plist.get_nfilters())] == [BLOSC2]
