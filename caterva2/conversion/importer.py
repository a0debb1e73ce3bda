"""Importer: converts an HDF5 file to a directory of ``.b2nd`` arrays, chunk by chunk."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from h5py import h5o

from caterva2.conversion import array_writer, attributes, compression, hdf5_notes, hdf5_types, notes
from caterva2.conversion.attributes import Attributes
from caterva2.conversion.hdf5_notes import named_type
from caterva2.conversion.hdf5_types import Described
from caterva2.conversion.notes import Notes
from caterva2.conversion.report import Moved, Report
from caterva2.conversion.staged_output import staged_output
from caterva2.errors import CatervaError, StaleVersion
from caterva2.hdf5 import typed
from caterva2.hdf5.links import root_of
from caterva2.hdf5.source import Hdf5Source
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath

Progress = Callable[[int, int | None], None]
"""Called with the bytes of data that are done and, if known, all of them."""
Named = dict[str, dict[str, Described]]


def import_file(
    source: Path, target: Path, force: bool = False, progress: Progress | None = None
) -> Report:
    """Convert an HDF5 file to a directory.

    Parameters
    ----------
    source : Path
        The HDF5 file.
    target : Path
        The directory; it appears when it is complete.
    force : bool
        Replace a directory that exists.
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
    with staged_output(target, force, source, is_directory=True) as new:
        work = _Import(source, new, Report(str(source), str(target)), progress)
        try:
            work.run()
        finally:
            work.close()
    return work.report


class _Import:
    def __init__(
        self, source: Path, target: Path, report: Report, progress: Progress | None
    ) -> None:
        self.report = report
        self._root = Hdf5Source(source)
        try:
            self._file = self._root.file()
            self._contents = self._file.contents()
        except CatervaError as error:
            self._root.close()
            raise error.about(str(source)) from None
        self._target = target
        self._progress = progress or (lambda *_: None)
        self._done = 0
        self._met: dict[int, DatasetPath] = {}

    def close(self) -> None:
        self._root.close()

    def run(self) -> None:
        self._target.mkdir()
        named, dimensions = self._types(), self._dimensions()
        for group in self._contents.groups:
            self._group(group, named.get(group, {}), dimensions.get(group, {}))
        for path in (DatasetPath(row[0]) for row in self._contents.rows):
            self._tell(self._done)
            try:
                self._dataset(path)
            except StaleVersion:
                raise
            except CatervaError as error:
                self.report.skip(path.removesuffix(".b2nd"), error.detail)
        self._progress(self._done, self._done)

    def _path(self, name: str) -> Path:
        return self._target / name

    def _types(self) -> Named:
        """Describe the types that have names in the file, by groups and their own names."""
        found: Named = defaultdict(dict)
        root = root_of(self._file.file)
        for name, reason in self._contents.refused.items():
            with self._file.reading(DatasetPath("root")):
                stored = named_type(root, name)
            described = None if stored is None else hdf5_types.describe(stored)
            if described is None:
                self.report.skip(name, reason)
            else:
                group, _, own = name.rpartition("/")
                found[group][own] = described
        return found

    def _dimensions(self) -> dict[str, dict[str, Notes]]:
        """Note the dimensions without a variable, by groups and their own names."""
        found: dict[str, dict[str, Notes]] = defaultdict(dict)
        for name in self._contents.dimensions:
            with self._file.reading(DatasetPath(name)):
                dataset = self._file.file[f"/{name}"]
                attrs = attributes.read(dataset.id, *typed.read(dataset.id))
                group, _, own = name.rpartition("/")
                found[group][own] = hdf5_notes.of_dimension(dataset, attrs)
            self._report_attributes(name, attrs)
        return found

    def _group(self, name: str, named: dict[str, Described], dimensions: dict[str, Notes]) -> None:
        try:
            directory = self._path(DatasetPath(name) if name else "")
            directory.mkdir(exist_ok=True)
        except (CatervaError, FileNotFoundError) as error:
            self.report.skip(name, f"can't be a directory: {error}")
            return
        with self._file.reading(DatasetPath(name or "root")):
            group = self._file.file[f"/{name}"].id
            found = attributes.read(group, *typed.read(group))
            kept = hdf5_notes.of_group(group, found, named, dimensions)
        for left in notes.write_group(directory, kept):
            self.report.skip(name or "/", f"is imported without the {left} that is too large")
        self._report_attributes(name or "/", found)

    def _tell(self, done: int) -> None:
        """Report the progress; text takes more than was known when the file was listed."""
        self._progress(done, max(done, self._contents.nbytes))

    def _dataset(self, path: DatasetPath) -> None:
        used, name = self._file.opened(path), path.removesuffix(".b2nd")
        info = self._root.info(path)
        with self._file.reading(path):
            status = h5o.get_info(used.dataset.id)
            found = attributes.read(used.dataset.id, info.attrs, self._refused(path))
            made = notes.annotated(info, hdf5_notes.of_dataset(used.dataset, found))
            replaced = compression.describe(used.dataset.id.get_create_plist())[1]
            keeps_type = hdf5_notes.keeps_type(used.dataset)
        nbytes = used.layout.nbytes
        former = self._met.get(status.addr)
        if former is None or not self._linked(former, path):
            self._write(path, info, made, nbytes)
            self.report.moved.append(Moved(name, nbytes, used.passed, used.converted))
            self._report_attributes(name, found)
            if not keeps_type:
                self.report.skip(name, "is of a type of which only the values are kept")
            for filter_name in replaced:
                self.report.leave(name, f"its filter {filter_name}: an export uses another one")
            self._met[status.addr] = path
        else:
            self.report.moved.append(Moved(name, 0, 0, 0))
        self._done += nbytes

    def _refused(self, path: DatasetPath) -> dict[str, str]:
        """Return why attributes of a dataset that was described are left out."""
        return dict(self._file.refused.get(path, {}))

    def _linked(self, former: DatasetPath, path: DatasetPath) -> bool:
        """Give a file a second name, as its dataset has one; return whether the disk can do so."""
        try:
            os.link(self._path(former), self._path(path))
        except OSError:
            return False
        return True

    def _write(self, path: DatasetPath, info: DatasetInfo, made: DatasetInfo, nbytes: int) -> None:
        def tell(chunks: int) -> None:
            self._tell(self._done + chunks * nbytes // info.nchunks)

        array_writer.write(self._root, info, self._path(path), made, tell)

    def _report_attributes(self, owner: str, found: Attributes) -> None:
        """Name what is left out, and what no export can bring back."""
        for name, reason in (found.refused | found.lost).items():
            self.report.skip(f"{owner}@{name}", reason)
