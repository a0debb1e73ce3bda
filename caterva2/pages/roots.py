"""The first page: all roots with their states, and what is done with them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from caterva2.errors import CatervaError
from caterva2.model import Entry, RootStatus
from caterva2.names import RootName, outermost
from caterva2.pages import forms, rendering
from caterva2.web.reader import Catalogue
from caterva2.web.state import reader_of

_WAIT = 2.0
"""Seconds for the names of a root's datasets, which are known of all roots but for new ones."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A root with what is known of it; figures are None of one that is not subscribed to."""

    status: RootStatus
    datasets: int | None = None
    size: int | None = None
    changed: float = 0.0
    trouble: str = ""

    @property
    def state(self) -> str:
        """One word for the state, which names its style too."""
        if self.status.name.is_special:
            return "yours" if self.status.name == "@personal" else "shared"
        if self.status.offline:
            return "offline"
        return "live" if self.status.subscribed else "available"


async def first_page(request: Request) -> Response:
    """Answer with the list of the roots."""
    catalogue: Catalogue = reader_of(request)
    found = await asyncio.gather(*(_shown(catalogue, one) for one in catalogue.roots()))
    return await rendering.page(request, "roots.html", roots=found)


async def _shown(catalogue: Catalogue, status: RootStatus) -> Shown:
    if not status.subscribed:
        return Shown(status)
    try:
        async with asyncio.timeout(_WAIT):
            known = list((await catalogue.entries(status.name)).values())
    except (CatervaError, TimeoutError) as error:
        return Shown(status, trouble=str(error) or "its datasets are not known yet")
    size, changed = await asyncio.to_thread(_figures, known)
    return Shown(status, len(known), size, changed)


def _figures(entries: Collection[Entry]) -> tuple[int, float]:
    by_path = {entry.path: entry for entry in entries}
    size = sum(by_path[path].size for path in outermost(by_path))
    return size, max((entry.mtime for entry in entries), default=0.0)


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
