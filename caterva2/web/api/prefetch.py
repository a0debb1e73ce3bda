"""Prefetching over HTTP: to ask for it, to see how far it is, to end it."""

from __future__ import annotations

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from caterva2.names import DatasetPath, split_full
from caterva2.web.reader import Reader


async def answer(request: Request, reader: Reader) -> Response:
    """The state of the job that the path names, after what the method asks for."""
    root, below = split_full(request.path_params["path"])
    if below:
        DatasetPath(below)
    if request.method == "POST":
        return JSONResponse(asdict(await reader.prefetch(root, below)), 202)
    look = reader.cancel_prefetch if request.method == "DELETE" else reader.prefetching
    return JSONResponse(asdict(look(root, below)))
