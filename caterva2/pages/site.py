"""The application of the pages: their routes and error pages."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from caterva2.errors import CatervaError
from caterva2.pages import about, compute, failures, roots, search, status
from caterva2.pages.accounts import changes, oidc, session, settings, tokens, trash, uploads
from caterva2.pages.assets import Assets
from caterva2.pages.dataset import TABS
from caterva2.pages.display import view as display
from caterva2.pages.levels import places
from caterva2.pages.plugins.loading import installed
from caterva2.pages.plugins.tab import make_tab
from caterva2.pages.rendering import Renderer
from caterva2.web.state import WebState

ROUTES: Sequence[Route] = (
    *places.ROUTES,
    *roots.ROUTES,
    *search.ROUTES,
    *about.ROUTES,
    *status.ROUTES,
    *display.ROUTES,
    *changes.ROUTES,
    *trash.ROUTES,
    *uploads.ROUTES,
    *compute.ROUTES,
    *session.ROUTES,
    *oidc.ROUTES,
    *settings.ROUTES,
    *tokens.ROUTES,
)


def make_site(state: WebState) -> Starlette:
    """Make the application of the pages, which shares the state of the REST interface."""
    plugins = installed(tab.name for tab in TABS)
    assets = Assets({one.name: one.folder / "static" for one in plugins})

    async def icon(_: Request) -> Response:
        return RedirectResponse(assets.url("mark.svg"))

    site = Starlette(
        routes=[
            *ROUTES,
            Route("/static/{digest}/{path:path}", assets.answer),
            Route("/favicon.ico", icon),
        ],
        exception_handlers={
            CatervaError: failures.on_caterva_error,
            HTTPException: failures.on_http_error,
            Exception: failures.on_any_error,
        },
    )
    site.state.web = state
    site.state.assets = assets
    templates = {one.name: one.folder / "templates" for one in plugins}
    site.state.renderer = Renderer(assets, templates, state.prefix)
    site.state.tabs = (*TABS, *map(make_tab, plugins))
    return site


def warm_up(site: Starlette) -> None:
    """Compile the templates of the pages that most visits begin with. Blocks."""
    site.state.renderer.compile("base.html", "roots.html", "directory.html")
