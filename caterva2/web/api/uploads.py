"""Uploads that go on after an interruption."""

from __future__ import annotations

import re
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from caterva2.errors import BadRequest, TooLarge
from caterva2.names import Place
from caterva2.rest import media, paths
from caterva2.rest.special import NewUpload, UploadList, UploadState
from caterva2.web import answers
from caterva2.web.api.datasets import PRECONDITIONS
from caterva2.web.conditions import check_of_change
from caterva2.web.contracts.editing import Resuming, Unfinished
from caterva2.web.descriptions import timestamp
from caterva2.web.operation import Body, Operation, Parameter, json_reply
from caterva2.web.params import bodies, forms
from caterva2.web.state import reader_of, state_of

_OFFSET = "Upload-Offset"
_CONDITIONS = ("if-match", "if-unmodified-since")
_CONDITION_BYTES = 1024


def _uploads(request: Request) -> Resuming:
    return reader_of(request).uploads


def _state(request: Request, upload: Unfinished) -> UploadState:
    kept = 86400.0 * state_of(request).limits.special.unfinished_days
    return {
        "id": upload.ident, "path": upload.place, "size": upload.size, "offset": upload.offset,
        "complete": upload.complete, "active": upload.sending, "tag": upload.tag,
        "expires": timestamp(upload.touched + kept),
    }  # fmt: skip


def _answer(request: Request, upload: Unfinished) -> Response:
    headers = {
        _OFFSET: str(upload.offset), "Upload-Length": str(upload.size),
        "Upload-Complete": f"?{upload.complete:d}", "Cache-Control": "no-store",
    }  # fmt: skip
    return answers.json_answer(_state(request, upload), headers)


async def begin(request: Request) -> Response:
    uploads = _uploads(request)
    form = await forms.from_json(request, NewUpload)
    conditions = _conditions(request.headers)
    upload = await uploads.begin(
        Place.parse(form.path), form.name, form.size, form.tag, unpack=form.unpack,
        conditions=conditions, check=check_of_change(request.headers),
    )  # fmt: skip
    return _answer(request, upload)


def _conditions(headers: Headers) -> Mapping[str, str]:
    given = {name: ",".join(headers.getlist(name)) for name in _CONDITIONS if name in headers}
    if sum(map(len, given.values())) > _CONDITION_BYTES:
        raise TooLarge(f"the preconditions have more than {_CONDITION_BYTES} characters")
    return given


async def unfinished(request: Request) -> Response:
    return _answer(request, _uploads(request).get(request.path_params["upload"]))


async def listed(request: Request) -> Response:
    items = [_state(request, upload) for upload in await _uploads(request).all()]
    known: UploadList = {"items": items}
    return answers.json_answer(known, {"Cache-Control": "no-store"})


async def cancel(request: Request) -> Response:
    await _uploads(request).cancel(request.path_params["upload"])
    return answers.json_answer("Ok")


async def send(request: Request) -> Response:
    uploads, ident = _uploads(request), request.path_params["upload"]
    check = check_of_change(Headers(uploads.get(ident).conditions))
    pieces = bodies.pieces(request)
    return _answer(request, await uploads.send(ident, _offset(request), pieces, check))


def _offset(request: Request) -> int:
    given = request.headers.get(_OFFSET, "")
    if not re.fullmatch(r"[0-9]{1,16}", given):
        raise BadRequest(f"the header {_OFFSET} is not a number of bytes: {given[:40]!r}")
    return int(given)


_STATE = json_reply(
    UploadState, "what has arrived", _OFFSET, "Upload-Length", "Upload-Complete"
)  # fmt: skip
_HEADER = Parameter(
    _OFFSET, int, "where the body goes on: what has arrived", where="header", required=True
)
_FAILURES = (400, 401, 403, 404, 503, 504)

OPERATIONS = (
    Operation(
        "GET", paths.UPLOADS, listed, "List the uploads that can go on, the last one first",
        {200: json_reply(UploadList, "those of the user")}, failures=_FAILURES,
    ),
    Operation(
        "POST", paths.UPLOADS, begin,
        "Begin an upload to a special root, or find the one that this client began before",
        {200: _STATE}, failures=(*_FAILURES, 409, 412, 413, 422, 429, 507),
        parameters=PRECONDITIONS, body=Body(NewUpload),
    ),
    Operation(
        "GET", paths.UNFINISHED, unfinished, "Say what has arrived of an upload", {200: _STATE},
        failures=_FAILURES,
    ),
    Operation(
        "PATCH", paths.UNFINISHED, send,
        "Send more of an upload: its last byte stores the file",
        {200: _STATE}, failures=(*_FAILURES, 409, 412, 413, 429, 507), parameters=(_HEADER,),
        body=Body(bytes, media.BINARY),
    ),
    Operation(
        "DELETE", paths.UNFINISHED, cancel, "Give an upload up",
        {200: json_reply(str, "Ok")}, failures=_FAILURES,
    ),
)  # fmt: skip
