"""The page that says how the subscriber is, for those who may see what is of all roots."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from caterva2.pages import rendering
from caterva2.web.state import reader_of

_SHOWN = 200
"""Roots on the page; those without a publisher come first."""


async def status(request: Request) -> Response:
    """Answer with what is wrong and what to do, the broker, the cache and the roots."""
    reader = reader_of(request)
    reader.check_watching()
    found = await reader.status()
    roots = sorted(found["roots"], key=lambda one: (one["state"] == "up", one["name"]))
    cached = sum(one["cache_reads"] for one in roots)
    return await rendering.page(
        request, "status.html", found=found, roots=roots[:_SHOWN], more=len(roots[_SHOWN:]),
        cached=cached, reads=cached + sum(one["publisher_reads"] for one in roots),
    )  # fmt: skip


ROUTES = (Route("/status", status),)
