"""What the tab with the values shows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from caterva2.arrays import fields, selection
from caterva2.arrays.fields import FieldPath, Values
from caterva2.frames import attributes
from caterva2.model import DatasetInfo
from caterva2.pages import figures
from caterva2.pages.data.cells import Cell, cell
from caterva2.pages.data.plane import COLUMNS, ROWS, Plane, number, plane_of
from caterva2.pages.data.records import Order, chosen
from caterva2.pages.data.snippets import Slice
from caterva2.web.params.fetch import FetchRegion, check_budget
from caterva2.web.reader import Dataset
from caterva2.web.state import state_of

ASK = 64 * 2**20
"""Bytes from the publisher above which the reader is asked first."""
_FIELDS = 256
"""Fields that one can choose from."""


@dataclass(frozen=True, slots=True)
class Address:
    """The state of the page, as the parameters of its address."""

    plane: Plane
    field: str
    order: Order

    def query(self, **changed: object) -> str:
        """Return the query of this state, with some of it changed."""
        plane = self.plane
        turned = {"y": plane.rows, "x": plane.columns} if plane.is_turned else {}
        given = {
            "tab": "data", "slice": plane.text, **turned, "field": self.field,
            "sort": self.order.sort, "filter": self.order.where,
            "row": plane.row or "", "col": plane.column or "",
        }  # fmt: skip
        return figures.query(**(given | changed))


def has_values(opened: Dataset) -> bool:
    """Whether a dataset has the tab: it is an array with items."""
    return opened.info.kind == "array" and 0 not in opened.info.shape


async def view(request: Request, opened: Dataset) -> Mapping[str, Any] | Response:
    """Return what the tab shows; a form leads to the address of the plane that it names."""
    info, given = opened.info, request.query_params
    name = given.get("field", "")
    field = fields.find(info, name) if name else ()
    dtype = fields.dtype_of(info, field)
    most = min(len(info.shape), 1 if dtype.names else 2)
    plane = plane_of(given, info.shape, most) if most else Plane(selection.whole(()), None, None)
    is_table = dtype.names is not None and len(plane.shown) == 1 and not field
    order = Order(given.get("sort", ""), given.get("filter", "").strip()) if is_table else Order()
    address = Address(plane, name, order)
    if "go" in given and "part" not in given:
        return RedirectResponse(request.url.path + address.query(), 303)
    part = plane.window()
    check_budget(info, FetchRegion(part, field), state_of(request).limits)
    is_chosen = bool(order.sort or order.where)
    chunks, cost = _cost(opened, plane.selection if is_chosen else part)
    shown: Mapping[str, Any] = {"rows": None}
    if cost >= ASK and not number(given, "read", 0):
        pass  # the reader is asked first
    elif is_chosen:
        shown = await chosen(request, opened, plane, order)
    else:
        values = await opened.values(part, field)
        shown = await asyncio.to_thread(_table, values, plane, dtype)
    base = str(request.base_url).rstrip("/")
    host = len(base) - len(state_of(request).prefix)
    place = Slice(
        base, request.path_params["path"].rstrip("/"), plane.text, field,
        plane.selection.is_whole, order,
    )  # fmt: skip
    return {
        "plane": plane, "address": address, "field": name, "cost": cost,
        "chunks": chunks,
        "is_table": is_table, "is_all": True,
        "fields": _field_names(info), "axes": _axes(info, plane),
        "files": {form: place.file(form)[host:] for form in ("csv", "npy")},
        "picture": place.picture()[host:] if _is_drawn(plane, dtype) else "",
        "snippets": place.snippets(), "window_rows": ROWS, "window_columns": COLUMNS, **shown,
    }  # fmt: skip


def _is_drawn(plane: Plane, dtype: np.dtype[Any]) -> bool:
    """Whether there is a picture of a plane: it has two axes, and numbers."""
    sides = [len(plane.along(axis)) for axis in plane.shown]
    return len(sides) == 2 and min(sides) > 1 and dtype.kind in "biufc"


def _cost(opened: Dataset, part: selection.Selection) -> tuple[int, int]:
    """Return the chunks of a part, and about how many bytes the publisher has to send for it."""
    info = opened.info
    touched = selection.count_chunks(part, info.chunks)
    if opened.cached_chunks >= info.nchunks or opened.expression is not None:
        return touched, 0
    return touched, touched * info.cbytes // max(1, info.nchunks)


def _axes(info: DatasetInfo, plane: Plane) -> list[dict[str, Any]]:
    dims = attributes.dims(info) or (None,) * len(info.shape)
    return [
        {
            "number": n, "name": dims[n] or f"axis {n}", "size": size,
            "index": plane.selection.axes[n], "shown": n in plane.shown,
        }
        for n, size in enumerate(info.shape)
    ]  # fmt: skip


def _field_names(info: DatasetInfo) -> list[str]:
    """Return the fields of a structured dtype by their full names, the outer ones first."""
    found: list[str] = []

    def add(path: FieldPath) -> None:
        for name in fields.dtype_of(info, path).names or ():
            if len(found) < _FIELDS:
                found.append(".".join((*path, name)))
                add((*path, name))

    add(())
    return found


def _table(values: Values, plane: Plane, dtype: np.dtype[Any]) -> dict[str, Any]:
    """Make the cells of a window. Call this in a thread."""
    rows = plane.along(plane.rows)[plane.row : plane.row + ROWS]
    if dtype.names:
        names = dtype.names[plane.column : plane.column + COLUMNS]
        columns = [(name, str(dtype[name])) for name in names]
        found = [[cell(item[name]) for name in names] for item in np.atleast_1d(values)]
        width = len(dtype.names)
    else:
        grid = np.atleast_1d(values)
        if plane.columns is None:
            columns, width = [("value", "")], 1
            cells: list[list[Cell]] = [[cell(item)] for item in grid]
        else:
            across = plane.along(plane.columns)
            columns = [(str(n), "") for n in across[plane.column : plane.column + COLUMNS]]
            width = len(across)
            cells = [[cell(item) for item in row] for row in (grid.T if plane.is_turned else grid)]
        found = cells
    return {
        "columns": columns, "rows": list(zip(rows, found, strict=True)),
        "height": len(plane.along(plane.rows)), "width": width,
    }  # fmt: skip
