"""Exporter to a Zarr store of version 3, chunk by chunk: stored blocks are kept where possible."""

from __future__ import annotations

import json
import math
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from caterva2.arrays import dtypes
from caterva2.arrays.attributes import TEXT, Form
from caterva2.conversion import notes
from caterva2.conversion.array_writer import pairs
from caterva2.conversion.notes import Group
from caterva2.conversion.report import Moved, Report
from caterva2.conversion.staged_output import staged_output
from caterva2.conversion.tree import Tree
from caterva2.conversion.zarr.chunk_files import ChunkFiles
from caterva2.errors import CatervaError, StaleVersion
from caterva2.formats import zarr_attributes, zarr_documents
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath
from caterva2.runtime import durable
from caterva2.sources.directory.source import DirectorySource
from caterva2.sources.kinds import without_suffix

METADATA, ZIP = "zarr.json", ".zip"
Progress = Callable[[int, int | None], None]
"""Called with the bytes of data that are done and, if known, all of them."""


def export_store(
    source: Path, target: Path, force: bool = False, progress: Progress | None = None
) -> Report:
    """Convert a directory to a Zarr store.

    Parameters
    ----------
    source : Path
        The directory.
    target : Path
        The store, a directory, or a zip file if its name ends so; it appears when it is complete.
    force : bool
        Replace a target of its kind that exists.
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
        tree = Tree(source, root.scan())
        is_zip = target.suffix.lower() == ZIP
        with staged_output(target, force, source, is_directory=not is_zip) as new:
            store = new.with_name("store") if is_zip else new
            _Export(root, tree, store, report, progress).run()
            if is_zip:
                _zip(store, new)
            else:
                durable.sync_tree(store)
    finally:
        root.close()
    return report


class _Export:
    def __init__(
        self, root: DirectorySource, tree: Tree, target: Path, report: Report,
        progress: Progress | None,
    ) -> None:  # fmt: skip
        self._root, self._tree, self._target, self._report = root, tree, target, report
        self._progress = progress or (lambda *_: None)
        self._done = 0
        self._documents: dict[str, Any] = {}

    def run(self) -> None:
        for path in self._tree.others:
            self._report.leave(path, "is not an array")
        top = self._group("")
        metadata = {name: self._documents[name] for name in sorted(self._documents) if name}
        consolidated = {"kind": "inline", "must_understand": False, "metadata": metadata}
        _write(self._target / METADATA, _text(top | {"consolidated_metadata": consolidated}))
        self._progress(self._done, self._done)

    def _group(self, directory: str) -> dict[str, Any]:
        """Write a group with all that is in it; return its metadata."""
        kept = self._tree.noted(directory, self._report)
        made = zarr_documents.group3(zarr_attributes.attributes(_single(kept.forms)), {})
        place = self._target / directory
        place.mkdir()
        self._documents[directory] = made
        for path in self._tree.children(directory, []):
            if path in self._tree.entries:
                self._array(DatasetPath(path))
            elif path.rpartition("/")[2] == METADATA:
                self._report.skip(path, f"has the name of a group's {METADATA}")
            else:
                self._group(path)
        self._leave_dimensions(directory, kept)
        if directory:
            _write(place / METADATA, _text(made))
        return made

    def _leave_dimensions(self, directory: str, kept: Group) -> None:
        for name in notes.table(kept.notes, "dimensions"):
            path = f"{directory}/{name}".strip("/")
            self._report.leave(path, "is a dimension without a variable, which Zarr has not")

    def _array(self, path: DatasetPath) -> None:
        entry = self._tree.entries[path]
        self._progress(self._done, self._tree.size)
        self._done += entry.size
        name = without_suffix(path)
        if self._tree.has(name) or name in self._documents:
            self._report.skip(path, "has the name of a directory or another array beside it")
            return
        try:
            self._dataset(path, name)
        except StaleVersion:
            raise
        except CatervaError as error:
            shutil.rmtree(self._target / name, ignore_errors=True)
            self._report.skip(path, error.detail)

    def _dataset(self, path: DatasetPath, name: str) -> None:
        info, place = self._root.info(path), self._target / name
        files = ChunkFiles(info, _fill(info))
        document = files.document()
        place.mkdir()
        count = 0
        for n, chunk in pairs(self._root.chunks(path, info.etag, range(info.nchunks))):
            content = files.content(chunk, n)
            if content is not None:
                _write(place / files.key(n), content)
            count += 1
        _write(place / METADATA, _text(document))
        self._documents[name] = document
        nbytes = info.typesize * math.prod(info.shape)
        if files.are_raw:
            self._report.leave(path, f"its dtype {info.dtype[:100]}: Zarr has bytes instead")
        kept = count if files.are_kept else 0
        self._report.moved.append(Moved(path, nbytes, kept, count - kept))


def _single(forms: dict[str, Form]) -> dict[str, Form]:
    """Return forms in which a text is one, where netCDF has a list of one text for it."""
    return {
        name: form | {"shape": [], "value": form["value"][0]}
        if form["dtype"] == TEXT and form["shape"] == [1]
        else form
        for name, form in forms.items()
    }


def _fill(info: DatasetInfo) -> bytes:
    """Return the fill value that is noted of an array; empty for zeros, and for text."""
    noted, dtype = notes.of_dataset(info.vlmeta).get("fill"), dtypes.parse(info.dtype)
    if not isinstance(noted, bytes) or dtype.kind == "U":
        return b""
    return noted if len(noted) == dtype.itemsize else b""


def _text(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2).encode()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(content)


def _zip(store: Path, target: Path) -> None:
    """Move a store to a zip file, whose members are as they are, and flush that to the disk."""
    with target.open("xb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, strict_timestamps=False) as made:
            for where, below, names in os.walk(store):
                below.sort()
                for path in (Path(where, name) for name in sorted(names)):
                    made.write(path, path.relative_to(store))
                    path.unlink()  # so that both together take little more than one
        file.flush()
        os.fsync(file.fileno())
