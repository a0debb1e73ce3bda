"""Ranges of shards in memory, answered before routes, tasks and threads are involved.

A small slice by a client of Zarr is two requests, for the index of a shard and for a block. As in
`quick`, nothing is decided here that the routes would decide otherwise, and whatever is not that
easy is left to them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from caterva2.errors import CatervaError
from caterva2.frames.shards.index import ShardIndex
from caterva2.frames.shards.shard import inner_of_single
from caterva2.limits.constants import KIB
from caterva2.names import DatasetPath
from caterva2.rest import media, paths
from caterva2.web import answers, ranges
from caterva2.web.conditions import PRECONDITIONS
from caterva2.web.ranges import Span
from caterva2.web.reader import Data, Dataset
from caterva2.web.server import bodies
from caterva2.web.state import WebState
from caterva2.web.zarr import names

SMALL = 128 * KIB
"""Bytes of inner chunks that are converted at once."""
_LOOKED_AT = frozenset((b"range", b"if-range", b"if-none-match", *PRECONDITIONS))
_ZARR = paths.prefix(paths.ZARR)


class QuickShards:
    """Answer ranges of shards that take neither I/O nor much work, and pass on all others.

    Parameters
    ----------
    app : ASGIApp
    state : WebState
    """

    def __init__(self, app: ASGIApp, state: WebState) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = None
        if scope["type"] == "http" and scope["method"] == "GET":
            wanted = _conditions(scope) if scope["path"].startswith(_ZARR) else None
            if wanted is not None and not scope["query_string"]:
                with contextlib.suppress(CatervaError, HTTPException):  # the routes say it
                    answer = self._try_answer(scope, *wanted)
        await (answer or self._app)(scope, receive, send)

    def _try_answer(self, scope: Scope, wanted: str, tag: str) -> Response | None:
        found = names.split_key3(scope["path"].removeprefix(_ZARR))
        target = names.parse(found[0]) if found else None
        if found is None or target is None or not target.below:
            return None
        data: Data = self._state.readers.for_user(scope.get("state", {}).get("user"))
        dataset = data.try_dataset(target.root, DatasetPath(target.below + names.SUFFIX))
        if dataset is None or (target.version and target.version != dataset.info.etag):
            return None
        info = dataset.info
        names.check_key(found[1], info.shape, info.chunks)
        n = names.number(info, found[1])
        index = self._state.shards.get((target.root, str(info.path), info.etag, n))
        if index is None or index.count == 1 or tag not in ("", _tag(dataset, index)):
            return None
        spans = ranges.parse(wanted, index.size, 1)
        return self._cut(dataset, n, index, spans[0]) if spans else None

    def _cut(self, dataset: Dataset, n: int, index: ShardIndex, span: Span) -> Response | None:
        start, stop = span
        ids = index.touched(start, stop) if start < index.data_bytes else []
        size = stop - start + int(index.table[ids, 1].sum())
        hold = self._state.small_outputs.take_now(size) if size <= 2 * SMALL else None
        if hold is None:
            return None
        with hold:
            pieces: list[bytes | memoryview] = []
            for block in ids:
                at, length = int(index.table[block, 0]), int(index.table[block, 1])
                single = dataset.try_block(n, block)
                inner = None if single is None else inner_of_single(memoryview(single), n)
                if inner is None or len(inner) != length:
                    hold.release()
                    return None
                whole = start <= at and at + length <= stop
                pieces.append(inner if whole else memoryview(inner)[max(start - at, 0) : stop - at])
            if stop > index.data_bytes:
                first = max(start - index.data_bytes, 0)
                pieces.append(index.encode()[first : stop - index.data_bytes])
            headers = _headers(dataset, index, span)
            body = b"".join(pieces) if len(pieces) > 1 else pieces[0]
            return bodies.BudgetedBody((body,), hold, dict(headers), media.BINARY, 206)


def _headers(dataset: Dataset, index: ShardIndex, span: Span) -> Mapping[str, str]:
    return {
        "ETag": _tag(dataset, index), "Accept-Ranges": "bytes",
        "Content-Range": f"bytes {span[0]}-{span[1] - 1}/{index.size}",
    } | answers.warning(offline=dataset.offline)  # fmt: skip


def _tag(dataset: Dataset, index: ShardIndex) -> str:
    return f'"{dataset.info.etag}-{index.checksum:08x}"'


def _conditions(scope: Scope) -> tuple[str, str] | None:
    """Return the range of a request, and the tag that it must match; None for other conditions.

    tensorstore requests a block with the tag of the index.
    """
    found = {name: value for name, value in scope["headers"] if name in _LOOKED_AT}
    wanted, tag = found.pop(b"range", b""), found.pop(b"if-match", b"")
    if found or not wanted.startswith(b"bytes="):
        return None
    return wanted.decode("latin-1"), tag.decode("latin-1")
