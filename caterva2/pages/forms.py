"""Forms of pages: only pages of this site may send them."""

from __future__ import annotations

import functools
import urllib.parse
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from caterva2.errors import BadForm, NotAllowed
from caterva2.web.middleware.foreign import is_foreign
from caterva2.web.operation import Handler
from caterva2.web.params import bodies
from caterva2.web.state import state_of

_FIELDS = 32


def form(path: str, handler: Handler) -> Route:
    """Make the route of a form, which refuses what a page of another site sends."""

    @functools.wraps(handler)
    async def guarded(request: Request) -> Response:
        if is_foreign(request.scope):
            raise NotAllowed("another site sent this request")
        return await handler(request)

    return Route(path, guarded, methods=["POST"])


async def fields(request: Request) -> Mapping[str, str]:
    """Read the fields of a form; `BadForm` if it is none, or has a field twice."""
    body = await bodies.read(request, "FORM_BYTES", state_of(request).limits.web.form_bytes)
    try:
        pairs = urllib.parse.parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS
        )
    except ValueError:
        raise BadForm("the body is not an URL-encoded form") from None
    given = dict(pairs)
    if len(given) < len(pairs):
        raise BadForm("a field of the form is given twice")
    return given


def see(place: str) -> Response:
    """Answer that the browser goes on to a page of this site."""
    return RedirectResponse(own(place), 303)


def own(place: str) -> str:
    """Return a path on this site, or ``/`` for anything else, such as ``//example.com``."""
    if not place.startswith("/") or place[1:2] in ("/", "\\") or any(ch < " " for ch in place):
        return "/"
    return place
