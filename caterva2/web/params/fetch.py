"""What a fetch request asks for: a slice or index arrays, and a field of it."""

from __future__ import annotations

import asyncio
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json
from starlette.requests import Request

from caterva2 import limits
from caterva2.arrays import fields, points, selection
from caterva2.arrays.fields import Field
from caterva2.arrays.points import Points
from caterva2.arrays.selection import Selection
from caterva2.errors import BadRequest, BadSelection, TooLarge
from caterva2.model import DatasetInfo
from caterva2.web.params import bodies

PARAMETERS = ("slice_", "indices", "field")
SHORT = 4096
"""Characters of ``indices`` up to which reading them holds nobody up."""


@dataclass(frozen=True, slots=True)
class FetchRegion:
    """What of a dataset is wanted."""

    selection: Selection | Points
    field: Field = ()

    @property
    def is_whole(self) -> bool:
        """Whether this is the dataset as it is."""
        return self.selection.is_whole and not self.field

    def nbytes(self, info: DatasetInfo) -> int:
        """Decompressed bytes of it, without fill to whole chunks."""
        return self.selection.size * fields.dtype_of(info, self.field).itemsize


@dataclass(frozen=True, slots=True)
class FetchParams:
    """The parameters of a fetch, which only make sense together with a dataset."""

    slice_: str | None = None
    indices: object = None
    field: str | None = None
    large: bool = False

    async def of(self, info: DatasetInfo) -> FetchRegion:
        """What this means for a dataset.

        Raises
        ------
        BadSelection
            If the dataset does not have it.
        """
        if self.large:
            return await asyncio.to_thread(self.at_once, info)
        return self.at_once(info)

    def at_once(self, info: DatasetInfo) -> FetchRegion:
        """The same; belongs into a thread if it is large."""
        field = fields.find(info, self.field) if self.field is not None else ()
        if self.indices is not None:
            entries = self.indices
            if isinstance(entries, str):
                entries = _json(entries, "indices")
            wanted = FetchRegion(points.parse(entries, info.shape), field)
        else:
            wanted = FetchRegion(selection.parse(self.slice_, info.shape), field)
        return wanted


def check_budget(info: DatasetInfo, wanted: FetchRegion) -> None:
    """Refuse to make an answer that would take too much memory or time.

    Raises
    ------
    TooLarge
        With the limit's name.
    """
    if wanted.is_whole:
        return
    size = wanted.nbytes(info)
    if size > limits.OUTPUT_BYTES:
        raise TooLarge(f"this slice has {size} bytes, OUTPUT_BYTES is {limits.OUTPUT_BYTES}")
    # No more chunks than items can be touched.
    if isinstance(wanted.selection, Selection) and wanted.selection.size > limits.OUTPUT_CHUNKS:
        touched = selection.count_chunks(wanted.selection, info.chunks)
        if touched > limits.OUTPUT_CHUNKS:
            raise TooLarge(
                f"this slice touches {touched} chunks, OUTPUT_CHUNKS is {limits.OUTPUT_CHUNKS}"
            )


async def asked(request: Request) -> FetchParams:
    """The parameters of a request, out of its query or of its body.

    Raises
    ------
    BadRequest
        If one of them is unknown, comes twice or is of another type.
    """
    if request.method == "POST":
        return _asked(await _body(request), "key in the body", large=True)
    return params_of_query(request.scope["query_string"])


def params_of_query(packed: bytes) -> FetchParams:
    """The same of a query string."""
    text = packed.decode("latin-1")
    if text and "&" not in text:  # parse_qsl takes three times as long for the same
        name, _, value = text.replace("+", " ").partition("=")
        pairs = [(urllib.parse.unquote(name), urllib.parse.unquote(value))]
    else:
        pairs = urllib.parse.parse_qsl(text, keep_blank_values=True)
    given = dict(pairs)
    for name in given if len(given) < len(pairs) else ():
        if sum(name == other for other, _ in pairs) > 1:
            raise BadRequest(f"query parameter {name[:80]!r} is given twice")
    return _asked(given, "query parameter", large=len(given.get("indices", "")) > SHORT)


def _asked(given: Mapping[str, Any], where: str, *, large: bool) -> FetchParams:
    for name in given:
        if name not in PARAMETERS:
            raise BadRequest(f"unknown {where} {name[:80]!r}")
    for name in ("slice_", "field"):
        if not isinstance(given.get(name), str | None):
            raise BadRequest(f"{name} is {type(given[name]).__name__}, it has to be a string")
    made = FetchParams(given.get("slice_"), given.get("indices"), given.get("field"), large)
    if made.slice_ is not None and made.indices is not None:
        raise BadRequest("slice_ and indices exclude each other")
    if made.field is not None and len(made.field) > limits.DTYPE_LENGTH:
        raise BadRequest(f"field has {len(made.field)} characters, it is too long")
    return made


async def _body(request: Request) -> dict[str, Any]:
    if request.query_params:
        raise BadRequest("the parameters of a POST stand in its body, not in the query")
    body = await bodies.read(request, limits.BODY_BYTES, "BODY_BYTES")
    if not body:
        return {}
    given: object = await asyncio.to_thread(_json, body, "the body")
    if not isinstance(given, dict):
        raise BadRequest("the body has to be a JSON object")
    return given


def _json(text: bytes | str, what: str) -> object:
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        kind = BadSelection if what == "indices" else BadRequest
        raise kind(f"{what} can't be read as JSON: {str(error)[:200]}") from None
