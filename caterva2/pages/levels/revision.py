"""Revisions: short texts by which a page finds out whether something has changed since it was made.

A page hears of changes as soon as its stream of events is open. It has the revision from before it
was made, and asks for the present one then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from caterva2.model import RootEvent, RootStatus
from caterva2.names import DatasetPath, RootName
from caterva2.pages import rendering
from caterva2.web.reader import Catalogue


async def answered(request: Request, found: Awaitable[str]) -> Response | None:
    """Answer a request for the revision alone; else note it for the page that is made now."""
    revision = await found
    if request.query_params.get("part") == "revision":
        return PlainTextResponse(revision, headers=rendering.HEADERS)
    request.state.revision = revision
    return None


async def of_place(catalogue: Catalogue, root: RootName, below: str) -> str:
    """Return the revision of a dataset; of a directory, that of its root."""
    entry = (await catalogue.entries(root)).get(DatasetPath(below)) if below else None
    version = entry.etag if entry else await catalogue.generation(root)
    return _digest(version, *[_state(one) for one in catalogue.roots() if one.name == root])


async def of_roots(catalogue: Catalogue) -> str:
    """Return the revision of the list of roots."""
    return _digest(*map(_state, catalogue.roots()))


def _state(root: RootStatus) -> tuple[RootEvent, bool]:
    """Return what of a root is an event: when it was heard is none."""
    return RootEvent.of(root), root.subscribed


def _digest(*given: object) -> str:
    return hashlib.blake2b(repr(given).encode(), digest_size=9).hexdigest()
