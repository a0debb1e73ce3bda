"""Answers of ``fetch`` with plain values: the values format of browsers, npy, CSV and JSON."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from caterva2.arrays import fields, plain_items
from caterva2.arrays.fields import Values
from caterva2.errors import TooLarge
from caterva2.rest.values import files, layout
from caterva2.runtime.budget import Hold
from caterva2.web import answers, conditions
from caterva2.web.descriptions import kind_of
from caterva2.web.params import fetch as fetch_params
from caterva2.web.params.fetch import FetchRegion
from caterva2.web.reader import Dataset
from caterva2.web.server import bodies
from caterva2.web.state import state_of

VALUES = "values"
_SUFFIXES = (".b2nd", ".b2frame")


def form_asked_for(request: Request, given: str | None) -> str | None:
    """Return ``values``, ``npy``, ``csv`` or ``json``; None if the client wants none of these."""
    if given is not None:
        return given
    return VALUES if answers.accepts(request.headers.get("accept", ""), layout.MEDIA_TYPE) else None


async def answer(
    request: Request, dataset: Dataset, region: FetchRegion, form: str, headers: dict[str, str]
) -> Response:
    """Answer with the values of a region; nothing is read for HEAD or a client that has them."""
    info = dataset.info
    tag = f'W/"{info.etag}-{form}"'
    headers = headers | {"ETag": tag, "Vary": "Accept", "Accept-Ranges": "none"}
    if conditions.has_tag(request, tag):
        return answers.not_modified(tag, headers)
    shape, dtype = region.selection.result_shape, fields.dtype_of(info, region.field)
    if form != VALUES:
        name = _filename(info.path.basename, region.field, form)
        headers["Content-Disposition"] = answers.disposition(name)
    _check(request, dataset, region, form, dtype)
    size, computed = region.nbytes(info), bool(dataset.expression)
    if request.method == "HEAD":
        return _head_only(_begin(dataset, shape, dtype, form), size, form, headers)
    # Beside big-endian values there is a copy of them, beside texts a piece.
    copies = 1 if dtype == layout.little_endian(dtype) else 2
    with await bodies.hold(request, copies * size, computed=computed) as hold:
        values = await dataset.values(region.selection, region.field)
        if form in (VALUES, "npy"):
            begin = _begin(dataset, values.shape, values.dtype, form)
            body = await _packed(values)
            return bodies.BudgetedBody((begin, body), hold, headers, _media_type(form))
        return await _text(values, form, hold, headers)


def _check(request: Request, dataset: Dataset, region: FetchRegion, form: str, dtype: Any) -> None:
    """Refuse what would take too much memory or time, or has no such form."""
    limits = state_of(request).limits
    fetch_params.check_size(dataset.info, region, limits)
    if form in (VALUES, "npy"):
        return
    if form == "csv":
        files.check_csv(region.selection.result_shape, dtype)
    items, most = region.selection.size * plain_items.leaves(dtype), limits.web.text_items
    if items > most:
        raise TooLarge(f"this selection has {items} items, TEXT_ITEMS is {most}: npy takes more")


def _filename(name: str, field: fields.FieldPath, form: str) -> str:
    for suffix in _SUFFIXES:
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
    return ".".join((name, *field, form)).replace("/", "_")


def _media_type(form: str) -> str:
    return layout.MEDIA_TYPE if form == VALUES else files.MEDIA_TYPES[form]


def _begin(dataset: Dataset, shape: tuple[int, ...], dtype: Any, form: str) -> bytes:
    """Return what is in front of the values; nothing in front of texts."""
    if form == VALUES:
        info = dataset.info
        return layout.begin(layout.head_of(kind_of(info), shape, dtype, info.etag))
    return files.npy_head(shape, dtype) if form == "npy" else b""


def _head_only(begin: bytes, size: int, form: str, headers: dict[str, str]) -> Response:
    if not begin:  # the length of texts is known when they are made
        return answers.head_only(headers, _media_type(form))
    length = {"Content-Length": str(len(begin) + size)}
    return Response(headers=headers | length, media_type=_media_type(form))


async def _packed(values: Values) -> memoryview:
    small = values.nbytes <= files.STEP
    return layout.packed(values) if small else await asyncio.to_thread(layout.packed, values)


async def _text(values: Values, form: str, hold: Hold, headers: dict[str, str]) -> Response:
    """Answer with a text that is made piece by piece in a thread, while it is sent."""
    made = files.csv_pieces(values) if form == "csv" else files.json_pieces(values)
    if values.size * plain_items.leaves(values.dtype) <= files.STEP:
        body = await asyncio.to_thread(b"".join, made)
        return bodies.BudgetedBody((body,), hold, headers, _media_type(form))
    return StreamingResponse(_sent(made, hold), 200, headers, _media_type(form))


async def _sent(made: Iterator[bytes], hold: Hold) -> AsyncIterator[bytes]:
    following = functools.partial(next, made, None)
    try:
        while (piece := await asyncio.to_thread(following)) is not None:
            yield piece
    finally:
        hold.release()
