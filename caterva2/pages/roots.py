"""The first page: all roots with their states, and what is done with them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from caterva2.browsing.details import RootDetails
from caterva2.errors import CatervaError
from caterva2.model import RootStatus
from caterva2.names import PERSONAL, RootName
from caterva2.pages import figures, forms, rendering
from caterva2.pages.levels import revision
from caterva2.web.reader import Catalogue
from caterva2.web.state import reader_of

_WAIT = 2.0
"""Seconds for the names of a root's datasets, which are known of all roots but for new ones."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A root with what is known of it; nothing is of one that is not subscribed to."""

    status: RootStatus
    details: RootDetails | None = None
    trouble: str = ""

    @property
    def state(self) -> str:
        """One word for the state, which names its style too."""
        if self.status.name.is_special:
            return "yours" if self.status.name == PERSONAL else "shared"
        if self.status.offline:
            return "offline"
        if not self.status.subscribed:
            return "available"
        if self.status.mirrored:
            return "mirrored"
        return self.details.state if self.details else "live"

    @property
    def by_mirrors(self) -> str:
        """One line about the mirrors that its data passes; empty without."""
        way = self.status.way
        if way is None or not way.path:
            return ""
        text = f"by {len(way.path)} mirror{'s' if len(way.path) > 1 else ''} at {way.via}"
        if not self.status.mirrored:
            return text
        as_of = "" if way.as_of is None else f", as of {figures.time(way.as_of)}"
        return f"{text}; its publisher is away{as_of}"


async def first_page(request: Request) -> Response:
    """Answer with the list of the roots."""
    catalogue: Catalogue = reader_of(request)
    if given := await revision.answered(request, revision.of_roots(catalogue)):
        return given
    found = await asyncio.gather(*(_shown(catalogue, one) for one in catalogue.roots()))
    return await rendering.page(request, "roots.html", roots=found)


async def _shown(catalogue: Catalogue, status: RootStatus) -> Shown:
    if not status.subscribed:
        return Shown(status)
    try:
        async with asyncio.timeout(_WAIT):
            return Shown(status, await catalogue.details(status.name))
    except (CatervaError, TimeoutError) as error:
        return Shown(status, trouble=str(error) or "its datasets are not known yet")


async def subscribe(request: Request) -> Response:
    """Subscribe to a root, and show it."""
    root = RootName((await forms.fields(request)).get("root", ""))
    await reader_of(request).subscribe(root)
    return forms.see(f"/roots/{root}")


async def leave(request: Request) -> Response:
    """Stop following a root; what is cached stays."""
    root = RootName((await forms.fields(request)).get("root", ""))
    await reader_of(request).unsubscribe(root)
    return forms.see("/")


ROUTES = (
    Route("/", first_page),
    forms.form("/change/subscribe", subscribe),
    forms.form("/change/leave", leave),
)
