"""The page with datasets that a search has found."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from caterva2.pages import rendering
from caterva2.pages.levels.directory import listed
from caterva2.web.api.search import Search, started_by
from caterva2.web.disconnect import until_disconnected

FILTERS = ("dtype", "ndim", "shape", "attr")


async def search(request: Request) -> Response:
    """Answer with the datasets of all roots that fit what is asked for."""
    given = request.query_params
    asked = given.get("q", "").strip()
    filters = {name: given.get(name, "").strip() for name in FILTERS}
    done: Search | None = None
    if asked or any(filters.values()):
        done = started_by(request)
        await until_disconnected(request, done.all_roots())
    found = [(root, listed(path, member)) for root, path, member in done.found] if done else []
    return await rendering.page(
        request, "search.html", asked=asked, filters=filters, found=found, done=done
    )


ROUTES = (Route("/search", search),)
