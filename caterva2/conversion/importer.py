"""Importer: converts an HDF5 file to a directory of ``.b2nd`` arrays, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from caterva2.conversion import notes
from caterva2.conversion.report import Moved, Report
from caterva2.conversion.staged_output import staged_output
from caterva2.errors import CatervaError, StaleVersion
from caterva2.frames import attributes as frame_attributes
from caterva2.frames.writer import FrameWriter
from caterva2.limits import constants
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath
from caterva2.sources.hdf5 import attributes as hdf5attributes
from caterva2.sources.hdf5 import typed as typed_attributes
from caterva2.sources.hdf5.source import Hdf5Source
from caterva2.sources.layout import Refused

Progress = Callable[[int, int | None], None]
"""Called with the bytes of data that are done and, if known, all of them."""


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
    with staged_output(target, force, source) as new:
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

    def close(self) -> None:
        self._root.close()

    def run(self) -> None:
        self._target.mkdir()
        for name, reason in self._contents.refused.items():
            self.report.skip(name, reason)
        for group in self._contents.groups:
            self._group(group)
        total = self._contents.nbytes
        for path in (DatasetPath(row[0]) for row in self._contents.rows):
            self._progress(self._done, total)
            try:
                self._dataset(path, total)
            except StaleVersion:
                raise
            except CatervaError as error:
                self._path(path).unlink(missing_ok=True)
                self.report.skip(path.removesuffix(".b2nd"), error.detail)
        self._progress(self._done, self._done)

    def _path(self, name: str) -> Path:
        return self._target / name

    def _group(self, name: str) -> None:
        try:
            directory = self._path(DatasetPath(name) if name else "")
            directory.mkdir(exist_ok=True)
        except (CatervaError, FileNotFoundError) as error:
            self.report.skip(name, f"can't be a directory: {error}")
            return
        with self._file.reading(DatasetPath(name or "root")):
            group = self._file.file[f"/{name}"]
            attributes = hdf5attributes.read(group)
            typed, refused = typed_attributes.read(group.id)
        try:
            notes.write_group(directory, attributes, typed)
        except Refused as error:
            self.report.skip(name or "/", error.detail)
        self._report_attributes(name or "/", refused)

    def _dataset(self, path: DatasetPath, total: int) -> None:
        info, attributes = self._root.info(path), None
        used = self._file.opened(path)
        with self._file.reading(path):
            attributes = hdf5attributes.read(used.dataset)
            kept = notes.of_dataset(used.dataset, attributes)
        name = path.removesuffix(".b2nd")
        vlmeta = info.vlmeta | kept
        room = constants.VLMETA_BYTES - sum(map(len, vlmeta.values()))
        typed = frame_attributes.notes(info)
        if sum(map(len, typed.values())) <= room:
            vlmeta |= typed
        else:
            self.report.skip(f"{name}@", f"its types take more than VLMETA_BYTES leaves, {room}")
        made = DatasetInfo.model_validate(dict(info) | {"vlmeta": vlmeta})
        nbytes = used.layout.nbytes
        with FrameWriter(self._path(path), made) as writer:
            for run in self._root.chunks(path, info.etag, range(info.nchunks)):
                view, at = memoryview(run.payload), 0
                for size in run.sizes:
                    writer.add(view[at : at + size])
                    at += size
                share = (run.ids[-1] + 1) * nbytes // info.nchunks
                self._progress(self._done + share, total)
            writer.finish()
        self._done += nbytes
        prefix = f"{path}@"
        refused = {k.removeprefix(prefix): v for k, v in self._file.refused.items() if prefix in k}
        self._report_attributes(name, refused)
        self.report.moved.append(Moved(name, nbytes, used.passed, used.converted))

    def _report_attributes(self, owner: str, refused: dict[str, str]) -> None:
        for name, reason in refused.items():
            self.report.skip(f"{owner}@{name}", reason)
