"""Parameters of ``fetch``: a slice or index arrays, a field, and the format of the answer."""

from __future__ import annotations

import asyncio
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json
from starlette.requests import Request

from caterva2.arrays import fields, plain, points, selection
from caterva2.arrays.fields import FieldPath
from caterva2.arrays.points import Points
from caterva2.arrays.selection import Selection
from caterva2.errors import BadRequest, BadSelection, TooLarge
from caterva2.limits import Limits, constants
from caterva2.model import DatasetInfo
from caterva2.rest.values.files import MEDIA_TYPES
from caterva2.web.params import bodies
from caterva2.web.state import state_of

_PARAMETERS = ("slice_", "indices", "field", "format")
_ONLY_SLICE = "slice_="
_SHORT = 4096
"""Characters of ``indices`` up to which they are parsed on the event loop."""


@dataclass(frozen=True, slots=True)
class FetchRegion:
    """A part of a dataset: a selection, and a field of the selected items."""

    selection: Selection | Points
    field: FieldPath = ()

    @property
    def is_whole(self) -> bool:
        """Whether this is the whole dataset, with all fields."""
        return self.selection.is_whole and not self.field

    def nbytes(self, info: DatasetInfo) -> int:
        """Return its decompressed bytes, without padding to whole chunks."""
        return self.selection.size * fields.dtype_of(info, self.field).itemsize


@dataclass(frozen=True, slots=True)
class FetchParams:
    """Parameters of a request, not yet applied to a dataset.

    ``large`` ones are applied in a thread.
    """

    slice_: str | None = None
    indices: object = None
    field: str | None = None
    format: str | None = None
    large: bool = False

    async def of(self, info: DatasetInfo) -> FetchRegion:
        """Apply the parameters to a dataset.

        Raises
        ------
        BadSelection
            If the dataset has no such part.
        """
        if self.large:
            return await asyncio.to_thread(self.at_once, info)
        return self.at_once(info)

    def at_once(self, info: DatasetInfo) -> FetchRegion:
        """Apply the parameters to a dataset at once; call this in a thread if they are large."""
        field = fields.find(info, self.field) if self.field is not None else ()
        if self.indices is not None:
            entries = self.indices
            if isinstance(entries, str):
                entries = _json(entries, "indices")
            return FetchRegion(points.parse(entries, info.shape), field)
        known = plain.parse(self.slice_, info.shape) if self.slice_ else None
        return FetchRegion(known or selection.parse(self.slice_, info.shape), field)


def check_budget(info: DatasetInfo, region: FetchRegion, bounds: Limits) -> None:
    """Refuse to make an answer that would take too much memory or time.

    Raises
    ------
    TooLarge
        With the limit's name.
    """
    if not region.is_whole:
        check_size(info, region, bounds)


def check_size(info: DatasetInfo, region: FetchRegion, bounds: Limits) -> None:
    """Refuse a region as `check_budget` does, even if it is the whole dataset."""
    size, max_bytes = region.nbytes(info), bounds.web.output_bytes
    if size > max_bytes:
        raise TooLarge(f"this slice has {size} bytes, OUTPUT_BYTES is {max_bytes}")
    # No more chunks than items can be touched.
    max_chunks = bounds.cache.output_chunks
    if isinstance(region.selection, Selection) and region.selection.size > max_chunks:
        touched = selection.count_chunks(region.selection, info.chunks)
        if touched > max_chunks:
            raise TooLarge(f"this slice touches {touched} chunks, OUTPUT_CHUNKS is {max_chunks}")


async def params_of(request: Request) -> FetchParams:
    """Parse the parameters of a request, from its query or its body.

    Raises
    ------
    BadRequest
        If one of them is unknown, given twice or of another type.
    """
    if request.method == "POST":
        return _checked(await _body(request), "key in the body", large=True)
    return params_of_query(request.scope["query_string"])


def params_of_query(packed: bytes) -> FetchParams:
    """Parse the parameters of a query string; `BadRequest` as in `params_of`."""
    text = packed.decode("latin-1")
    if text.startswith(_ONLY_SLICE) and "&" not in text:  # most are this
        return FetchParams(urllib.parse.unquote_plus(text[len(_ONLY_SLICE) :]))
    pairs = urllib.parse.parse_qsl(text, keep_blank_values=True)
    given = dict(pairs)
    for name in given if len(given) < len(pairs) else ():
        if sum(name == other for other, _ in pairs) > 1:
            raise BadRequest(f"query parameter {name[:80]!r} is given twice")
    return _checked(given, "query parameter", large=len(given.get("indices", "")) > _SHORT)


def _checked(given: Mapping[str, Any], where: str, *, large: bool) -> FetchParams:
    for name in given:
        if name not in _PARAMETERS:
            raise BadRequest(f"unknown {where} {name[:80]!r}")
    for name in ("slice_", "field", "format"):
        if not isinstance(given.get(name), str | None):
            raise BadRequest(f"{name} is {type(given[name]).__name__}, it has to be a string")
    made = FetchParams(**given, large=large)
    if made.slice_ is not None and made.indices is not None:
        raise BadRequest("slice_ and indices exclude each other")
    if made.field is not None and len(made.field) > constants.DTYPE_LENGTH:
        raise BadRequest(f"field has {len(made.field)} characters, it is too long")
    if made.format is not None and made.format not in MEDIA_TYPES:
        raise BadRequest(f"format is {made.format[:80]!r}, it is one of {', '.join(MEDIA_TYPES)}")
    return made


async def _body(request: Request) -> dict[str, Any]:
    if request.query_params:
        raise BadRequest("the parameters of a POST belong in its body, not in the query")
    body = await bodies.read(request, "BODY_BYTES", state_of(request).limits.web.body_bytes)
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
