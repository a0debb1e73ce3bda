"""The page about this server and the software of its pages."""

from __future__ import annotations

import tomllib
from importlib import metadata

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from caterva2.pages import rendering
from caterva2.pages.assets import Assets
from caterva2.web.state import reader_of

_PARTS = ("blosc2", "numpy", "starlette", "uvicorn", "jinja2", "markdown-it-py", "pygments")


async def about(request: Request) -> Response:
    """Answer with versions and licences."""
    assets: Assets = request.app.state.assets
    built = tomllib.loads(assets.files["plots/VERSIONS"].plain.decode())
    return await rendering.page(
        request, "about.html", health=reader_of(request).health(),
        parts=[(name, metadata.version(name)) for name in _PARTS], packages=built["packages"],
    )  # fmt: skip


ROUTES = (Route("/about", about),)
