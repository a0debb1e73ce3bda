"""Kinds of datasets by the names of files, and the description of plain files."""

from __future__ import annotations

import os

from caterva2.limits import constants
from caterva2.model import CParams, DatasetInfo, Kind
from caterva2.names import DatasetPath
from caterva2.sources import versions

_KINDS: dict[str, Kind] = {".b2nd": "array", ".b2frame": "frame"}
RECIPE_MAGIC = b"caterva2 expression 1\n"
"""First bytes of a file that is named as an array and holds an expression."""
FILE_BLOCK = 32 * constants.KIB
FILE_CPARAMS = CParams(codec=5, clevel=1, filters=(0,) * 6, splitmode=2)
"""Compression of a plain file in caches: zstd at level 1, no filter, no splitting."""


def is_hidden(path: str) -> bool:
    """Return whether a component of a path begins with a dot."""
    return path.startswith(".") or "/." in path


def kind_of(name: str) -> Kind:
    """Return the kind of dataset that a file's name or path stands for, in any letter case."""
    return _KINDS.get(suffix(name).lower(), "file")


def without_suffix(path: DatasetPath) -> str:
    """Return the path of an array or frame without the ending that names its kind."""
    return os.path.splitext(path)[0]


def suffix(name: str) -> str:
    """Return the ending of a name, with its dot."""
    return os.path.splitext(name)[1]


def group_info(
    path: DatasetPath, etag: str, mtime: float, attrs: dict[str, bytes],
    columns: tuple[str, ...] = (), nrows: int | None = None,
) -> DatasetInfo:  # fmt: skip
    """Describe a directory, which has nothing but attributes, and columns if it is a table."""
    return DatasetInfo(
        path=path, etag=etag, mtime=mtime, kind="group", shape=(0,), chunks=(0,), blocks=(0,),
        chunksize=0, blocksize=0, nbytes=0, cbytes=0, attrs=attrs, columns=columns, nrows=nrows,
    )  # fmt: skip


def file_info(path: DatasetPath, version: versions.Version) -> DatasetInfo:
    """Describe a plain file as a byte string."""
    return DatasetInfo(
        path=path, etag=version.etag, mtime=version.mtime, kind="file",
        shape=(version.size,), chunks=(constants.FILE_CHUNK,), blocks=(FILE_BLOCK,),
        chunksize=constants.FILE_CHUNK, blocksize=FILE_BLOCK, nbytes=version.size,
        cbytes=version.size, cparams=FILE_CPARAMS,
    )  # fmt: skip
