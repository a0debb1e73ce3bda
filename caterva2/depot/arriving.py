"""Chunks that arrive over REST: requested by their numbers, checked, and stored."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from caterva2.cache.replica import Replica
from caterva2.client.errors import Unreachable
from caterva2.client.read import stream as reading
from caterva2.client.read.stream import Arrived
from caterva2.client.read.values import Source
from caterva2.client.transport import Transport
from caterva2.depot import needs
from caterva2.frames import chunk as chunks
from caterva2.frames.chunk import ChunkShape
from caterva2.frames.raw import crc32
from caterva2.model import DatasetInfo
from caterva2.names import parse_full
from caterva2.rest import paths, stream
from caterva2.rest.fetch import number_texts
from caterva2.rest.paths import relative

Ids = npt.NDArray[np.int64]
Part = Arrived
MOST = 100_000
"""Chunks of one request."""
_TRIES = 2


def fetched(transport: Transport, source: Source, ids: Ids) -> Iterator[tuple[DatasetInfo, Part]]:
    """Yield chunks of a version as they arrive, by parts; each has the right digest.

    What is yielded is overwritten by the next part.

    Raises
    ------
    PreconditionFailed, StaleVersion
        If the dataset has another version.
    Missing
        If there is no such dataset, or the subscriber does not send chunks by their numbers.
    Unreachable
        If no answer comes, or one that is damaged on its way each time.
    """
    for text, some in number_texts(ids, MOST):
        rest, asked, tries = some, some, _TRIES
        while len(rest):
            try:
                for info, part in _requested(transport, source, text, asked):
                    yield info, part
                    rest, tries = rest[len(part.ids) :], _TRIES
            except _Disturbed as error:  # perhaps behind the last chunk, where nothing is missing
                tries -= 1
                if not tries:
                    raise Unreachable(f"{source.path}: {error}") from None
            if len(rest):
                text, asked = next(number_texts(rest, MOST))


class _Disturbed(Exception):
    """An answer broke off, as where the machine slept, or a chunk was damaged on its way."""


def _requested(
    transport: Transport, source: Source, text: str, ids: Ids
) -> Iterator[tuple[DatasetInfo, Part]]:
    headers = {"If-Match": f'"{source.version}"'} if source.version else {}
    target = relative(paths.CHUNKS, source.path)
    with transport.stream("GET", target, {"ids": text}, headers) as response:
        reader = reading.Reader(response)
        head = reader.head
        if not isinstance(head, stream.ChunksHead):
            raise Unreachable(f"{source.path}: received values instead of chunks")
        info = head.info  # before anything of the sizes that it claims is received
        if not needs.fits(info, source, parse_full(source.path)[1]):
            raise Unreachable(f"received chunks of {info.path} {info.etag} for {source.path}")
        parts = reader.numbered(ids)
        while (part := _next(parts)) is not None:
            yield info, part


def _next(parts: Iterator[Part]) -> Part | None:
    try:
        part = next(parts, None)
    except Unreachable as error:
        raise _Disturbed(str(error)) from None
    if part is not None:
        _verify(part)
    return part


def _verify(part: Part) -> None:
    at = 0
    for n, size, digest in zip(
        part.ids.tolist(), part.sizes.tolist(), part.digests.tolist(), strict=True
    ):
        if size > stream.SPECIAL:
            continue
        if crc32(part.payload[at : at + size]) != digest:
            raise _Disturbed(f"chunk {n} was damaged on its way")
        at += size


def store(replica: Replica, part: Part) -> int:
    """Store the chunks of a part that are missing; return their bytes.

    Raises
    ------
    SourceCorrupt, CodecNotAllowed
        If the gate refuses one.
    """
    missing = set(replica.missing(part.ids).tolist())
    ids, pieces, digests = [], [], []
    at = 0
    listed = zip(part.ids.tolist(), part.sizes.tolist(), part.digests.tolist(), strict=True)
    for n, size, digest in listed:
        if size > stream.SPECIAL:
            piece = memoryview(_special(replica.info, n, size - stream.SPECIAL))
            digest = crc32(piece)
        else:
            piece = part.payload[at : at + size]
            at += size
        if n in missing:
            replica.check(n, piece)
            ids.append(n)
            pieces.append(piece)
            digests.append(digest)
    if not ids:
        return 0
    whole = at == len(part.payload) and sum(map(len, pieces)) == at
    payload = part.payload if whole else memoryview(b"".join(pieces))
    replica.add(ids, list(map(len, pieces)), digests, payload)
    return len(payload)


def _special(info: DatasetInfo, n: int, kind: int) -> bytes:
    shape = ChunkShape.of(info.kind, info.typesize, info.blocksize)
    return chunks.from_offset((0x80 | kind) << 56, shape, info.chunk_nbytes(n))
