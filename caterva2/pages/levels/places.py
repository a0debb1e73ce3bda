"""Pages below ``/roots/``: a root, a directory, or a dataset."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from caterva2.names import DatasetPath, split_full
from caterva2.pages import dataset
from caterva2.pages.levels import directory, revision, tree
from caterva2.web.state import reader_of


async def place(request: Request) -> Response:
    """Answer with the page of what the path names."""
    root, rest = split_full(request.path_params["path"])
    below = DatasetPath(rest) if rest else ""
    reader = reader_of(request)
    browser = await reader.browse(root)
    if given := await revision.answered(request, revision.of_place(reader, root, below)):
        return given
    if request.query_params.get("part") == "tree":
        return await tree.part(request, root, below, browser)
    if below and below in await reader.entries(root):
        path = DatasetPath(below)
        inside = await asyncio.to_thread((await browser.index()).below, path)
        if "tab" in request.query_params or list(inside) == [path]:
            return await dataset.show(request, root, path, browser)
    return await directory.show(request, root, below, browser)


async def all_roots(_: Request) -> Response:
    """Lead from a path without a root to the list of the roots."""
    return RedirectResponse("/", 308)


ROUTES = (Route("/roots/{path:path}", place), Route("/roots", all_roots))
