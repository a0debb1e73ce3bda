"""The REST interface: what users change in the special roots."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from caterva2 import limits
from caterva2.errors import BadExpression, BadRequest
from caterva2.model import Expression
from caterva2.names import Place
from caterva2.web import answers
from caterva2.web.api.data import only, reader_of
from caterva2.web.disconnect import until_disconnected
from caterva2.web.params import forms, multipart


class Places(forms.Form):
    """Where from and where to."""

    src: str
    dst: str


class NewExpression(forms.Form):
    """What is to be computed. ``func`` is what others run; here nothing is."""

    name: str
    expression: str
    operands: dict[str, str]
    compute: bool | None = None
    func: str | None = None


def _place(request: Request) -> Place:
    return Place.parse(request.path_params["path"])


async def upload(request: Request) -> Response:
    only(request, "unpack")
    unpack = request.query_params.get("unpack", "")
    if not re.fullmatch(r"[01]?", unpack):
        raise BadRequest(f"unpack={unpack[:40]!r} is neither 0 nor 1")
    reader, place = reader_of(request), _place(request)
    reader.check_writing("Uploading")
    work = reader.unpack if unpack == "1" else reader.upload
    return answers.json_answer(await work(place, await multipart.upload(request)))


async def append(request: Request) -> Response:
    only(request)
    reader, place = reader_of(request), _place(request)
    reader.check_writing("Appending")
    return answers.json_answer(await reader.append(place, await multipart.upload(request)))


async def remove(request: Request) -> Response:
    only(request)
    reader, place = reader_of(request), _place(request)
    return answers.json_answer(await until_disconnected(request, reader.remove(place)))


async def move(request: Request) -> Response:
    only(request)
    reader = reader_of(request)
    reader.check_writing("Moving")
    wanted = await forms.from_json(request, Places)
    source, to = Place.parse(wanted.src), Place.parse(wanted.dst)
    return answers.json_answer(await until_disconnected(request, reader.move(source, to)))


async def copy(request: Request) -> Response:
    only(request)
    reader = reader_of(request)
    reader.check_writing("Copying")
    wanted = await forms.from_json(request, Places)
    source, to = Place.parse(wanted.src), Place.parse(wanted.dst)
    return answers.json_answer(await until_disconnected(request, reader.copy(source, to)))


async def lazyexpr(request: Request) -> Response:
    only(request)
    reader = reader_of(request)
    reader.check_writing("Computing")
    wanted = await forms.from_json(request, NewExpression, limits.RECIPE_BYTES, "RECIPE_BYTES")
    if wanted.func:
        raise BadExpression("Invalid name or expression: functions of users are not run")
    place = Place.parse(_full(wanted.name))
    asked = Expression(wanted.expression, wanted.operands)
    work = reader.lazyexpr(place, asked, compute=bool(wanted.compute))
    return answers.json_answer(await until_disconnected(request, work))


def _full(name: str) -> str:
    """Where an expression goes: its user's own root, unless it names another one."""
    full = name if name.startswith("@") else f"@personal/{name}"
    named = name and "/" in full and not full.endswith((".b2nd", "/"))
    return f"{full}.b2nd" if named else full


ROUTES = [
    Route("/api/upload/{path:path}", upload, methods=["POST"]),
    Route("/api/append/{path:path}", append, methods=["POST"]),
    Route("/api/remove/{path:path}", remove, methods=["POST"]),
    Route("/api/move/", move, methods=["POST"]),
    Route("/api/copy/", copy, methods=["POST"]),
    Route("/api/lazyexpr/", lazyexpr, methods=["POST"]),
]
