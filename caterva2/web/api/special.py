"""Changes of the special roots by users."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from caterva2.errors import BadExpression, BadRequest
from caterva2.limits import constants
from caterva2.model import Expression
from caterva2.names import Place
from caterva2.rest import media, paths
from caterva2.rest.compute import Plan
from caterva2.rest.shapes import Count
from caterva2.rest.special import FileForm, NewExpression, Transfer
from caterva2.runtime.retry import retry_stale_async
from caterva2.web import answers
from caterva2.web.api import compute
from caterva2.web.api.datasets import PRECONDITIONS
from caterva2.web.conditions import check_of_change
from caterva2.web.contracts.editing import Editor
from caterva2.web.disconnect import until_disconnected
from caterva2.web.operation import Body, Operation, Parameter, json_reply
from caterva2.web.params import forms, multipart
from caterva2.web.reader import Data
from caterva2.web.state import reader_of


def _editor(request: Request) -> Editor:
    return reader_of(request)


def _place(request: Request) -> Place:
    return Place.parse(request.path_params["path"])


async def upload(request: Request) -> Response:
    unpack = request.query_params.get("unpack", "")
    if not re.fullmatch(r"[01]?", unpack):
        raise BadRequest(f"unpack={unpack[:40]!r} is neither 0 nor 1")
    editor, place = _editor(request), _place(request)
    editor.check_writing("Uploading")
    check = check_of_change(request.headers)
    if unpack == "1":
        check(None)  # an archive becomes a new directory
        return answers.json_answer(await editor.unpack(place, await multipart.upload(request)))
    return answers.json_answer(await editor.upload(place, await multipart.upload(request), check))


async def append(request: Request) -> Response:
    editor, place = _editor(request), _place(request)
    editor.check_writing("Appending")
    check = check_of_change(request.headers)
    return answers.json_answer(await editor.append(place, await multipart.upload(request), check))


async def remove(request: Request) -> Response:
    editor, place = _editor(request), _place(request)
    work = editor.remove(place, check_of_change(request.headers))
    return answers.json_answer(await until_disconnected(request, work))


async def move(request: Request) -> Response:
    editor = _editor(request)
    editor.check_writing("Moving")
    source, to = await _transfer(request)
    work = editor.move(source, to, check_of_change(request.headers))
    return answers.json_answer(await until_disconnected(request, work))


async def copy(request: Request) -> Response:
    editor = _editor(request)
    editor.check_writing("Copying")
    source, to = await _transfer(request)
    work = editor.copy(source, to, check_of_change(request.headers))
    return answers.json_answer(await until_disconnected(request, work))


async def _transfer(request: Request) -> tuple[Place, Place]:
    form = await forms.from_json(request, Transfer)
    return Place.parse(form.src), Place.parse(form.dst)


async def lazyexpr(request: Request) -> Response:
    editor = _editor(request)
    editor.check_writing("Computing")
    form = await forms.from_json(request, NewExpression, ("RECIPE_BYTES", constants.RECIPE_BYTES))
    if form.func:
        raise BadExpression("Invalid name or expression: functions of users are not run")
    place = Place.parse(_destination(form.name))
    expression = Expression(form.expression, form.operands)
    if compute.is_dry(request):
        data: Data = reader_of(request)

        async def described() -> Response:
            return answers.json_answer(compute.plan_of(await data.computation(expression)))

        return await until_disconnected(request, retry_stale_async(described))
    work = editor.lazyexpr(place, expression, compute=bool(form.compute))
    return answers.json_answer(await until_disconnected(request, work))


def _destination(name: str) -> str:
    """Return the path of an expression: in its user's root unless it names another one."""
    full = name if name.startswith("@") else f"@personal/{name}"
    named = name and "/" in full and not full.lower().endswith((".b2nd", "/"))
    return f"{full}.b2nd" if named else full


_FAILURES = (400, 401, 403, 404, 409, 413, 422, 429, 503, 504, 507)
_PATH = json_reply(str, "the path of the result")
_FILE = Body(FileForm, media.UPLOAD)
_UNPACK = Parameter(
    "unpack", Annotated[str, WithJsonSchema({"enum": ["", "0", "1"]})],
    "1: the file is an archive, to be unpacked",
)  # fmt: skip

OPERATIONS = (
    Operation(
        "POST", paths.UPLOAD, upload,
        "Store a file, or with `unpack` the files of an archive, in a special root",
        {200: _PATH}, failures=(*_FAILURES, 412), parameters=(_UNPACK, *PRECONDITIONS), body=_FILE,
    ),
    Operation(
        "POST", paths.APPEND, append,
        "Append an array, uploaded as a frame, to an array in a special root",
        {200: json_reply(list[Count], "the new shape")}, failures=(*_FAILURES, 412, 502),
        parameters=PRECONDITIONS, body=_FILE,
    ),
    Operation(
        "POST", paths.REMOVE, remove,
        "Remove a file, or a directory with its content, from a special root",
        {200: json_reply(str, "the removed path")},
        failures=(400, 401, 403, 404, 412, 429, 503, 504), parameters=PRECONDITIONS,
    ),
    Operation(
        "POST", paths.MOVE, move, "Move a file or directory within or between special roots",
        {200: _PATH}, failures=(*_FAILURES, 412), parameters=PRECONDITIONS, body=Body(Transfer),
    ),
    Operation(
        "POST", paths.LAZYEXPR, lazyexpr,
        "Store an expression, which is computed whenever it is read; or say what it takes",
        {
            200: json_reply(
                str | Plan, "the path of the result; with `dry` what would be computed"
            )
        },
        failures=(*_FAILURES, 502), parameters=(compute.DRY,), body=Body(NewExpression),
    ),
    Operation(
        "POST", paths.COPY, copy, "Copy a file, a directory or any root into a special root",
        {200: _PATH}, failures=(*_FAILURES, 412, 502), parameters=PRECONDITIONS,
        body=Body(Transfer),
    ),
)  # fmt: skip
