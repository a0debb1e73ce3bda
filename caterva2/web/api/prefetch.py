"""Prefetch jobs: start, progress, end."""

from __future__ import annotations

from dataclasses import asdict
from typing import cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from caterva2.arrays import selection
from caterva2.model import PrefetchStatus
from caterva2.names import RootName
from caterva2.rest import paths
from caterva2.rest import prefetch as types
from caterva2.web import answers
from caterva2.web.api.datasets import READING, directory_of
from caterva2.web.operation import Operation, Parameter, json_reply
from caterva2.web.reader import Prefetch
from caterva2.web.state import reader_of


def _prefetch(request: Request) -> Prefetch:
    return reader_of(request)


def _goal(request: Request) -> tuple[RootName, str, str]:
    """Return the root, the path below it, and the slice that a request names."""
    part = request.query_params.get("slice_", "").strip()
    selection.parse_key(part)  # refused here if it is none, whatever it is of
    return *directory_of(request), part


def _shown(status: PrefetchStatus) -> types.Prefetch:
    return cast("types.Prefetch", asdict(status))  # field by field


async def start(request: Request) -> Response:
    status = await _prefetch(request).prefetch(*_goal(request))
    return JSONResponse(_shown(status), 202)


async def progress(request: Request) -> Response:
    return answers.json_answer(_shown(_prefetch(request).prefetching(*_goal(request))))


async def cancel(request: Request) -> Response:
    return answers.json_answer(_shown(_prefetch(request).cancel_prefetch(*_goal(request))))


_SLICE = Parameter("slice_", str, "the part of an array that is fetched, such as 0:10,5")
_PROGRESS = json_reply(types.Prefetch, "the progress of the prefetch")

OPERATIONS = (
    Operation(
        "POST", paths.PREFETCH, start,
        "Fetch a dataset or a slice of it, a directory or a root in the background",
        {202: _PROGRESS}, failures=(*READING, 429), parameters=(_SLICE,),
    ),
    Operation(
        "GET", paths.PREFETCH, progress, "Show the progress of a prefetch", {200: _PROGRESS},
        failures=(400, 404), parameters=(_SLICE,),
    ),
    Operation(
        "DELETE", paths.PREFETCH, cancel, "End a prefetch; what it fetched stays",
        {200: _PROGRESS}, failures=(400, 401, 404), parameters=(_SLICE,),
    ),
)  # fmt: skip
