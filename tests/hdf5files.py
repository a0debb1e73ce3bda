"""HDF5 files of every kind of dataset, as others might have written them."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np

PADDED = np.dtype({"names": ["a", "b"], "formats": ["i1", "<f8"], "offsets": [0, 8]})
TURNED = np.dtype({"names": ["a", "b"], "formats": ["<f4", "<f4"], "offsets": [4, 0]})
NESTED = np.dtype([("x", "<i2"), ("y", [("re", ">f8"), ("tag", "S3")]), ("z", "<f4", (2, 3))])
NOISE = np.random.default_rng(1).normal(size=600_000).round(1)
DATES = np.arange("2026-01", "2026-09", dtype="M8[M]")
COLOURS = h5py.enum_dtype({"RED": 0, "GREEN": 1}, basetype="i2")

FILTERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "gzip": {"compression": "gzip"},
    "gzip-shuffle": {"compression": "gzip", "shuffle": True},
    "lzf": {"compression": "lzf"},
    "szip": {"compression": "szip"},
    "fletcher32": {"fletcher32": True},
    "blosc2": dict(hdf5plugin.Blosc2()),
    "blosc2-fletcher32": {**hdf5plugin.Blosc2(), "fletcher32": True},
    "shuffle-blosc2": {**hdf5plugin.Blosc2(), "shuffle": True},
    "blosc": dict(hdf5plugin.Blosc()),
    "bitshuffle": dict(hdf5plugin.Bitshuffle()),
    "lz4": dict(hdf5plugin.LZ4()),
    "zstd": dict(hdf5plugin.Zstd()),
}


def kinds(dtype: str, size: int) -> Any:
    """Some values of a dtype, no two of them alike where that can be."""
    return np.arange(size).astype(dtype)


def values() -> dict[str, tuple[Any, dict[str, Any]]]:
    """Datasets by name: what they hold, and how they are made."""
    cube = np.random.default_rng(0).integers(0, 9, (30, 20, 10)).astype("<i4")
    found: dict[str, tuple[Any, dict[str, Any]]] = {
        f"filter-{name}": (cube, {"chunks": (7, 8, 9), **given}) for name, given in FILTERS.items()
    }
    found["filter-scaleoffset"] = cube, {"chunks": (7, 8, 9), "scaleoffset": 0}
    for code in ("?", "i1", "u2", ">i4", "u8", "f2", ">f4", "f8", "c8", "c16", "S5", "S300"):
        found[f"dtype-{code.replace('?', 'bool')}"] = kinds(code, 60), {"chunks": (7,)}
        found[f"blosc2-{code.replace('?', 'bool')}"] = (
            kinds(code, 60), {"chunks": (7,), **hdf5plugin.Blosc2()}
        )  # fmt: skip
    for name, dtype in {"padded": PADDED, "turned": TURNED, "nested": NESTED}.items():
        record = np.zeros(50, dtype)
        for field in ("a", "b", "x", "z"):
            if field in (dtype.names or ()):
                record[field] = np.arange(record[field].size).reshape(record[field].shape)
        found[f"record-{name}"] = record, {"chunks": (9,)}
        found[f"record-{name}-blosc2"] = record, {"chunks": (9,), **hdf5plugin.Blosc2()}
    return found | {
        "enum": (np.array([0, 1, 1], COLOURS), {}),
        "opaque": (np.array([b"abc", b"x\0y"], "V3"), {}),
        "date": (DATES.astype(h5py.opaque_dtype(DATES.dtype)), {}),
        "contiguous": (cube, {}),
        "scalar": (np.float64(1.5), {}),
        "scalar-string": (np.bytes_(b"hello"), {}),
        "scalar-record": (np.zeros((), PADDED), {}),
        "empty": (np.zeros((0, 4), "f4"), {}),
        "empty-chunked": (np.zeros((0, 4), "f4"), {"maxshape": (None, 4), "chunks": (16, 4)}),
        "wide-chunk": (np.arange(3), {"maxshape": (None,), "chunks": (1024,)}),
        "wide-chunk-blosc2": (
            np.arange(3), {"maxshape": (None,), "chunks": (1024,), **hdf5plugin.Blosc2()}
        ),
        "16-d": (np.arange(2**16).reshape((2,) * 16), {}),
        "zeros-blosc2": (np.zeros((50, 50)), {"chunks": (20, 20), **hdf5plugin.Blosc2()}),
        "many-blocks": (NOISE, {"chunks": (2**18,), **hdf5plugin.Blosc2(clevel=1)}),
        "odd-blocks": (NOISE, {"chunks": (400_000,), **hdf5plugin.Blosc2(clevel=1)}),
    }  # fmt: skip


MANY_ATTRIBUTES = 200


def write(path: Path) -> dict[str, Any]:
    """A file with all of `values`, and some datasets of which a part was never written."""
    path.write_bytes(_content())
    return read(path)


@functools.cache
def _content() -> bytes:
    """What `write` writes: making it takes long, and many tests do with it."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for name, (data, given) in values().items():
            file.create_dataset(f"group/{name}", data=data, **given)
        for name in ("plain", "gzip", "blosc2"):
            sparse = file.create_dataset(
                f"sparse/{name}", (40, 40), "f4", chunks=(9, 9), fillvalue=7.5, **FILTERS[name]
            )
            sparse[10:13, 20:30] = 1
            masked = file.create_dataset(
                f"masked/{name}", (20,), "<i4", chunks=(8,), **FILTERS[name]
            )
            masked[:] = np.arange(20)
            if FILTERS[name]:
                raw = np.arange(8, dtype="<i4")[::-1].tobytes()
                masked.id.write_direct_chunk((8,), raw, filter_mask=1)
        for n in range(MANY_ATTRIBUTES):
            file["masked/plain"].attrs[f"attribute {n}"] = n
        layout = h5py.VirtualLayout((2, 20), "<i4")
        for row, name in enumerate(("plain", "gzip")):
            layout[row] = h5py.VirtualSource(".", f"/masked/{name}", (20,))
        file.create_virtual_dataset("virtual", layout)
        file["hard"] = file["group/contiguous"]
        file["soft"] = h5py.SoftLink("group/contiguous")
    return content.getvalue()


def read(path: Path) -> dict[str, Any]:
    """The values of a file that `write` wrote."""
    with h5py.File(path) as file:
        return {name: file[name][()] for name in _datasets(file)}


def _datasets(file: h5py.File) -> list[str]:
    found: list[str] = []
    file.visititems(lambda n, o: found.append(n) if isinstance(o, h5py.Dataset) else None)
    return sorted({*found, "hard", "soft"})


def write_refused(path: Path, outside: Path) -> dict[str, str]:
    """A file with one good dataset and every kind that is left out; their reasons, in part."""
    with h5py.File(outside, "w") as file:
        file["secret"] = np.arange(10)
    outside.with_suffix(".raw").write_bytes(b"secret" * 100)
    with h5py.File(path, "w") as file:
        file["good"] = np.arange(5)
        file["external-link"] = h5py.ExternalLink(outside.name, "/secret")
        file["soft-to-external"] = h5py.SoftLink("/external-link")
        file["dangling"] = h5py.SoftLink("/nowhere")
        file["circle"] = h5py.SoftLink("/circle")
        file["group/up"] = file["/"]
        file.create_dataset("vlen-items", (3,), h5py.vlen_dtype("i4"))
        file.create_dataset("reference", (3,), h5py.ref_dtype)
        file["null"] = h5py.Empty("f8")
        file["17-d"] = np.zeros((1,) * 17)
        file["type"] = np.dtype("i4")
        file.create_dataset(
            "external-storage", (10,), "u1", external=[(outside.with_suffix(".raw").name, 0, 10)]
        )
        for name, source in {"virtual-outside": outside.name, "virtual-storage": "."}.items():
            layout = h5py.VirtualLayout((10,), "<i8")
            inner = "/secret" if source != "." else "/external-storage"
            layout[:] = h5py.VirtualSource(source, inner, (10,), "<i8")
            file.create_virtual_dataset(name, layout)
        layout = h5py.VirtualLayout((10,), "<i8")
        layout[:] = h5py.VirtualSource(".", "/external-link", (10,), "<i8")
        file.create_virtual_dataset("virtual-by-link", layout)
        file.create_dataset("too-many-chunks", (2**23,), "u1", chunks=(1,))
        file["back\\slash"] = 1
        file.create_dataset("a", data=1)
        file.create_dataset("a.b2nd/x", data=1)
    return {
        "external-link": "out of the file", "soft-to-external": "out of the file",
        "dangling": "nowhere", "circle": "circle", "group/up": "group / above it",
        "vlen-items": "variable length", "reference": "references",
        "null": "empty dataspace", "17-d": "dimensions",
        "type": "named type", "external-storage": "other files", "virtual-outside": "virtual",
        "virtual-storage": "other files", "virtual-by-link": "out of the file",
        "too-many-chunks": "chunks", "back\\slash": "backslash", "a.b2nd": "beside it",
    }  # fmt: skip
