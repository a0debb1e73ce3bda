"""Pages out of templates, with the headers that every page has."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from caterva2.pages import controls, figures
from caterva2.pages.assets import Assets
from caterva2.version import __version__
from caterva2.web.state import may_write, state_of, user_of

TEMPLATES = Path(__file__).parent / "templates"
CSP = "; ".join((
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data: blob:",
    "connect-src 'self'", "font-src 'self'", "media-src 'self'", "worker-src 'self'",
    "frame-src 'self'", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'",
))  # fmt: skip
HEADERS = {
    "Content-Security-Policy": CSP,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Cache-Control": "private, no-cache",
    "Vary": "Accept",
}


class Renderer:
    """Makes pages of templates.

    Parameters
    ----------
    assets : Assets
    plugins : mapping of str to Path
        Folders of plugins by their names; the names of their templates begin with
        ``plugins/NAME/``.
    prefix : str, optional
        In front of all paths that templates write.
    """

    def __init__(self, assets: Assets, plugins: Mapping[str, Path], prefix: str = "") -> None:
        own = jinja2.FileSystemLoader(TEMPLATES)
        others = jinja2.PrefixLoader(
            {name: jinja2.FileSystemLoader(folder) for name, folder in plugins.items()}
        )
        self._templates = jinja2.Environment(
            loader=jinja2.ChoiceLoader([own, jinja2.PrefixLoader({"plugins": others})]),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        names = ("size", "count", "many", "percent", "shape", "time", "day")
        self._templates.filters |= {name: getattr(figures, name) for name in names}
        self._templates.filters["visible"] = controls.visible
        self._templates.globals |= {
            "path": lambda *parts: prefix + figures.path(*parts), "query": figures.query,
            "static": lambda name: prefix + assets.url(name), "version": __version__,
        }  # fmt: skip

    def compile(self, *templates: str) -> None:
        """Compile templates ahead of their first use; blocks."""
        for name in templates:
            self._templates.get_template(name)

    def text(self, template: str, given: Mapping[str, Any]) -> str:
        """Render a template; call this in a thread where much is given."""
        return controls.visible_in(self._templates.get_template(template).render(given))


async def page(request: Request, template: str, http_status: int = 200, **given: Any) -> Response:
    """Answer with a page.

    Parameters
    ----------
    request : Request
    template : str
    http_status : int
    **given : object
        What the template shows, besides what all pages show.
    """
    renderer: Renderer = request.app.state.renderer
    accounts = state_of(request).accounts
    common = {
        "user": user_of(request),
        "accounts": accounts is not None,
        "registering": accounts is not None and accounts.registering,
        "here": state_of(request).prefix + _target(request),
        "asked": "",
        "writing": may_write(request),
        "revision": getattr(request.state, "revision", ""),
    }
    text = await asyncio.to_thread(renderer.text, template, common | given)
    return HTMLResponse(text, http_status, HEADERS)


def _target(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")
