"""The page of the trash: what a user removed, its way back, and its end."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from caterva2.errors import BadForm, CatervaError, NotAllowed
from caterva2.names import Place
from caterva2.pages import failures, figures, forms, rendering
from caterva2.pages.levels.directory import ROWS, paged
from caterva2.web.contracts.editing import Trashed
from caterva2.web.disconnect import until_disconnected
from caterva2.web.state import reader_of, state_of

DAY = 86400.0


async def page(request: Request) -> Response:
    """Answer with the list of what was removed, the last one first."""
    return await _page(request, None)


async def _page(request: Request, error: CatervaError | None) -> Response:
    items = await reader_of(request).trash()
    shown = paged(request, len(items))
    start = (shown.number - 1) * ROWS
    days = state_of(request).limits.special.trash_days
    return await rendering.page(
        request, "accounts/trash.html", error.status if error else 200,
        items=items[start : start + ROWS], pages=shown, first=start + 1, count_all=len(items),
        size=sum(item.size for item in items), days=days, kept=DAY * days,
        error=error and failures.sentence(error),
    )  # fmt: skip


async def restore(request: Request) -> Response:
    """Move something back to where it was, and show it there."""
    ident = (await forms.fields(request)).get("id", "")
    try:
        path = await until_disconnected(request, reader_of(request).restore(ident))
    except CatervaError as error:
        return await _page(request, error)
    return forms.see(figures.path("roots", path))


async def empty(request: Request) -> Response:
    """Remove something in the trash for good, or all of it."""
    given = await forms.fields(request)
    try:
        if not given.get("id") and given.get("all") != "1":
            raise BadForm("the form names nothing in the trash")
        work = reader_of(request).empty_trash(given.get("id", ""))
        await until_disconnected(request, work)
    except CatervaError as error:
        return await _page(request, error)
    return forms.see("/trash")


async def last_removed(request: Request, place: Place) -> Trashed | None:
    """Return what a place had before it was removed.

    None if that is not in the trash, or the token of the request is not for the trash.
    """
    try:
        items = await reader_of(request).trash()
    except NotAllowed:
        return None
    return next((one for one in items if (one.root, one.below) == (place.root, place.path)), None)


ROUTES = (
    Route("/trash", page),
    forms.form("/change/restore", restore),
    forms.form("/change/empty", empty),
)
