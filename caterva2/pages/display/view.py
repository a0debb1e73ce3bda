"""What the tab that shows a file by its content shows, and the bytes of documents in it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping
from typing import Any

from pygments.lexer import Lexer
from pygments.lexers import get_lexer_for_filename
from pygments.util import ClassNotFound
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from caterva2.arrays import selection
from caterva2.errors import NotFound, TooLarge
from caterva2.names import full_name, split_full
from caterva2.pages.display import kinds, notebook
from caterva2.pages.display.highlight import TooSlow, marked
from caterva2.pages.display.markdown import rendered
from caterva2.web.api.datasets import read
from caterva2.web.reader import Dataset
from caterva2.web.state import state_of

MOST = {"markdown": 2**19, "notebook": 2**23, "text": 2**18}
"""Bytes of a file that are read to show it."""
_MARKED = 2**17
"""Characters of code up to which its syntax is marked."""
_DUMPED = 2048
_HDF5 = b"\x89HDF\r\n\x1a\n"
_DOCUMENT = 2**26
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; object-src 'self'; "
    "plugin-types application/pdf; frame-ancestors 'self'",
    "X-Frame-Options": "SAMEORIGIN", "X-Content-Type-Options": "nosniff",
    "Content-Disposition": "inline", "Cache-Control": "private, no-cache",
}  # fmt: skip


def is_shown(opened: Dataset) -> bool:
    """Whether a dataset has the tab: it is a byte string."""
    return opened.info.kind != "array"


async def view(request: Request, opened: Dataset) -> Mapping[str, Any]:
    """Return what the tab shows."""
    root, below = split_full(request.path_params["path"])
    name = kinds.plain_name(below.rpartition("/")[2])
    kind = kinds.by_name(name)
    given: dict[str, Any] = {"content": kind, "name": name, "shown": 0, "slow": False}
    if kind in ("image", "audio", "video", "pdf"):
        return given
    most = MOST.get(kind or "text", 0)
    data = await _beginning(opened, most)
    directory = full_name(root, below.rpartition("/")[0])
    prefix = state_of(request).prefix
    make = functools.partial(
        _shown, data, opened.info.nbytes <= most, kind, name, directory, prefix
    )
    return given | await asyncio.to_thread(make)


async def _beginning(opened: Dataset, most: int) -> bytes:
    size = min(opened.info.nbytes, most)
    if not size:
        return b""
    part = selection.Selection(opened.info.shape, (range(size),))
    return (await opened.values(part)).tobytes()


def _shown(
    data: bytes, whole: bool, kind: kinds.Kind | None, name: str, directory: str, prefix: str
) -> dict[str, Any]:
    text = kinds.text_of(data, whole=whole)
    if text is None:
        dump = kinds.dump(data[:_DUMPED])
        is_hdf5 = data.startswith(_HDF5)
        return {"content": "bytes", "text": dump, "shown": _DUMPED, "is_hdf5": is_hdf5}
    shown = {"shown": len(data)}
    try:
        if kind == "markdown":
            return shown | {"html": rendered(text, directory, prefix=prefix)}
        if kind == "notebook" and whole:
            return shown | {"cells": notebook.cells(text, directory, prefix)}
        lexer = _lexer(name)
        if lexer is not None and len(text) <= _MARKED:
            return shown | {"content": "code", "html": marked(text, lexer)}
    except TooSlow:
        shown["slow"] = True
    return shown | {"content": "text", "text": text}


def _lexer(name: str) -> Lexer | None:
    try:
        found: Lexer = get_lexer_for_filename(name, stripnl=False)
    except ClassNotFound:
        return None
    return found


async def document(request: Request) -> Response:
    """Answer with a PDF that pages of this site may frame."""
    path = request.path_params["path"]
    if kinds.by_name(kinds.plain_name(path.rpartition("/")[2])) != "pdf":
        raise NotFound(f"{path} is no document")

    async def answer(opened: Dataset) -> Response:
        if opened.info.kind == "array":
            raise NotFound(f"{path} is no document")
        if opened.info.nbytes > _DOCUMENT:
            raise TooLarge(f"{path} has {opened.info.nbytes} bytes, {_DOCUMENT} are shown at most")
        body = await _beginning(opened, _DOCUMENT)
        return Response(body, headers=_HEADERS, media_type="application/pdf")

    return await read(request, answer)


ROUTES = (Route("/view/{path:path}", document),)
