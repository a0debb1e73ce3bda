"""Pages of tables: records, planes, and datasets that are columns."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from caterva2.arrays import fields, plain_items, selection, tables
from caterva2.arrays.tables import Condition
from caterva2.errors import BadRequest, BadSelection, DeadlineExceeded, TooLarge
from caterva2.limits import Limits
from caterva2.names import DatasetPath
from caterva2.rest import fetch as fetch_types
from caterva2.rest import media, paths
from caterva2.rest.values import dtypes as json_dtypes
from caterva2.rest.values import tables as types
from caterva2.runtime.retry import retry_stale_async
from caterva2.web import answers, values
from caterva2.web.api.datasets import PRECONDITIONS, READING, directory_of, read
from caterva2.web.conditions import has_tag
from caterva2.web.disconnect import until_disconnected
from caterva2.web.operation import Operation, Parameter, Reply
from caterva2.web.params import queries
from caterva2.web.params.fetch import FetchRegion
from caterva2.web.reader import Dataset
from caterva2.web.server import bodies
from caterva2.web.state import reader_of, state_of
from caterva2.web.tables import opening, sheets
from caterva2.web.tables.rows import Chosen
from caterva2.web.tables.sheets import Column, Records, Rows, Sheet

_FAR = 2**62


@dataclass(frozen=True, slots=True)
class _Asked:
    """Parameters of a request."""

    slice_: str | None
    start: int
    count: int
    fields: str
    sort: str
    where: tuple[Condition, ...]
    format: str

    @classmethod
    def of(cls, request: Request, limits: Limits) -> _Asked:
        given = queries.once(request)
        most = limits.overviews.table_rows
        sort = given.get("sort", "")
        if sort == "-":
            raise BadRequest("sort names a column, with - in front for the opposite order")
        where = given.get("filter", "")
        form = queries.choice(given, "format", ("json", *typing.get_args(types.File)), "json")
        count, most = (types.ROWS, most) if form == "json" else (_FAR, _FAR)
        return cls(
            given.get("slice_"),
            queries.integer(given, "start", 0, 0, _FAR, "the last row"),
            queries.integer(given, "count", count, 1, most, "TABLE_ROWS"),
            given.get("fields", ""), sort, tables.conditions(where) if where.strip() else (), form,
        )  # fmt: skip

    @property
    def used(self) -> list[str]:
        """Names of columns that decide which rows are shown."""
        sort = [self.sort.removeprefix("-")] if self.sort else []
        return [*sort, *(one.name for one in self.where)]

    def names(self, sheet_names: Sequence[str]) -> list[str]:
        """Return the columns to be shown; numbered ones may be a slice."""
        if not self.fields:
            return list(sheet_names[: types.COLUMNS])
        if self.fields.startswith("["):
            return _listed(self.fields)
        if re.fullmatch(r"[0-9]{0,19}:[0-9]{0,19}", self.fields) and self.fields not in sheet_names:
            low, _, high = self.fields.partition(":")
            return list(sheet_names[int(low or 0) : int(high) if high else None])
        return self.fields.split(",")


def _listed(text: str) -> list[str]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise BadRequest(f"fields={text[:40]!r} is no list of names")
    return found


async def table(request: Request) -> Response:
    asked = _Asked.of(request, state_of(request).limits)
    root, rest = directory_of(request)
    reader = reader_of(request)
    entry = (await reader.entries(root)).get(DatasetPath(rest)) if rest else None
    if entry is not None and entry.kind == "array":

        async def work(dataset: Dataset) -> Response:
            chosen = selection.parse(asked.slice_, dataset.info.shape)
            headers = answers.warning(offline=dataset.offline)
            sheet = sheets.of_dataset(root, dataset, chosen)
            if asked.format != "json":
                return await _file(request, asked, sheet, headers)
            return await _page(request, asked, sheet, headers)

        return await read(request, work)

    async def columns() -> Response:
        if asked.slice_:
            raise BadSelection("slice_ is for arrays, this is a table of columns")
        if asked.format != "json":
            raise BadRequest(f"format={asked.format} is for arrays, this is a table of columns")
        group = await reader.group(root, rest)
        shown = asked.names(()) if asked.fields else []
        if shown:  # before any of them is opened
            _check_count(request, shown)
        sheet = await opening.columns(reader, (root, rest), group, shown, asked.used)
        return await _page(request, asked, sheet, {})

    return await until_disconnected(request, retry_stale_async(columns))


def _check_count(request: Request, names: Sequence[str]) -> None:
    most = state_of(request).limits.overviews.table_columns
    if not 1 <= len(names) <= most:
        raise BadRequest(f"{len(names)} columns are asked for: 1 to TABLE_COLUMNS, {most}")


async def _page(request: Request, asked: _Asked, sheet: Sheet, headers: dict[str, str]) -> Response:
    state = state_of(request)
    names = asked.names(sheet.names)
    _check_count(request, names)
    kinds = [sheet.dtype(name) for name in names]
    chosen = await state.table_rows.choose(sheet, asked.start, asked.count, asked.where, asked.sort)
    items = len(chosen.rows) * sum(map(plain_items.leaves, kinds))
    if items > state.limits.web.text_items:
        raise TooLarge(
            f"these rows have {items} items, TEXT_ITEMS is {state.limits.web.text_items}"
        )
    size = len(chosen.rows) * sum(dtype.itemsize for dtype in kinds)
    with await bodies.hold(request, 2 * size, computed=False) as hold:
        columns = await sheet.read(names, chosen.rows) if len(chosen.rows) else []
        body = await asyncio.to_thread(_json, asked, names, kinds, chosen, columns)
        tag = f'W/"{hashlib.blake2b(body, digest_size=9).hexdigest()}"'
        headers = headers | {"ETag": tag, "Cache-Control": "private, no-cache"}
        if has_tag(request, tag):
            return answers.not_modified(tag, headers)
        return bodies.BudgetedBody((body,), hold, headers, media.JSON)


async def _file(request: Request, asked: _Asked, sheet: Sheet, headers: dict[str, str]) -> Response:
    """Answer with a file of all rows that match, in their order."""
    if not isinstance(sheet, Records):
        raise BadRequest(f"format={asked.format} takes a slice_ of one axis")
    names = asked.names(sheet.names) if asked.fields else []
    if len(names) > 1:
        raise BadRequest("a file has all fields, or one")
    field = fields.find(sheet.dataset.info, names[0]) if names else ()
    rows = await _all(request, asked, sheet)
    region = FetchRegion(sheet.region(rows), field)
    return await values.answer(request, sheet.dataset, region, asked.format, headers)


async def _all(request: Request, asked: _Asked, sheet: Sheet) -> Rows:
    """Return all rows that match, however often a search has to go on for them."""
    limits = state_of(request).limits
    choose = state_of(request).table_rows.choose
    try:
        async with asyncio.timeout(limits.wire.request_deadline):
            while True:
                found = await choose(sheet, asked.start, asked.count, asked.where, asked.sort)
                if found.total is not None or len(found.rows) == asked.count:
                    return found.rows
                if found.at_least > limits.overviews.table_sorted:
                    most = limits.overviews.table_sorted
                    raise TooLarge(f"more than TABLE_SORTED={most} rows match: name a slice_")
    except TimeoutError:
        raise DeadlineExceeded("not all rows were looked at in time: ask again") from None


def _json(
    asked: _Asked, names: list[str], kinds: list[Any], chosen: Chosen, columns: list[Column]
) -> bytes:
    page: types.TablePage = {
        "fields": names, "dtypes": [_dtype(dtype) for dtype in kinds],
        "rows": [list(row) for row in zip(*map(_items, columns), strict=True)],
        "start": asked.start, "total": chosen.total, "at_least": chosen.at_least,
    }  # fmt: skip
    return to_json(page)


def _items(column: Column) -> list[Any]:
    values, present = column
    found: list[Any] = plain_items.nested(values)
    if present is None:
        return found
    return [item if there else None for item, there in zip(found, present.tolist(), strict=True)]


def _dtype(dtype: Any) -> json_dtypes.DType:
    return json_dtypes.of(dtype.base)


_READ = {media.JSON: types.TablePage, media.BINARY: bytes, media.CSV: str}

OPERATIONS = (
    Operation(
        "GET", paths.TABLE, table, "Read some rows of a table, sorted or filtered",
        {200: Reply("the rows, or a file of them with `format`", _READ, ("ETag", "Warning"))},
        failures=(304, *READING, 413, 507),
        parameters=(
            Parameter(
                "slice_", fetch_types.Slice, "one or two axes of an array, which have the rows"
            ),
            Parameter("start", types.Start, "the first row"),
            Parameter("count", types.Rows, "rows at most"),
            Parameter(
                "fields", str,
                "columns with commas between them, or a JSON list; numbered ones as a slice too",
            ),
            Parameter("sort", str, "a column, with - in front for the opposite order"),
            Parameter("format", types.File, "all rows as a file: records, or a field of them"),
            Parameter("filter", str, "conditions such as `n > 5 & name == 'x'`"),
            *PRECONDITIONS, Parameter("If-None-Match", where="header"),
        ),
    ),
)  # fmt: skip
