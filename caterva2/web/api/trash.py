"""The trash of the special roots: what was removed, and its way back."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from caterva2.errors import NotFound
from caterva2.rest import paths
from caterva2.rest.shapes import Count
from caterva2.rest.special import TrashItem, TrashList
from caterva2.web import answers
from caterva2.web.contracts.editing import Editor, Trashed
from caterva2.web.descriptions import timestamp
from caterva2.web.disconnect import until_disconnected
from caterva2.web.operation import Operation, json_reply
from caterva2.web.state import reader_of, state_of


def _editor(request: Request) -> Editor:
    return reader_of(request)


def _item(item: Trashed, kept: float) -> TrashItem:
    return {
        "id": item.ident, "path": f"{item.root}/{item.below}".rstrip("/"),
        "removed": timestamp(item.removed), "expires": timestamp(item.removed + kept),
        "size": item.size,
    }  # fmt: skip


async def trash(request: Request) -> Response:
    items = await _editor(request).trash()
    kept = 86400.0 * state_of(request).limits.special.trash_days
    listed: TrashList = {
        "items": [_item(item, kept) for item in items], "size": sum(item.size for item in items)
    }  # fmt: skip
    return answers.json_answer(listed)


async def restore(request: Request) -> Response:
    work = _editor(request).restore(request.path_params["item"])
    return answers.json_answer(await until_disconnected(request, work))


async def empty(request: Request) -> Response:
    ident = request.path_params.get("item")
    if ident == "":  # which is no item, and not all of them
        raise NotFound("the path names nothing in the trash")
    work = _editor(request).empty_trash(ident or "")
    return answers.json_answer(await until_disconnected(request, work))


_FAILURES = (401, 403, 404, 503, 504)
_BYTES = json_reply(Count, "their bytes")

OPERATIONS = (
    Operation(
        "GET", paths.TRASH, trash, "List what was removed from special roots, the last one first",
        {200: json_reply(TrashList, "what can be restored")}, failures=(400, *_FAILURES),
    ),
    Operation(
        "DELETE", paths.TRASH, empty, "Remove everything in the trash for good", {200: _BYTES},
        failures=(400, *_FAILURES),
    ),
    Operation(
        "POST", paths.TRASHED, restore, "Move something from the trash to where it was",
        {200: json_reply(str, "its path")}, failures=(400, *_FAILURES, 409, 507),
    ),
    Operation(
        "DELETE", paths.TRASHED, empty, "Remove something in the trash for good", {200: _BYTES},
        failures=(400, *_FAILURES),
    ),
)  # fmt: skip
