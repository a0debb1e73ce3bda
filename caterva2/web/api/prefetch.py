"""Prefetch jobs: start, progress, end."""

from __future__ import annotations

from dataclasses import asdict
from typing import cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from caterva2.model import PrefetchStatus
from caterva2.rest import paths
from caterva2.rest import prefetch as types
from caterva2.web import answers
from caterva2.web.api.datasets import READING, directory_of
from caterva2.web.operation import Operation, json_reply
from caterva2.web.reader import Prefetch
from caterva2.web.state import reader_of


def _prefetch(request: Request) -> Prefetch:
    return reader_of(request)


def _shown(status: PrefetchStatus) -> types.Prefetch:
    return cast("types.Prefetch", asdict(status))  # field by field


async def start(request: Request) -> Response:
    status = await _prefetch(request).prefetch(*directory_of(request))
    return JSONResponse(_shown(status), 202)


async def progress(request: Request) -> Response:
    return answers.json_answer(_shown(_prefetch(request).prefetching(*directory_of(request))))


async def cancel(request: Request) -> Response:
    return answers.json_answer(_shown(_prefetch(request).cancel_prefetch(*directory_of(request))))


_PROGRESS = json_reply(types.Prefetch, "the progress of the prefetch")

OPERATIONS = (
    Operation(
        "POST", paths.PREFETCH, start,
        "Fetch all of a dataset, directory or root in the background", {202: _PROGRESS},
        failures=(*READING, 429),
    ),
    Operation(
        "GET", paths.PREFETCH, progress, "Show the progress of a prefetch", {200: _PROGRESS},
        failures=(400, 404),
    ),
    Operation(
        "DELETE", paths.PREFETCH, cancel, "End a prefetch; what it fetched stays",
        {200: _PROGRESS}, failures=(400, 401, 404),
    ),
)  # fmt: skip
