"""Unfinished uploads on the pages of special roots: those that can go on, and their end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from caterva2.names import RootName
from caterva2.pages import forms
from caterva2.web.contracts.editing import Unfinished
from caterva2.web.state import may_write, reader_of, state_of

DAY: Final = 86400.0
SHOWN: Final = 20
"""Unfinished uploads on a page at most; the last ones."""
_OF_A_PAGE: Final = re.compile(r"(.*) ([0-9]+) ([0-9]+)", re.DOTALL)
"""The tag that ``static/upload.js`` gives: name, size and time of the file."""


@dataclass(frozen=True, slots=True)
class Listed:
    """An unfinished upload in a list; without a name, it is not from a page."""

    ident: str
    place: str
    path: str
    tag: str
    file: str
    size: int
    offset: int
    until: float


async def below(request: Request, root: RootName, directory: str) -> Sequence[Listed]:
    """List the user's uploads to a directory or below it that wait for being gone on with."""
    if not root.is_special or not may_write(request):
        return ()
    start = f"{root}/{directory}/" if directory else f"{root}/"
    kept = DAY * state_of(request).limits.special.unfinished_days
    waiting = [
        one
        for one in await reader_of(request).uploads.all()
        if one.place.startswith(start) and not one.sending and not one.complete
    ]
    return [_listed(one, start, one.touched + kept) for one in waiting[:SHOWN]]


def _listed(one: Unfinished, start: str, until: float) -> Listed:
    tag = _OF_A_PAGE.fullmatch(one.tag)
    file = tag[1] if tag and int(tag[2]) == one.size else ""
    path = one.place.removeprefix(start)
    return Listed(one.ident, one.place, path, one.tag, file, one.size, one.offset, until)


async def discard(request: Request) -> Response:
    """Give an upload up, and show the page again that it was listed on."""
    given = await forms.fields(request)
    await reader_of(request).uploads.cancel(given.get("id", ""))
    return forms.see(given.get("back", "/"))


ROUTES = (forms.form("/change/discard", discard),)
