"""What users do with files on pages: copy, move and remove them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from caterva2.names import Place
from caterva2.pages import figures, forms
from caterva2.pages.accounts.trash import last_removed
from caterva2.web.disconnect import until_disconnected
from caterva2.web.state import reader_of


async def copy(request: Request) -> Response:
    """Copy a file or directory into a special root, and show the copy."""
    source, to = await _places(request)
    made = await until_disconnected(request, reader_of(request).copy(source, to))
    return forms.see(figures.path("roots", made))


async def move(request: Request) -> Response:
    """Move a file or directory, and show it at its new place."""
    source, to = await _places(request)
    made = await until_disconnected(request, reader_of(request).move(source, to))
    return forms.see(figures.path("roots", made))


async def remove(request: Request) -> Response:
    """Remove a file or directory, and show the directory that it was in, with a way back."""
    place = Place.parse((await forms.fields(request)).get("path", ""))
    above = place.path.rpartition("/")[0]  # a root itself is not removed here
    await until_disconnected(request, reader_of(request).remove(place))
    removed = await last_removed(request, place)
    index = await (await reader_of(request).browse(place.root)).index()
    while above and not index.count(above):
        above = above.rpartition("/")[0]
    query = figures.query(removed=removed and removed.ident)
    return forms.see(figures.path("roots", place.root, above) + query)


async def _places(request: Request) -> tuple[Place, Place]:
    reader_of(request).check_writing("Changing files")
    given = await forms.fields(request)
    return Place.parse(given.get("src", "")), Place.parse(given.get("dst", "").strip())


ROUTES = (
    forms.form("/change/copy", copy),
    forms.form("/change/move", move),
    forms.form("/change/remove", remove),
)
