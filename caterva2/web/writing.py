"""The REST interface: what users change in the special roots."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from caterva2.errors import BadRequest
from caterva2.names import Place
from caterva2.web import answers, forms, multipart
from caterva2.web.api import only, reader_of
from caterva2.web.patience import while_wanted


class Places(forms.Form):
    """Where from and where to."""

    src: str
    dst: str


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
    return answers.json_answer(await while_wanted(request, reader.remove(place)))


async def move(request: Request) -> Response:
    only(request)
    reader = reader_of(request)
    reader.check_writing("Moving")
    wanted = await forms.from_json(request, Places)
    source, to = Place.parse(wanted.src), Place.parse(wanted.dst)
    return answers.json_answer(await while_wanted(request, reader.move(source, to)))


async def copy(request: Request) -> Response:
    only(request)
    reader = reader_of(request)
    reader.check_writing("Copying")
    wanted = await forms.from_json(request, Places)
    source, to = Place.parse(wanted.src), Place.parse(wanted.dst)
    return answers.json_answer(await while_wanted(request, reader.copy(source, to)))


ROUTES = [
    Route("/api/upload/{path:path}", upload, methods=["POST"]),
    Route("/api/append/{path:path}", append, methods=["POST"]),
    Route("/api/remove/{path:path}", remove, methods=["POST"]),
    Route("/api/move/", move, methods=["POST"]),
    Route("/api/copy/", copy, methods=["POST"]),
]
