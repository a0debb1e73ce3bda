"""What our own client gets of ``fetch``: raw chunks as they come in, or values if these are less.

The format is that of `caterva2.rest.stream`.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import logging
import re
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator

import numpy as np
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from caterva2 import limits
from caterva2.arrays import dtypes, selection
from caterva2.arrays.fields import Values
from caterva2.arrays.selection import IntArray, Selection
from caterva2.errors import CatervaError, Internal
from caterva2.rest import stream
from caterva2.runtime.budget import Budget, Hold
from caterva2.web import answers
from caterva2.web.params.fetch import FetchRegion, check_budget
from caterva2.web.reader import Dataset
from caterva2.web.server import bodies

log = logging.getLogger(__name__)
SMALL = 64 * limits.KIB
"""Values of so many bytes are always sent as values."""
AHEAD = 2
"""Parts that are read or fetched while an earlier one is sent, where few others are."""
PART_CHUNKS = 10_000
Part = list[bytes]


def accepted(request: Request) -> bool:
    """Whether the client reads such streams."""
    return request.method != "HEAD" and accepts(request.headers.get("accept", ""))


@functools.lru_cache(maxsize=64)  # each client sends the same one with every request
def accepts(accept: str) -> bool:
    """Whether a client that says what it accepts reads such streams."""
    for entry in accept.split(","):
        kind, _, parameters = entry.partition(";")
        if kind.strip() == stream.MEDIA_TYPE:
            return not re.search(r"\bq\s*=\s*0(\.0*)?\s*(;|$)", parameters)
    return False


async def answer(
    request: Request, dataset: Dataset, wanted: FetchRegion, headers: dict[str, str]
) -> Response:
    """A stream of what is wanted, in the form that costs less."""
    told = headers | _headers(dataset)
    plain = wanted.selection
    if isinstance(plain, Selection) and not wanted.field and not _values_are_less(dataset, plain):
        return await _chunks(request, dataset, plain, told)
    check_budget(dataset.info, wanted)
    size, computed = wanted.nbytes(dataset.info), bool(dataset.expression)
    with await bodies.room(request, size, computed=computed) as hold:
        return _made(dataset, await dataset.values(wanted.selection, wanted.field), hold, told)


def try_answer(
    dataset: Dataset, wanted: FetchRegion, budget: Budget, headers: dict[str, str]
) -> Response | None:
    """The same for a few values that are there at once; None for all others."""
    size = wanted.nbytes(dataset.info)
    hold = budget.take_now(size) if 0 < size <= SMALL else None
    if hold is None:
        return None
    with hold:
        values = dataset.try_values(wanted.selection, wanted.field)
        if values is None:
            hold.release()
            return None
        return _made(dataset, values, hold, headers | _headers(dataset))


def _headers(dataset: Dataset) -> dict[str, str]:
    return {"Accept-Ranges": "none", "ETag": f'W/"{dataset.info.etag}"', "Vary": "Accept"}


def _values_are_less(dataset: Dataset, wanted: Selection) -> bool:
    """Whether values are a good deal less than chunks, or so few that it does not matter.

    Chunks are sent in parts, as they come in, and are decoded by the client: all of these are
    reasons to prefer them.
    """
    info = dataset.info
    nbytes = wanted.size * (info.typesize if info.kind == "array" else 1)
    if nbytes <= SMALL:
        return True
    # What is computed is not stored anywhere: its chunks are as large as they are when made.
    chunk = info.chunksize if dataset.expression else info.cbytes / max(info.nchunks, 1)
    stored = selection.count_chunks(wanted, info.chunks) * chunk
    return nbytes <= stored / 2 and nbytes <= limits.OUTPUT_BYTES


def _made(dataset: Dataset, values: Values, hold: Hold, headers: dict[str, str]) -> Response:
    head = stream.begin_values(dataset.info.kind, values.shape, dtypes.describe(values.dtype))
    if values.nbytes <= SMALL:
        return bodies.BudgetedBody((head + values.tobytes(),), hold, headers, stream.MEDIA_TYPE)
    body = values.reshape(-1).view(np.uint8).data
    return bodies.BudgetedBody((head, body), hold, headers, stream.MEDIA_TYPE)


async def _chunks(
    request: Request, dataset: Dataset, wanted: Selection, headers: dict[str, str]
) -> Response:
    info = dataset.info
    most = max(1, min(limits.STREAM_PART // max(info.chunksize, 1), PART_CHUNKS))
    touched = selection.count_chunks(wanted, info.chunks)
    part = min(most, touched) * info.chunksize
    budget: Budget = request.app.state.outputs
    ahead = AHEAD if budget.used < limits.STREAMS_AHEAD else 1
    ahead = min(ahead, -(-touched // most) - 1)
    size, computed = (ahead + 1) * part, bool(dataset.expression)
    with await bodies.room(request, size, computed=computed) as hold:
        parts = _parts(dataset, wanted, most, ahead)
        # The first one is waited for, so that what is wrong can still be told by the status.
        first: Part = await anext(parts, [])
        pieces = _pieces(stream.begin_chunks(info, most), first, parts, hold)
        return StreamingResponse(pieces, 200, headers, stream.MEDIA_TYPE)


async def _parts(dataset: Dataset, wanted: Selection, most: int, more: int) -> AsyncGenerator[Part]:
    """The parts in order, some of them read ahead."""
    split = _ids(dataset, wanted, most)
    ahead: deque[asyncio.Task[Part]] = deque()
    try:
        while True:
            for ids in itertools.islice(split, more + 1 - len(ahead)):
                ahead.append(asyncio.create_task(_part(dataset, ids)))
            if not ahead:
                return
            yield await ahead[0]
            ahead.popleft()
    finally:
        for task in ahead:
            task.cancel()
        await asyncio.gather(*ahead, return_exceptions=True)


def _ids(dataset: Dataset, wanted: Selection, most: int) -> Iterator[IntArray]:
    for part, _ in selection.split(wanted, dataset.info.chunks, most):
        yield selection.box(part, dataset.info.chunks).chunk_ids


async def _part(dataset: Dataset, ids: IntArray) -> Part:
    chunks = await dataset.chunks(ids)
    return await asyncio.to_thread(_joined, chunks)


def _joined(chunks: list[bytes]) -> Part:
    """A part in pieces that are worth a system call each."""
    pieces = stream.part(chunks)
    if len(pieces) * limits.READ_PIECE // 4 <= sum(map(len, pieces)):
        return pieces
    return [b"".join(pieces)]


async def _pieces(
    begin: bytes, first: Part, parts: AsyncGenerator[Part], hold: Hold
) -> AsyncIterator[bytes | memoryview]:
    try:
        for piece in bodies.pieces(begin, *first):
            yield piece
        first = []
        async for part in parts:
            for piece in bodies.pieces(*part):
                yield piece
    except CatervaError as error:
        log.info("a stream ended early: %s", error)
        yield stream.failure(json.dumps(answers.error_body(error)).encode())
    except Exception as error:
        log.exception("a stream failed")
        fault = Internal(f"{type(error).__name__} at the subscriber")
        yield stream.failure(json.dumps(answers.error_body(fault)).encode())
    finally:
        hold.release()
        await parts.aclose()
