"""Exporter: converts a directory of ``.b2nd`` arrays to an HDF5 file, chunk by chunk."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py

from caterva2.conversion import attributes, dataset_writer, hdf5_types, notes
from caterva2.conversion.array_writer import pairs
from caterva2.conversion.attributes import FAILURES, MADE, SCALES, Scales
from caterva2.conversion.compression import Compression
from caterva2.conversion.memory import Memory
from caterva2.conversion.named_scales import NamedScales
from caterva2.conversion.notes import Group, Notes
from caterva2.conversion.report import Moved, Report
from caterva2.conversion.staged_output import staged_output
from caterva2.conversion.tree import Tree
from caterva2.errors import CatervaError, StaleVersion
from caterva2.formats.zarr_fill_values import DIMENSIONS
from caterva2.frames import attributes as typed
from caterva2.names import DatasetPath
from caterva2.sources.directory import group_files
from caterva2.sources.directory.source import DirectorySource
from caterva2.sources.kinds import without_suffix
from caterva2.sources.layout import Refused

Progress = Callable[[int, int | None], None]
"""Called with the bytes of data that are done and, if known, all of them."""


def export_directory(
    source: Path,
    target: Path,
    force: bool = False,
    progress: Progress | None = None,
    compression: Compression = "keep",
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
    compression : str
        See `compression.Compression`.

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
        tree = Tree(source, root.scan())
        top = tree.noted("", report)
        with staged_output(target, force, source, is_directory=False) as new:
            try:
                given: dict[str, Any] = {"locking": False, "track_order": top.is_ordered}
                # Without a cache of chunks a full disk is met where they are written.
                with h5py.File(new, "w", rdcc_nbytes=0, **given) as file:
                    _Export(root, tree, file, report, progress, compression).run(top)
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
        self, root: DirectorySource, tree: Tree, file: h5py.File, report: Report,
        progress: Progress | None, compression: Compression,
    ) -> None:  # fmt: skip
        self._root, self._tree, self._file, self._report = root, tree, file, report
        self._progress = progress or (lambda *_: None)
        self._compression: Compression = compression
        self._done = 0
        self._names: dict[tuple[int, int], str] = {}
        self._scales, self._named_scales = Scales(file), NamedScales(file)
        self._later: list[tuple[h5py.HLObject, str, str, Any, Any]] = []

    def run(self, top: Group) -> None:
        for path in self._tree.others:
            self._report.leave(path, "is not an array")
        self._group("", self._file["/"], top)
        # What refers to others needs all of them.
        for later in self._later:
            self._attribute(*later)
        for owner, reason in itertools.chain(self._scales.attach(), self._named_scales.attach()):
            self._report.skip(f"{owner}@{SCALES}", reason)
        self._progress(self._done, self._done)

    def _group(self, directory: str, group: h5py.Group, kept: Group) -> None:
        """Fill a group: types first, then all else in the order of the imported file."""
        for name, described in notes.table(kept.notes, "named").items():
            try:
                hdf5_types.make(described).commit(group.id, name.encode())
            except FAILURES as error:
                self._report.skip(f"{directory}/{name}", f"can't be a type: {error}")
        dimensions = notes.table(kept.notes, "dimensions")
        for path in self._tree.children(directory, kept.order, dimensions):
            name = path.rpartition("/")[2]
            if path in self._tree.entries:
                self._array(DatasetPath(path), group)
            elif name in dimensions and not self._tree.has(path):
                self._dimension(path, group, dimensions[name])
            else:
                self._subgroup(path, group)
        self._attributes(group, directory or "/", kept.forms, kept.notes)

    def _subgroup(self, directory: str, group: h5py.Group) -> None:
        kept = self._tree.noted(directory, self._report)
        name = directory.rpartition("/")[2]
        try:
            made = group.create_group(name, track_order=kept.is_ordered)
        except FAILURES as error:
            self._report.skip(directory, f"can't be a group: {error}")
            return
        self._group(directory, made, kept)

    def _dimension(self, path: str, group: h5py.Group, kept: Notes) -> None:
        """Create a dimension of netCDF that has no variable."""
        try:
            made = dataset_writer.create_dimension(group, path.rpartition("/")[2], kept)
            packed = group_files.attributes({"values": {}} | kept)
            forms = {name: typed.unpacked(form) for name, form in packed.items()}
        except (*FAILURES, CatervaError) as error:
            self._report.skip(path, f"can't be a dimension: {error}")
        else:
            self._attributes(made, path, forms, kept)

    def _array(self, path: DatasetPath, group: h5py.Group) -> None:
        entry = self._tree.entries[path]
        self._progress(self._done, self._tree.size)
        self._done += entry.size
        try:
            self._dataset(path, group)
        except StaleVersion:
            raise
        except CatervaError as error:
            self._report.skip(path, error.detail)

    def _dataset(self, path: DatasetPath, group: h5py.Group) -> None:
        name = without_suffix(path).rpartition("/")[2]
        if name in group:
            raise Refused("has the name of a directory or another array beside it")
        identity = self._tree.identity(path)
        if identity in self._names:
            group[name] = self._file[self._names[identity]]
            self._report.moved.append(Moved(path, 0, 0, 0))
            return
        info = self._root.info(path)
        kept = notes.of_dataset(info.vlmeta)
        named = self._named(kept)
        created = dataset_writer.create(group, name, info, kept, self._compression, named)
        try:
            runs = self._root.chunks(path, info.etag, range(info.nchunks))
            moved = dataset_writer.fill(created, info, pairs(runs))
        except CatervaError:
            del group[name]
            raise
        if identity is not None:
            self._names[identity] = created.dataset.name
        forms, dims = typed.forms(info), typed.dims(info)
        if "type" not in kept:  # else HDF5's own attributes name the dimensions
            self._named_scales.note(created.dataset, dims)
            if any(dims) or not info.shape:
                forms.pop(DIMENSIONS, None)
        self._attributes(created.dataset, path, forms, kept)
        nbytes = created.dataset.size * created.dataset.dtype.itemsize
        self._report.moved.append(Moved(path, nbytes, *moved))

    def _named(self, kept: Notes) -> Any:
        found = self._file.get(str(kept.get("named") or " "))
        return found.id if isinstance(found, h5py.Datatype) else None

    def _attributes(
        self, owner: h5py.HLObject, name: str, forms: dict[str, Any], kept: Notes
    ) -> None:
        types = notes.table(kept, "types")
        for key in [*(key for key in types if key in forms), *sorted(forms.keys() - types.keys())]:
            if key in MADE:
                continue
            one = owner, name, key, forms[key], types.get(key)
            if attributes.refers(forms[key]):
                self._later.append(one)
            else:
                self._attribute(*one)
        if SCALES in forms and isinstance(owner, h5py.Dataset):
            self._scales.note(owner, name, forms[SCALES])

    def _attribute(
        self, owner: h5py.HLObject, name: str, key: str, form: Any, described: Any
    ) -> None:
        try:
            attributes.write(owner.id, key, form, described, Memory(self._address))
        except FAILURES as error:
            self._report.skip(f"{name}@{key}", f"can't be an attribute: {error}")

    def _address(self, path: str) -> int:
        if path not in self._file:
            raise ValueError(f"it refers to {path}, which is not in the file")
        return int(h5py.h5o.get_info(self._file[path].id).addr)
