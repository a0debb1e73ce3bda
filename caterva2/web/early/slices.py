"""Early answers to ``fetch``: small slices of data in memory."""

from __future__ import annotations

import functools
from typing import ClassVar

from caterva2.arrays import dtypes
from caterva2.names import DatasetPath, RootName, parse_full
from caterva2.rest import paths, stream
from caterva2.web import answers, streams
from caterva2.web.early import kind
from caterva2.web.early.kind import Data, Found
from caterva2.web.params import fetch as fetch_params
from caterva2.web.server.early import Asked


class Slices:
    """Values, for clients that read streams."""

    call: ClassVar = paths.prefix(paths.FETCH).rstrip("/")
    prefix: ClassVar = paths.prefix(paths.FETCH).encode()
    status: ClassVar = 200
    start: ClassVar = b"HTTP/1.1 200 OK\r\n"
    lends: ClassVar = True

    def takes(self, asked: Asked) -> bool:
        return not asked.tag and streams.accepts(asked.accept.decode("latin-1"))

    def find(self, data: Data, path: bytes, query: bytes, asked: Asked) -> Found | None:
        params = fetch_params.params_of_query(query)
        left = params.large or params.format is not None
        dataset = None if left else data.try_dataset(*_dataset(path))
        if dataset is None:
            return None
        info = dataset.info
        region = params.at_once(info)
        if not 0 < region.nbytes(info) <= streams.SMALL:
            return None
        values = dataset.try_values(region.selection, region.field)
        if values is None:
            return None
        head = stream.begin_values(info.kind, values.shape, dtypes.describe(values.dtype))
        return Found(_headers(info.etag, dataset.offline), head + values.tobytes())


@functools.lru_cache(maxsize=256)  # a few paths account for most requests
def _dataset(path: bytes) -> tuple[RootName, DatasetPath]:
    return parse_full(kind.name_of(path, Slices.prefix))


@functools.lru_cache(maxsize=256)
def _headers(etag: str, offline: bool) -> bytes:
    given = {"Content-Type": stream.MEDIA_TYPE} | answers.warning(offline=offline)
    return kind.lines(given | streams.headers_of(etag))
