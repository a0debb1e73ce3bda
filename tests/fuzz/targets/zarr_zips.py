"""Zip files with a Zarr store in them."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

from caterva2.limits import PublisherLimits
from caterva2.sources.base import Datasets
from caterva2.sources.chunk_source import ChunkSource
from caterva2.stores.containers import Trees, _zarr_zip
from tests.fuzz.targets import _datasets


def _opened(_: Trees, directory: Path, path: str, limits: PublisherLimits) -> Datasets:
    return _zarr_zip(directory, path, limits)


def one(data: bytes) -> None:
    # A source makes an error of ours of any that it did not expect: here that is a fault.
    with mock.patch.object(ChunkSource, "_asked", lambda _, subject, ask: ask()):
        _datasets.read("a.zip", data, _opened)
