"""Chunks as they are stored, of one version of an array."""

from __future__ import annotations

from caterva2.client.errors import PreconditionFailed
from caterva2.client.read.values import Source
from caterva2.client.transport import Transport
from caterva2.errors import StaleVersion
from caterva2.rest import paths
from caterva2.rest.paths import relative


def chunk(transport: Transport, source: Source, nchunk: int) -> bytes:
    """Return the bytes of a chunk.

    Raises
    ------
    StaleVersion
        If the dataset has another version.
    """
    if (kept := transport.kept.chunk(source, nchunk)) is not None:
        return kept
    path, version = source.path, source.version
    headers = {"If-Match": f'"{version}"'} if version else {}
    query = {"nchunk": str(nchunk)}
    try:
        return bytes(transport.request("GET", relative(paths.CHUNK, path), query, headers).body)
    except PreconditionFailed:
        raise StaleVersion(f"{path} changed: refresh() it") from None
