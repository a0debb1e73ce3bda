"""What a subscriber makes of a source's arrays."""

from __future__ import annotations

from typing import Any

import samples

from caterva2.frames import chunk as chunks
from caterva2.frames import compose
from caterva2.names import DatasetPath
from caterva2.sources.base import Source


def path_of(name: str) -> DatasetPath:
    return DatasetPath(f"{name}.b2nd")


def values_of(source: Source, name: str) -> Any:
    """What a subscriber makes of an array: a frame of its chunks, which all pass the gate."""
    info = source.info(path_of(name))
    runs = source.chunks(path_of(name), info.etag, range(info.nchunks))
    payload = b"".join(run.payload for run in runs)
    pieces = []
    shape = chunks.ChunkShape.of("array", info.typesize, info.blocksize)
    while payload:
        size = chunks.stored_size(payload)
        chunks.check(payload[:size], shape, info.chunksize)
        pieces.append(payload[:size])
        payload = payload[size:]
    assert len(pieces) == info.nchunks
    return samples.opened(compose.frame(compose.template(info), pieces))
