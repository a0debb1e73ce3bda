"""Data of datasets: selections, chunks, whole files."""

from __future__ import annotations

import mimetypes
import re
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from caterva2.arrays import selection
from caterva2.errors import BadRequest
from caterva2.frames.sealed import Sealed
from caterva2.rest import fetch as fetch_types
from caterva2.rest import media, paths, stream
from caterva2.rest.shapes import Count
from caterva2.rest.values import files, layout
from caterva2.web import answers, conditions, ranges, streams, values
from caterva2.web.api.datasets import PRECONDITIONS, READING, read
from caterva2.web.operation import Body, Operation, Parameter, Reply
from caterva2.web.params import fetch as fetch_params
from caterva2.web.params.fetch import FetchRegion
from caterva2.web.reader import Dataset
from caterva2.web.server import bodies
from caterva2.web.state import state_of


def _warning(dataset: Dataset) -> dict[str, str]:
    return answers.warning(offline=dataset.offline)


def _file_headers(dataset: Dataset) -> dict[str, str]:
    """Return headers of answers with a whole dataset."""
    return _warning(dataset) | conditions.last_modified(dataset.info)


async def fetch(request: Request) -> Response:
    params = await fetch_params.params_of(request)

    async def work(dataset: Dataset) -> Response:
        region = await params.of(dataset.info)
        form = values.form_asked_for(request, params.format)
        if params.format is None and streams.accepted(request):
            return await streams.answer(request, dataset, region, _warning(dataset))
        if form is not None:
            return await values.answer(request, dataset, region, form, _warning(dataset))
        fetch_params.check_budget(dataset.info, region, state_of(request).limits)
        name = dataset.info.path.basename + (".b2" if dataset.info.kind == "file" else "")
        made = await _frame(request, dataset, region, name)
        made.headers["Vary"] = "Accept"
        return made

    return await read(request, work)


async def _frame(request: Request, dataset: Dataset, region: FetchRegion, name: str) -> Response:
    """Answer with a frame, stored or made; nothing is fetched if the client has this version."""
    version = dataset.info.etag
    if region.is_whole and conditions.has_version(request, version):
        tag = answers.frame_tag(version, dataset.stored)
        return answers.not_modified(tag, _file_headers(dataset))
    if request.method == "HEAD" and region.is_whole and dataset.stored is None:
        if dataset.expression:  # fails here if it can't be computed, as GET would
            await dataset.ready(selection.whole(dataset.info.shape))
        headers = {"Accept-Ranges": "bytes", "Content-Disposition": answers.disposition(name)}
        return answers.head_only(_file_headers(dataset) | headers)
    # The values and the frame of a slice exist side by side.
    size = 0 if region.is_whole else 2 * region.nbytes(dataset.info)
    answer: Response
    with await bodies.hold(request, size, computed=bool(dataset.expression)) as hold:
        frame = await dataset.frame(region.selection, region.field)
        if isinstance(frame, Sealed):
            headers = {"Content-Disposition": answers.disposition(name)}
            stored, etag = ranges.StoredFrame(frame), answers.frame_tag(version, frame)
            answer = await ranges.answer(request, stored, etag, headers, media.BINARY)
        else:
            headers = {"Accept-Ranges": "none", "ETag": answers.frame_tag(version, None)}
            answer = bodies.BudgetedBody((frame,), hold, headers, media.BINARY)
    headers = _file_headers(dataset) if region.is_whole else _warning(dataset)
    answer.headers.update(headers)
    return answer


async def chunk(request: Request) -> Response:
    text = request.query_params.get("nchunk", "")
    if not re.fullmatch(r"-?[0-9]{1,12}", text):
        raise BadRequest(f"nchunk={text[:40]!r} is not a chunk number")

    async def work(dataset: Dataset) -> Response:
        size, computed = dataset.info.chunksize, bool(dataset.expression)
        with await bodies.hold(request, size, computed=computed) as hold:
            raw = await dataset.chunk(int(text))
            return bodies.BudgetedBody((raw,), hold, _warning(dataset), media.BINARY)

    return await read(request, work)


async def chunks(request: Request) -> Response:
    text = request.query_params.get("ids", "")

    async def work(dataset: Dataset) -> Response:
        ids = fetch_types.parse_numbers(text, dataset.info.nchunks)
        return await streams.numbered(request, dataset, ids, _warning(dataset))

    return await read(request, work)


async def download(request: Request) -> Response:
    async def work(dataset: Dataset) -> Response:
        info, etag = dataset.info, f'"{dataset.info.etag}"'
        if info.kind != "file":
            whole = FetchRegion(selection.whole(info.shape))
            return await _frame(request, dataset, whole, info.path.basename)
        if conditions.has_version(request, info.etag):
            return answers.not_modified(etag, _file_headers(dataset))
        return await _plain_file(request, dataset, etag)

    return await read(request, work)


async def _plain_file(request: Request, dataset: Dataset, etag: str) -> Response:
    """Answer with the bytes that a plain file has at the publisher."""
    disposition = answers.disposition(dataset.info.path.basename)
    headers = _file_headers(dataset) | {"Content-Disposition": disposition}
    media_type = mimetypes.guess_type(dataset.info.path)[0] or media.BINARY
    return await ranges.answer(request, ranges.PlainFile(dataset), etag, headers, media_type)


_FILE_HEADERS = ("ETag", "Last-Modified", "Accept-Ranges", "Warning", "Content-Disposition")


def _bytes(description: str, *media_types: str) -> Reply:
    return Reply(description, dict.fromkeys(media_types, bytes), _FILE_HEADERS)


def _ranged(description: str, *media_types: str) -> dict[int, Reply]:
    part = dict.fromkeys((media_types[0], media.BYTE_RANGES), bytes)
    headers = (*_FILE_HEADERS, "Content-Range")
    return {
        200: _bytes(description, *media_types),
        206: Reply("one range of it, or several", part, headers),
    }


_IF_NONE_MATCH = Parameter("If-None-Match", where="header")
_CONDITIONS = (
    Parameter("Range", where="header"), Parameter("If-Range", where="header"), _IF_NONE_MATCH,
    *PRECONDITIONS,
)  # fmt: skip
_SELECTION = (
    Parameter("slice_", fetch_types.Slice, "a slice as in Python, without brackets"),
    Parameter("indices", fetch_types.Indices, "index arrays instead of a slice", as_json=True),
    Parameter("field", fetch_types.FieldName, "a field of a structured dtype"),
    Parameter("format", files.Format, "answer with a file of the values instead of a frame"),
)
_FETCHED = (
    "a Blosc2 contiguous frame, stored or made for the selection; a stream of chunks or values, or "
    "plain values, for clients that accept these; a file of the values with `format`"
)
_READ = {
    media.BINARY: bytes, stream.MEDIA_TYPE: bytes, layout.MEDIA_TYPE: bytes, media.CSV: str,
    media.JSON: Any,
}  # fmt: skip

OPERATIONS = (
    Operation(
        "GET", paths.FETCH, fetch, "Read a dataset, or a selection of it",
        _ranged(_FETCHED, media.BINARY) | {200: Reply(_FETCHED, _READ, _FILE_HEADERS)},
        failures=(304, *READING, 413, 416, 507),
        parameters=(*_SELECTION, *_CONDITIONS), checks_query=False,
    ),
    Operation(
        "POST", paths.FETCH, fetch,
        "Read a dataset, or a selection of it; the parameters are in the body",
        {200: Reply(_FETCHED, _READ, _FILE_HEADERS)},
        failures=(304, *READING, 413, 507), parameters=(_IF_NONE_MATCH, *PRECONDITIONS),
        body=Body(fetch_types.Fetch, required=False), checks_query=False,
    ),
    Operation(
        "GET", paths.CHUNK, chunk, "Read one raw chunk, as it is stored",
        {200: _bytes("a Blosc2 chunk", media.BINARY)}, failures=(*READING, 507),
        parameters=(
            Parameter("nchunk", Count, "the chunk's number", required=True), *PRECONDITIONS
        ),
    ),
    Operation(
        "GET", paths.CHUNKS, chunks, "Read several raw chunks, with their digests",
        {200: Reply("a stream of chunks", {stream.MEDIA_TYPE: bytes}, _FILE_HEADERS)},
        failures=(*READING, 507),
        parameters=(
            Parameter("ids", fetch_types.ChunkNumbers, "such as 3,8:20", required=True),
            *PRECONDITIONS,
        ),
    ),
    Operation(
        "GET", paths.DOWNLOAD, download, "Download a dataset as a file",
        _ranged("the stored frame, or a plain file's own bytes", "*/*"),
        failures=(304, *READING, 416, 507), parameters=_CONDITIONS,
    ),
)  # fmt: skip
