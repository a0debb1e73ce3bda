"""Answers of ``fetch`` in the stream format: raw chunks while they arrive, or values.

The format is that of `caterva2.rest.stream`.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator

import numpy as np
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from caterva2.arrays import dtypes, selection
from caterva2.arrays.fields import Values
from caterva2.arrays.selection import IntArray, Selection
from caterva2.errors import CatervaError, Internal
from caterva2.limits import WebLimits
from caterva2.limits.constants import KIB, READ_PIECE
from caterva2.model import DatasetInfo
from caterva2.names import parse_full
from caterva2.rest import stream
from caterva2.rest.errors import error_body
from caterva2.runtime.budget import Hold
from caterva2.runtime.logs.bounded import BoundedLog
from caterva2.web import answers
from caterva2.web.params.fetch import FetchRegion, check_budget
from caterva2.web.reader import Dataset
from caterva2.web.server import bodies
from caterva2.web.state import reader_of, state_of

log = logging.getLogger(__name__)
_bounded = BoundedLog(log)
SMALL = 64 * KIB
"""Bytes up to which values are always sent as values: chunks would gain nothing."""
_AHEAD = 2
"""Parts that are read while an earlier one is sent, as long as few others are."""
_SMALLER = 2
"""How many times smaller parts are while others are sent: large ones cost less, and more memory."""
_PART_CHUNKS = 10_000
"""Chunks of a part, however small: their sizes are a table at its beginning."""
Part = list[bytes]


class _OfRegion:
    """The chunks that a region touches."""

    checked = False

    def __init__(self, dataset: Dataset, region: Selection) -> None:
        self._region, self._grid = region, dataset.info.chunks
        self.count = selection.count_chunks(region, self._grid)

    def split(self, most: int) -> Iterator[IntArray]:
        for part, _ in selection.split(self._region, self._grid, most):
            yield selection.box(part, self._grid).chunk_ids


class _Numbered:
    """Chunks by their numbers."""

    checked = True

    def __init__(self, ids: IntArray) -> None:
        self._ids, self.count = ids, len(ids)

    def split(self, most: int) -> Iterator[IntArray]:
        for start in range(0, self.count, most):
            yield self._ids[start : start + most]


_Wanted = _OfRegion | _Numbered


def accepted(request: Request) -> bool:
    """Return whether the client of a request reads streams."""
    return request.method != "HEAD" and accepts(request.headers.get("accept", ""))


def accepts(accept: str) -> bool:
    """Return whether an Accept header names the media type of streams."""
    return answers.accepts(accept, stream.MEDIA_TYPE)


async def answer(
    request: Request, dataset: Dataset, region: FetchRegion, headers: dict[str, str]
) -> Response:
    """Answer with a stream of a region, as chunks or as values, whichever costs less."""
    headers = headers | headers_of(dataset.info.etag)
    limits = state_of(request).limits
    if isinstance(region.selection, Selection) and not region.field:
        plain = region.selection
        if not _values_are_less(dataset, plain, limits.web.output_bytes):
            return await _chunks(request, dataset, _OfRegion(dataset, plain), headers)
    check_budget(dataset.info, region, limits)
    size, computed = region.nbytes(dataset.info), bool(dataset.expression)
    with await bodies.hold(request, size, computed=computed) as hold:
        values = await dataset.values(region.selection, region.field)
        return _values(dataset, values, hold, headers)


def headers_of(etag: str) -> dict[str, str]:
    """Return the headers of any stream of a version."""
    return {"Accept-Ranges": "none", "ETag": f'W/"{etag}"', "Vary": "Accept"}


def _values_are_less(dataset: Dataset, region: Selection, max_bytes: int) -> bool:
    """Return whether values are at most half as many bytes as chunks, or few anyway.

    Otherwise chunks are better: they are sent while they arrive, and the client decodes them.
    """
    info = dataset.info
    nbytes = region.size * (info.typesize if info.kind == "array" else 1)
    if nbytes <= SMALL:
        return True
    # A computed array is stored nowhere: its chunks are as large as their values.
    chunk = info.chunksize if dataset.expression else info.cbytes / max(info.nchunks, 1)
    stored = selection.count_chunks(region, info.chunks) * chunk
    return nbytes <= stored / 2 and nbytes <= max_bytes


def _values(dataset: Dataset, values: Values, hold: Hold, headers: dict[str, str]) -> Response:
    head = stream.begin_values(dataset.info.kind, values.shape, dtypes.describe(values.dtype))
    if values.nbytes <= SMALL:
        return bodies.BudgetedBody((head + values.tobytes(),), hold, headers, stream.MEDIA_TYPE)
    body = values.reshape(-1).view(np.uint8).data
    return bodies.BudgetedBody((head, body), hold, headers, stream.MEDIA_TYPE)


async def numbered(
    request: Request, dataset: Dataset, ids: IntArray, headers: dict[str, str]
) -> Response:
    """Answer with a stream of chunks by their numbers, with their digests."""
    return await _chunks(request, dataset, _Numbered(ids), headers | headers_of(dataset.info.etag))


async def _chunks(
    request: Request, dataset: Dataset, wanted: _Wanted, headers: dict[str, str]
) -> Response:
    info, state = dataset.info, state_of(request)
    max_chunks, ahead = _division(info, state.outputs.used, state.limits.web)
    touched = wanted.count
    ahead = min(ahead, -(-touched // max_chunks) - 1)
    size = (ahead + 1) * min(max_chunks, touched) * info.chunksize
    with await bodies.hold(request, size, computed=bool(dataset.expression)) as hold:
        parts = _parts(dataset, wanted, max_chunks, ahead, _check_of(request))
        # Waiting for the first part lets an error be the answer's status.
        first: Part = await anext(parts, [])
        pieces = _pieces(stream.begin_chunks(info, max_chunks), first, parts, hold)
        return StreamingResponse(pieces, 200, headers, stream.MEDIA_TYPE)


def _division(info: DatasetInfo, used: int, limits: WebLimits) -> tuple[int, int]:
    """Return the most chunks of a part, and the parts to read ahead, by what other answers take."""
    few = used < limits.streams_ahead
    part, ahead = (limits.stream_part, _AHEAD) if few else (limits.stream_part // _SMALLER, 1)
    return max(1, min(part // max(info.chunksize, 1), _PART_CHUNKS)), ahead


async def _parts(
    dataset: Dataset, wanted: _Wanted, max_chunks: int, ahead: int, check: Callable[[], object]
) -> AsyncGenerator[Part]:
    """Yield the parts in order, each after a check, and read ``ahead`` of them ahead."""
    split = wanted.split(max_chunks)
    tasks: deque[asyncio.Task[Part]] = deque()
    try:
        while True:
            for ids in itertools.islice(split, ahead + 1 - len(tasks)):
                tasks.append(asyncio.create_task(_part(dataset, ids, wanted.checked)))
            if not tasks:
                return
            part = await tasks[0]
            check()
            yield part
            tasks.popleft()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _check_of(request: Request) -> Callable[[], object]:
    """Return what raises an error once the user may not read the root any more."""
    named = request.path_params.get("path")
    if named is None:  # nothing stored
        return lambda: None
    return functools.partial(reader_of(request).try_dataset, *parse_full(named))


async def _part(dataset: Dataset, ids: IntArray, checked: bool) -> Part:
    chunks = await dataset.chunks(ids)
    return await asyncio.to_thread(_joined, chunks, checked)


def _joined(chunks: list[bytes], checked: bool) -> Part:
    """Return a part in pieces that are each worth a system call."""
    pieces = stream.part(chunks, checked=checked)
    if len(pieces) * READ_PIECE // 4 <= sum(map(len, pieces)):
        return pieces
    return [b"".join(pieces)]


async def _pieces(
    begin: bytes, first: Part, parts: AsyncGenerator[Part], hold: Hold
) -> AsyncIterator[bytes | memoryview]:
    try:
        async for piece in bodies.in_turns(begin, *first):
            yield piece
        first = []
        async for part in parts:
            async for piece in bodies.in_turns(*part):
                yield piece
    except CatervaError as error:
        _bounded.note(logging.INFO, "a stream ended early: %s", error)
        yield stream.failure(json.dumps(error_body(error)).encode())
    except Exception as error:
        log.exception("a stream failed")
        fault = Internal(f"{type(error).__name__} at the subscriber")
        yield stream.failure(json.dumps(error_body(fault)).encode())
    finally:
        hold.release()
        await parts.aclose()
