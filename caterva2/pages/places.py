"""Pages below ``/roots/``: a root, a directory, or a dataset."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from caterva2.names import DatasetPath, split_full
from caterva2.pages import dataset, directory
from caterva2.web.state import reader_of


async def place(request: Request) -> Response:
    """Answer with the page of what the path names."""
    root, rest = split_full(request.path_params["path"])
    below = DatasetPath(rest) if rest else ""
    entries = await reader_of(request).entries(root)
    if below in entries:
        return await dataset.show(request, root, DatasetPath(below), entries)
    return await directory.show(request, root, below, entries)


async def all_roots(_: Request) -> Response:
    """Lead from a path without a root to the list of the roots."""
    return RedirectResponse("/", 308)


ROUTES = (Route("/roots/{path:path}", place), Route("/roots", all_roots))
