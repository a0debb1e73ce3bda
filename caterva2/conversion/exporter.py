"""Exporter: converts a directory of ``.b2nd`` arrays to an HDF5 file, chunk by chunk."""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import blosc2
import h5py
import hdf5plugin
import numpy as np
from h5py import h5s, h5t

from caterva2.arrays import dtypes
from caterva2.arrays.text import has_text
from caterva2.conversion import notes, typed_attributes
from caterva2.conversion.notes import Kept, Notes
from caterva2.conversion.report import Moved, Report
from caterva2.conversion.staged_output import staged_output
from caterva2.errors import BadMessage, CatervaError, StaleVersion
from caterva2.frames import compose
from caterva2.frames.chunk import HEADER
from caterva2.model import CParams, DatasetInfo
from caterva2.names import DatasetPath
from caterva2.sources.directory.source import DirectorySource
from caterva2.sources.hdf5 import attributes, types
from caterva2.sources.kinds import kind_of, without_suffix
from caterva2.sources.layout import Refused

Progress = Callable[[int, int | None], None]
"""Called with the bytes of data that are done and, if known, all of them."""
TYPESIZE = 255
"""Bytes of an item; HDF5's Blosc2 filter can't read what it writes of larger ones."""
FILTERS = frozenset({0, 1, 2, 3, 4})
"""Blosc2's own filters, which every HDF5 filter built on it has."""
CODECS: dict[int, Literal["blosclz", "lz4", "lz4hc", "zlib", "zstd"]] = {
    0: "blosclz", 1: "lz4", 2: "lz4hc", 4: "zlib", 5: "zstd",
}  # fmt: skip
FAILURES = (BadMessage, TypeError, ValueError, KeyError, OverflowError)
"""What h5py raises for what HDF5 does not support; anything else is a failure of the disk."""


def export_directory(
    source: Path, target: Path, force: bool = False, progress: Progress | None = None
) -> Report:
    """Convert a directory to an HDF5 file.

    Parameters
    ----------
    source : Path
        The directory.
    target : Path
        The file; it appears when it is complete.
    force : bool
        Replace a file that exists.
    progress : callable, optional

    Returns
    -------
    Report
        What was converted, and what was skipped and why.

    Raises
    ------
    CatervaError, OSError
        If it fails; nothing is left of the target then.
    """
    report = Report(str(source), str(target))
    root = DirectorySource(source, groups=False)
    try:
        with staged_output(target, force, source) as new:
            try:
                with h5py.File(new, "w", locking=False) as file:
                    _Export(root, source, file, report, progress).run()
            except (OSError, RuntimeError) as error:
                raise _failure(error, target) from None
            with new.open("rb") as written:
                os.fsync(written.fileno())
    finally:
        root.close()
    return report


def _failure(error: BaseException, target: Path) -> OSError:
    """Find the disk's error behind h5py's, which failed to write and then to close the file."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, OSError):
        found = found.__context__
    number = (found.errno if found is not None else 0) or errno.EIO
    return OSError(number, os.strerror(number), str(target))


class _Export:
    def __init__(
        self, root: DirectorySource, source: Path, file: h5py.File, report: Report,
        progress: Progress | None,
    ) -> None:  # fmt: skip
        self._root, self._source, self._file, self._report = root, source, file, report
        self._progress = progress or (lambda *_: None)
        self._done = 0
        self._referring: list[tuple[str, Callable[[], None]]] = []

    def run(self) -> None:
        entries = self._root.scan()
        total = sum(entry.size for entry in entries.values())
        for path, entry in entries.items():
            self._progress(self._done, total)
            self._done += entry.size
            if entry.kind != "array":
                self._report.leave(path, "is not an array")
                continue
            try:
                self._dataset(path)
            except StaleVersion:
                raise
            except CatervaError as error:
                self._report.skip(path, error.detail)
        self._groups()
        for name, work in self._referring:
            self._attribute(name, work)
        self._progress(self._done, self._done)

    def _groups(self) -> None:
        for where, below, _ in os.walk(self._source):
            below[:] = sorted(
                name for name in below if not name.startswith(".") and kind_of(name) == "file"
            )
            name = os.path.relpath(where, self._source)
            try:
                kept = notes.read_group(Path(where))
                group = self._file.require_group(name) if name != "." else self._file["/"]
            except (CatervaError, *FAILURES) as error:
                self._report.skip(name, f"can't be a group with its attributes: {error}")
                continue
            self._attributes(group, name if name != "." else "/", kept)

    def _dataset(self, path: DatasetPath) -> None:
        info = self._root.info(path)
        kept = notes.split(info.vlmeta)
        name = without_suffix(path)
        if name in self._file:
            raise Refused("has the name of a directory or another array beside it")
        try:
            dataset = _create(self._file, name, info, kept.notes)
        except FAILURES as error:
            raise Refused(f"has a type or grid that HDF5 can't hold: {error}") from None
        try:
            moved = self._fill(dataset, info)
        except CatervaError:
            del self._file[name]
            raise
        self._attributes(dataset, path, kept)
        self._report.moved.append(Moved(path, dataset.size * dataset.dtype.itemsize, *moved))

    def _fill(self, dataset: h5py.Dataset, info: DatasetInfo) -> tuple[int, int]:
        kept = converted = 0
        direct = (
            dataset.chunks == info.chunks
            and dataset.dtype == dtypes.parse(info.dtype)
            and dataset.dtype.itemsize <= TYPESIZE
            and FILTERS.issuperset(info.cparams.filters)
            and not types.is_padded_with(dataset.id.get_type(), h5t.STR_SPACEPAD)
        )
        parts = compose.array_template(
            info.chunks, info.chunks, info.blocks, info.dtype, info.cparams
        )
        for n, chunk in self._chunks(info):
            start = _start(info, n)
            frame = bytes(compose.frame(parts, [chunk]))
            if direct and len(chunk) > HEADER and not chunk[31] >> 4:
                dataset.id.write_direct_chunk(start, frame)
                kept += 1
            else:
                _write(dataset, start, blosc2.ndarray_from_cframe(frame)[()])
                converted += 1
        return kept, converted

    def _chunks(self, info: DatasetInfo) -> Iterator[tuple[int, memoryview]]:
        for run in self._root.chunks(info.path, info.etag, range(info.nchunks)):
            view, at = memoryview(run.payload), 0
            for n, size in zip(run.ids, run.sizes, strict=True):
                yield n, view[at : at + size]
                at += size

    def _attributes(self, owner: h5py.HLObject, name: str, kept: Kept) -> None:
        """Write attributes; those with references wait until all objects are in the file."""
        for key in kept.names:
            form, where = kept.typed(key), f"{name}@{key}"
            if form is None:
                noted = kept.types.get(key)
                write = functools.partial(attributes.write, owner, key, kept.values[key], noted)
                self._attribute(where, write)
            elif typed_attributes.refers(form):
                write = functools.partial(typed_attributes.write, owner, key, form)
                self._referring.append((where, write))
            else:
                self._attribute(where, functools.partial(typed_attributes.write, owner, key, form))

    def _attribute(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except FAILURES as error:
            self._report.skip(name, f"can't be an attribute: {error}")


def _start(info: DatasetInfo, n: int) -> tuple[int, ...]:
    grid = tuple(-(-size // chunk) for size, chunk in zip(info.shape, info.chunks, strict=True))
    where = np.unravel_index(n, grid) if grid else ()
    return tuple(int(i) * chunk for i, chunk in zip(where, info.chunks, strict=True))


def _write(dataset: h5py.Dataset, start: tuple[int, ...], values: Any) -> None:
    if values.dtype.kind == "U" and not has_text(dataset.dtype):
        try:
            values = np.char.encode(values, "utf-8").astype(dataset.dtype)
        except UnicodeEncodeError as error:
            raise Refused(f"has text that is not Unicode: {error}") from None
    # Viewed as HDF5's type of the same bytes: an enumeration, an opaque date.
    if values.dtype == dataset.dtype:
        values = np.ascontiguousarray(values).view(dataset.dtype)
    else:  # the record had padding, or there is text of variable length
        values, packed = np.zeros(values.shape, dataset.dtype), values
        values[...] = packed
    if not start:
        _put(dataset, (), values.reshape(()))
        return
    ends = zip(start, values.shape, dataset.shape, strict=True)
    stops = [min(at + n, size) for at, n, size in ends]
    clipped = tuple(slice(stop - at) for at, stop in zip(start, stops, strict=True))
    _put(dataset, start, values[clipped])


def _put(dataset: h5py.Dataset, start: tuple[int, ...], values: Any) -> None:
    stored = dataset.id.get_type()
    if not types.is_padded_with(stored, h5t.STR_NULLTERM):
        ends = zip(start, values.shape, strict=True)
        dataset[tuple(slice(at, at + size) for at, size in ends)] = values
        return
    # As HDF5 converts them, strings that need no end in numpy would lose their last byte.
    memory = file = h5s.ALL
    if start:
        memory, file = h5s.create_simple(values.shape), dataset.id.get_space()
        file.select_hyperslab(start, values.shape)
    dataset.id.write(memory, file, np.ascontiguousarray(values), mtype=stored)


def _create(file: h5py.File, name: str, info: DatasetInfo, kept: Notes) -> h5py.Dataset:
    """Create a dataset without data, as the imported one was if its notes say so."""
    stored = _type(dtypes.parse(info.dtype), kept)
    exact = stored if "string" not in kept else _string(kept["string"], stored.itemsize)
    chunks = tuple(kept["chunks"]) if "chunks" in kept else info.chunks
    given: dict[str, Any] = {}
    if chunks and 0 not in chunks:
        room = tuple(map(max, info.shape, chunks))
        given = {"chunks": chunks, **_packing(info.cparams, exact)}
        given["maxshape"] = tuple(kept.get("maxshape") or room)
    if "fill" in kept:
        given["fillvalue"] = np.frombuffer(kept["fill"], stored)[0]
    return file.create_dataset(name, info.shape, exact, **given)


def _string(described: Any, size: int) -> np.dtype[Any] | h5py.Datatype:
    """Return a noted type of strings."""
    made = types.make(list(described))
    if made.is_variable_str():
        variable: np.dtype[Any] = made.dtype
        return variable
    if made.get_size() != size:
        raise ValueError(f"its strings have {size} bytes, not {made.get_size()}")
    return h5py.Datatype(made)


def _type(dtype: np.dtype[Any], kept: Notes) -> np.dtype[Any]:
    if "enum" in kept:
        made: np.dtype[Any] = h5py.enum_dtype(kept["enum"], basetype=dtype)
        return made
    if kept.get("text") == "utf-8" and dtype.kind == "S":
        text: np.dtype[Any] = h5py.string_dtype("utf-8", dtype.itemsize)
        return text
    if "offsets" in kept:
        fields: Any = {"names": dtype.names, "formats": [dtype[name] for name in dtype.names or ()]}
        record: np.dtype[Any] = np.dtype(
            fields | {"offsets": kept["offsets"], "itemsize": kept["itemsize"]}
        )
        return record
    if dtype.names is not None:
        return _field(dtype)
    if dtype.kind == "U":  # HDF5 has no UTF-32; a character takes up to four bytes in UTF-8, too
        wide: np.dtype[Any] = h5py.string_dtype("utf-8", dtype.itemsize)
        return wide
    return h5py.opaque_dtype(dtype) if dtype.kind in "Mm" else dtype


def _field(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type of a field: text is of variable length, since HDF5 has no UTF-32."""
    if dtype.names is not None:
        return np.dtype([(name, _field(dtype[name])) for name in dtype.names])
    if dtype.subdtype is not None:
        return np.dtype((_field(dtype.base), dtype.shape))
    text: np.dtype[Any] = h5py.string_dtype() if dtype.kind == "U" else dtype
    return text


def _packing(cparams: CParams, exact: np.dtype[Any] | h5py.Datatype) -> dict[str, Any]:
    """Return the HDF5 filter that is closest to an array's compression.

    That of Blosc2 ends the process that writes text of variable length.
    """
    dtype: np.dtype[Any] = exact if isinstance(exact, np.dtype) else exact.dtype
    if dtype.itemsize > TYPESIZE or has_text(dtype):
        return {"compression": "gzip", "shuffle": True}
    shuffle = next((code for code in cparams.filters if code in (1, 2)), 0)
    return dict(
        hdf5plugin.Blosc2(cname=CODECS[cparams.codec], clevel=cparams.clevel, filters=shuffle)
    )
