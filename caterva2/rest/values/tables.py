"""Pages of tables."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field
from typing_extensions import TypedDict

from caterva2.rest.shapes import Count, closed
from caterva2.rest.values.dtypes import DType

ROWS: Final = 100
"""Rows of a page where a request names no number."""
COLUMNS: Final = 100
"""Columns of a page where a request names none."""
File = Literal["npy", "csv"]
"""What all rows that match can be had as."""
Start = Annotated[int, Field(ge=0)]
Rows = Annotated[int, Field(ge=1)]


@closed
class TablePage(TypedDict):
    """Some rows of a table."""

    fields: list[str]
    dtypes: list[DType]
    """Of the fields; of the items where each of them is an array."""
    rows: Annotated[list[list[Any]], Field(description="values as in JSON files, null for none")]
    start: Count
    total: Annotated[
        Count | None,
        Field(description="all rows that match; null while not all of them were looked at"),
    ]
    at_least: Count
    """Rows that are known to match."""
