"""The REST interface: the catalogue and the data of roots."""

from __future__ import annotations

import asyncio
import contextlib
import mimetypes
import re
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from caterva2 import limits
from caterva2.arrays import selection
from caterva2.errors import BadRequest, CatervaError, NotFound, StaleVersion
from caterva2.frames.sealed import Sealed
from caterva2.names import DatasetPath, parse_full, split_full
from caterva2.version import __version__
from caterva2.web import answers, descriptions, ranges, streams
from caterva2.web.api import events, prefetch
from caterva2.web.disconnect import until_disconnected
from caterva2.web.middleware import sessions
from caterva2.web.params import fetch as wanting
from caterva2.web.params.fetch import FetchRegion
from caterva2.web.reader import Dataset, Reader, Readers
from caterva2.web.server import bodies

T = TypeVar("T")
VERSION_TRIES = 5
"""How often a read starts over because its dataset changed under it."""


def reader_of(request: Request) -> Reader:
    """The subscriber as whoever asks sees it."""
    readers: Readers = request.app.state.readers
    return readers.for_user(sessions.user_of(request))


def only(request: Request, *known: str) -> None:
    """Refuse query parameters that would be ignored: the answer would not be what was meant."""
    for name in request.query_params:
        if name not in known:
            raise BadRequest(f"unknown query parameter {name!r}")


async def read(request: Request, work: Callable[[Dataset], Coroutine[Any, Any, T]]) -> T:
    """Do something with the dataset that a request names, on one version of it."""
    root, path = parse_full(request.path_params["path"])

    async def tries() -> T:
        for _ in range(VERSION_TRIES - 1):
            # No error is kept: it would keep what its attempt holds.
            with contextlib.suppress(StaleVersion):
                return await work(await reader_of(request).dataset(root, path))
        return await work(await reader_of(request).dataset(root, path))

    try:
        return await until_disconnected(request, tries())
    except CatervaError as error:
        if error.status != 502:
            raise
        raise error.about(f"{root}/{path}") from None


# --- catalogue ---


async def roots(request: Request) -> Response:
    only(request)
    listed = {
        root.name: {
            "name": root.name, "http": root.http, "subscribed": True if root.subscribed else None
        } | ({"offline": True} if root.offline else {})
        for root in reader_of(request).roots()
    }  # fmt: skip
    return answers.json_answer(listed)


async def subscribe(request: Request) -> Response:
    only(request)
    root, _ = split_full(request.path_params["root"])
    reader = reader_of(request)
    await (reader.unsubscribe if request.method == "DELETE" else reader.subscribe)(root)
    return answers.json_answer("Ok")


async def listing(request: Request) -> Response:
    only(request)
    root, directory = split_full(request.path_params["path"])
    if directory:
        DatasetPath(directory)
    paths = list(await reader_of(request).entries(root))  # as they are now
    body = await asyncio.to_thread(descriptions.listing, f"{root}/{directory}", directory, paths)
    return Response(body, media_type="application/json")


async def info(request: Request) -> Response:
    only(request)
    root, rest = split_full(request.path_params["path"])
    if rest:
        DatasetPath(rest)
    entries = await reader_of(request).entries(root)
    if rest not in entries:
        known = list(entries.values())  # as they are now, since a thread looks at them
        group = await asyncio.to_thread(
            descriptions.group, request.path_params["path"], rest, known
        )
        return answers.json_answer(group)

    async def work(dataset: Dataset) -> Response:
        etag = f'"{dataset.info.etag}"'
        body = descriptions.dataset(dataset)
        return answers.json_answer(body, headers(dataset) | {"ETag": etag})

    return await read(request, work)


async def members(request: Request) -> Response:
    """Datasets of a root or directory, as many as one answer describes."""
    only(request, "after")
    root, rest = split_full(request.path_params["path"])
    given = request.query_params.get("after", "")
    after = (f"{rest}/{given}" if rest else given) if given else ""
    for name in (rest, after):
        if name:
            DatasetPath(name)
    reader = reader_of(request)
    found = await until_disconnected(request, reader.members(root, rest, after, limits.MEMBERS))
    if rest and not found and not after:
        raise NotFound(f"{root}/{rest} does not exist")
    body = await asyncio.to_thread(descriptions.members, rest, found)
    offline = any(status.offline for status in reader.roots() if status.name == root)
    told = answers.warning(offline=offline)
    return Response(body, headers=told, media_type="application/json")


async def listen(request: Request) -> Response:
    only(request, "root")
    return events.answer(request, reader_of(request))


# --- data ---


def headers(dataset: Dataset) -> dict[str, str]:
    return answers.warning(offline=dataset.offline)


async def fetch(request: Request) -> Response:
    asked = await wanting.asked(request)

    async def work(dataset: Dataset) -> Response:
        wanted = await asked.of(dataset.info)
        if streams.accepted(request):
            return await streams.answer(request, dataset, wanted, headers(dataset))
        wanting.check_budget(dataset.info, wanted)
        name = dataset.info.path.basename + (".b2" if dataset.info.kind == "file" else "")
        answer = await _frame(request, dataset, wanted, name)
        answer.headers["Vary"] = "Accept"
        return answer

    return await read(request, work)


async def _frame(request: Request, dataset: Dataset, wanted: FetchRegion, name: str) -> Response:
    """A frame, stored or made; what the client has already is not even fetched for it."""
    version = dataset.info.etag
    if wanted.is_whole and answers.has_version(request, version):
        tag = answers.frame_tag(version, dataset.stored)
        return answers.not_modified(tag, headers(dataset))
    if request.method == "HEAD" and wanted.is_whole and dataset.stored is None:
        if dataset.expression:  # that it can't be computed is told here too
            await dataset.ready(selection.whole(dataset.info.shape))
        told = {"Accept-Ranges": "bytes", "Content-Disposition": answers.disposition(name)}
        return answers.head_only(headers(dataset) | told)
    # The values and the frame of a slice exist side by side.
    room = 0 if wanted.is_whole else 2 * wanted.nbytes(dataset.info)
    answer: Response
    with await bodies.room(request, room, computed=bool(dataset.expression)) as hold:
        frame = await dataset.frame(wanted.selection, wanted.field)
        if isinstance(frame, Sealed):
            told = {"Content-Disposition": answers.disposition(name)}
            stored, etag = ranges.StoredFrame(frame), answers.frame_tag(version, frame)
            answer = await ranges.answer(request, stored, etag, told, answers.BINARY)
        else:
            told = {"Accept-Ranges": "none", "ETag": answers.frame_tag(version, None)}
            answer = bodies.BudgetedBody((frame,), hold, told, answers.BINARY)
    answer.headers.update(headers(dataset))
    return answer


async def chunk(request: Request) -> Response:
    only(request, "nchunk")
    text = request.query_params.get("nchunk", "")
    if not re.fullmatch(r"-?[0-9]{1,12}", text):
        raise BadRequest(f"nchunk={text[:40]!r} is not a chunk number")

    async def work(dataset: Dataset) -> Response:
        size, computed = dataset.info.chunksize, bool(dataset.expression)
        with await bodies.room(request, size, computed=computed) as hold:
            raw = await dataset.chunk(int(text))
            return bodies.BudgetedBody((raw,), hold, headers(dataset), answers.BINARY)

    return await read(request, work)


async def download(request: Request) -> Response:
    only(request)

    async def work(dataset: Dataset) -> Response:
        info, etag = dataset.info, f'"{dataset.info.etag}"'
        if info.kind != "file":
            whole = FetchRegion(selection.whole(info.shape))
            return await _frame(request, dataset, whole, info.path.basename)
        if answers.has_version(request, info.etag):
            return answers.not_modified(etag, headers(dataset))
        return await _plain_file(request, dataset, etag)

    return await read(request, work)


async def _plain_file(request: Request, dataset: Dataset, etag: str) -> Response:
    """The bytes of a plain file, as they were at the publisher."""
    told = headers(dataset) | {
        "Content-Disposition": answers.disposition(dataset.info.path.basename)
    }
    kind = mimetypes.guess_type(dataset.info.path)[0] or answers.BINARY
    return await ranges.answer(request, ranges.PlainFile(dataset), etag, told, kind)


async def prefetching(request: Request) -> Response:
    only(request)
    return await prefetch.answer(request, reader_of(request))


# --- the server itself ---


async def start_page(request: Request) -> Response:
    only(request)
    return answers.json_answer(
        {"name": "Caterva2", "version": __version__}
        | {"roots": "/api/roots", "openapi": "/api/openapi.json"}
    )


async def health(request: Request) -> Response:
    return answers.json_answer({"status": "ok"} | asdict(reader_of(request).health()))


async def description(request: Request) -> Response:
    only(request)
    return answers.json_answer(request.app.state.description)


async def metrics(request: Request) -> Response:
    lines = [f"{name} {value}" for name, value in reader_of(request).metrics().items()]
    return PlainTextResponse("\n".join(lines) + "\n")


ROUTES = [  # what is asked most comes first, since they are tried in order
    Route("/api/fetch/{path:path}", fetch, methods=["GET", "POST"]),
    Route("/api/info/{path:path}", info),
    Route("/api/chunk/{path:path}", chunk),
    Route("/api/roots", roots),
    Route("/api/subscribe/{root}", subscribe, methods=["POST", "DELETE"]),
    Route("/api/list/{path:path}", listing),
    Route("/api/members/{path:path}", members),
    Route("/api/events", listen),
    Route("/api/download/{path:path}", download),
    Route("/api/prefetch/{path:path}", prefetching, methods=["GET", "POST", "DELETE"]),
    Route("/api/openapi.json", description),
    Route("/", start_page),
    Route("/healthz", health),
    Route("/metrics", metrics),
]
