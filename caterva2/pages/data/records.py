"""Records as a table: the rows that match a filter, in the order of a column."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from caterva2.arrays import tables
from caterva2.names import split_full
from caterva2.pages.data.cells import Cell, cell
from caterva2.pages.data.plane import COLUMNS, ROWS, Plane
from caterva2.web.disconnect import until_disconnected
from caterva2.web.reader import Dataset
from caterva2.web.state import state_of
from caterva2.web.tables import sheets
from caterva2.web.tables.sheets import Column


@dataclass(frozen=True, slots=True)
class Order:
    """How the rows of records are chosen.

    Parameters
    ----------
    sort : str
        A field, with ``-`` in front for the opposite order; empty for that of storage.
    where : str
        Conditions such as ``n > 5 & name == 'x'``; empty for all rows.
    """

    sort: str = ""
    where: str = ""

    def by(self, name: str) -> str:
        """Return what sorts by a field next: upwards, downwards, and then not at all."""
        return {name: f"-{name}", f"-{name}": ""}.get(self.sort, name)

    def aria(self, name: str) -> str:
        """Return how a field is sorted, for readers of the screen."""
        return {name: "ascending", f"-{name}": "descending"}.get(self.sort, "none")


async def chosen(request: Request, opened: Dataset, plane: Plane, order: Order) -> dict[str, Any]:
    """Return the rows of a window of sorted or filtered records, for the template."""
    root, _ = split_full(request.path_params["path"])
    sheet = sheets.of_dataset(root, opened, plane.selection)
    where = tables.conditions(order.where) if order.where else ()
    names = list(sheet.names[plane.column : plane.column + COLUMNS])
    rows = state_of(request).table_rows
    found = await until_disconnected(
        request, rows.choose(sheet, plane.row, ROWS, where, order.sort)
    )
    columns = await sheet.read(names, found.rows) if len(found.rows) else []
    numbers = [plane.along(plane.rows)[int(n)] for n in found.rows]
    cells = await asyncio.to_thread(_cells, columns)
    return {
        "columns": [(name, str(sheet.dtype(name))) for name in names],
        "rows": list(zip(numbers, cells, strict=True)),
        "height": found.at_least if found.total is None else found.total,
        "is_all": found.total is not None, "width": len(sheet.names),
    }  # fmt: skip


def _cells(columns: Sequence[Column]) -> list[list[Cell]]:
    """Make the cells of a window. Call this in a thread."""
    shown = []
    for values, present in columns:
        made = [cell(item) for item in values]
        if present is not None:
            made = [
                one if there else Cell("", "x") for one, there in zip(made, present, strict=True)
            ]
        shown.append(made)
    return [list(row) for row in zip(*shown, strict=True)]
