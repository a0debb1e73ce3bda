"""Zip files: their directory, and the trees of datasets in them (.b2z)."""

from __future__ import annotations

import contextlib

from caterva2.errors import CatervaError
from caterva2.stores import archive
from caterva2.stores.containers import Trees
from tests.fuzz.targets import _datasets, _files


def one(data: bytes) -> None:
    with _files.written("a.b2z", data) as path, path.open("rb") as file:
        archive.names(file.fileno())
        with contextlib.suppress(CatervaError, *archive.BROKEN):
            archive.members(file.fileno())
    _datasets.read("a.b2z", data, Trees.of_zip)
