"""Importer of Zarr stores, chunk by chunk: chunks of Blosc are kept where that is possible."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from caterva2.conversion import array_writer, notes
from caterva2.conversion.notes import Notes
from caterva2.conversion.report import Moved, Report
from caterva2.conversion.staged_output import staged_output
from caterva2.errors import BadName, Busy, CatervaError, NotFound, StaleVersion
from caterva2.formats.zarr_metadata import ArrayMetadata
from caterva2.names import DatasetPath, group_path, is_group
from caterva2.sources.layout import Refused
from caterva2.stores.opening import open_zarr
from caterva2.stores.zarr.source import ZarrSource

Progress = Callable[[int, int | None], None]
"""Called with the bytes of data that are done and, if known, all of them."""
CHANGED = (StaleVersion, NotFound, Busy)
"""What reading raises when the store is not the one that was listed."""


def import_store(
    source: Path, target: Path, force: bool = False, progress: Progress | None = None
) -> Report:
    """Convert a Zarr store to a directory.

    Parameters
    ----------
    source : Path
        The store: a directory or a zip file.
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
    report = Report(str(source), str(target))
    with staged_output(target, force, source, is_directory=True) as new:
        root = open_zarr(source)
        try:
            _Import(root, new, report, progress).run()
        except CHANGED as error:
            raise StaleVersion(f"{source} changed while it was imported: {error.detail}") from None
        finally:
            root.close()
    return report


class _Import:
    def __init__(
        self, root: ZarrSource, target: Path, report: Report, progress: Progress | None
    ) -> None:
        self._root = root
        self._target = target
        self._report = report
        self._progress = progress or (lambda *_: None)
        self._done = 0

    def run(self) -> None:
        self._target.mkdir()
        entries = self._root.scan()
        total = sum(entry.size for entry in entries.values())
        for group in self._root.groups:
            self._group(group, group_path(group) in entries)
        for path, entry in entries.items():
            if is_group(path):
                continue
            self._progress(self._done, total)
            try:
                self._dataset(path, entry.size, total)
            except CHANGED:
                raise
            except CatervaError as error:
                self._report.skip(path.removesuffix(".b2nd"), error.detail)
            self._done += entry.size
        if self._root.scan() != entries:
            raise StaleVersion("its arrays are not those that were listed")
        self._report_notices()
        self._progress(total, total)

    def _group(self, name: str, has_attributes: bool) -> None:
        directory = self._target / name
        try:
            DatasetPath(name or "root")
            directory.mkdir(parents=True, exist_ok=True)
        except BadName as error:
            self._report.skip(name, f"can't be a directory: {error.detail}")
            return
        if has_attributes:
            notes.write_group(directory, {"attrs": self._root.info(group_path(name)).attrs})

    def _dataset(self, path: DatasetPath, size: int, total: int) -> None:
        passed, converted = self._root.passed, self._root.converted
        info = self._root.info(path)
        stored = self._root.metadata(info)
        made = notes.annotated(info, _noted(stored))

        def tell(chunks: int) -> None:
            self._progress(self._done + chunks * size // info.nchunks, total)

        file = self._target / path
        if file.is_dir():
            raise Refused("has the name of a group beside it")
        file.parent.mkdir(parents=True, exist_ok=True)
        array_writer.write(self._root, info, file, made, tell)
        kept = self._root.passed - passed
        nbytes = math.prod(info.shape) * info.typesize
        moved = Moved(path.removesuffix(".b2nd"), nbytes, kept, self._root.converted - converted)
        self._report.moved.append(moved)

    def _report_notices(self) -> None:
        """Name what the source left out, but for what is named already."""
        known = {skipped.path for skipped in self._report.skipped}
        for subject, message in self._root.notices.items():
            name = subject.replace(".b2nd@", "@").removesuffix(".b2nd")
            if name not in known:
                reason = message.removeprefix("is left out: ").removeprefix("it ")
                self._report.skip(name or "/", reason)


def _noted(stored: ArrayMetadata) -> Notes:
    """Return what an export needs to know of an array: the fill value, if it is not zero.

    That of text is not kept, since it is other bytes in other formats.
    """
    return {"fill": stored.fill} if any(stored.fill) and stored.dtype.kind != "U" else {}
