"""All that a publisher does with the datasets of a container."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from caterva2.errors import CatervaError, Internal
from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.sources import versions
from caterva2.sources.base import Datasets
from caterva2.stores.containers import Trees
from tests.fuzz.targets import _files

Open = Callable[[Trees, Path, str, PublisherLimits], Datasets]
CHUNKS = 20


def read(name: str, data: bytes, opened: Open) -> None:
    """Put the bytes into a file, and read each dataset in it."""
    settled = mock.patch.object(versions, "TICK", 0.0)  # this file is not written any more
    with _files.written(name, data) as path, settled, contextlib.suppress(CatervaError):
        source = opened(Trees(), path.parent, path.name, DEFAULTS.publisher)
        try:
            _read_all(source)
        finally:
            source.close()


def _read_all(source: Datasets) -> None:
    for path in source.scan():
        try:
            info = source.info(path)
            for run in source.chunks(path, info.etag, range(min(info.nchunks, CHUNKS))):
                assert len(run.payload) == sum(run.sizes)
        except Internal:
            raise
        except CatervaError:
            continue
