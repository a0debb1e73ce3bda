"""Values as files: npy of numpy, CSV and JSON."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field
from pydantic_core import to_json

from caterva2.arrays import plain_items
from caterva2.errors import BadRequest
from caterva2.rest import media
from caterva2.rest.values import layout

Format = Annotated[
    Literal["npy", "csv", "json"], Field(description="a file of the values instead of a frame")
]
MEDIA_TYPES: Final = {"npy": media.BINARY, "csv": f"{media.CSV}; charset=utf-8", "json": media.JSON}
STEP: Final = 16_384
"""Items that are written at once: some milliseconds."""
Values = npt.NDArray[Any]


def npy_head(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """Return the head of a ``.npy`` file of little-endian values in C order."""
    made = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(layout.little_endian(dtype))
    # Version 2 has room for the longest dtypes; 1 is what all programs read.
    head = {"descr": descr, "fortran_order": False, "shape": shape}
    try:
        np.lib.format.write_array_header_1_0(made, head)
    except ValueError:
        np.lib.format.write_array_header_2_0(made, head)
    return made.getvalue()


def json_pieces(values: Values) -> Iterator[bytes]:
    """Yield lists within lists in JSON, as many items at a time as take a moment."""
    if values.size * plain_items.leaves(values.dtype) <= STEP:
        yield to_json(plain_items.nested(values))
        return
    yield b"["
    rows = _rows_at_once(values)
    for start in range(0, len(values), rows):
        if start:
            yield b","
        if rows == 1 and values.ndim > 1:
            yield from json_pieces(values[start])
        else:
            yield to_json(plain_items.nested(values[start : start + rows]))[1:-1]
    yield b"]"


def _rows_at_once(values: Values) -> int:
    row = math.prod(values.shape[1:]) * plain_items.leaves(values.dtype)
    return max(1, STEP // max(row, 1))


def check_csv(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise `BadRequest` for values that are no table."""
    most = 2 if dtype.names is None else 1
    if len(shape) > most:
        what = "values" if dtype.names is None else "records"
        raise BadRequest(
            f"CSV has {most} axes of {what} at most, this selection has {len(shape)}: "
            "select one with slice_, or another format"
        )


def csv_pieces(values: Values) -> Iterator[bytes]:
    """Yield lines of CSV: rows of values, or records below a line with the names of the fields.

    Raises
    ------
    BadRequest
        As `check_csv` does.
    """
    check_csv(values.shape, values.dtype)
    if values.dtype.names is not None:
        yield _lines([[name for name, _ in _leaves(values.dtype)]])
    table = values.reshape(-1, 1) if values.ndim < 2 else values
    rows = _rows_at_once(table)
    for start in range(0, len(table), rows):
        part = table[start : start + rows]
        yield _lines(zip(*_columns(part), strict=True) if part.shape[1] else [()] * len(part))


def _columns(part: Values) -> Iterator[list[str]]:
    """Yield the texts of each column of some rows."""
    if part.dtype.names is None:
        texts, width = _cells(part), part.shape[1]
        yield from (texts[n::width] for n in range(width))
        return
    for _, path in _leaves(part.dtype):
        column: Any = part[:, 0]
        for step in path:
            column = column[step] if isinstance(step, str) else column[(slice(None), *step)]
        yield _cells(column)


Path = tuple[str | tuple[int, ...], ...]


def _leaves(dtype: np.dtype[Any], name: str = "", path: Path = ()) -> Iterator[tuple[str, Path]]:
    """Yield each column of a dtype: its name, and the fields and indices that lead to it."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        for index in np.ndindex(shape):
            yield from _leaves(base, f"{name}[{','.join(map(str, index))}]", (*path, index))
    elif dtype.names is not None:
        for own in dtype.names:
            yield from _leaves(dtype[own], f"{name}.{own}" if name else own, (*path, own))
    else:
        yield name, path


def _cells(values: Values) -> list[str]:
    if values.dtype.kind == "c":
        return [_complex(*pair) for pair in plain_items.items(values)]
    if values.dtype.kind == "b":
        return ["true" if one else "false" for one in plain_items.items(values)]
    return [str(one) for one in plain_items.items(values)]


def _complex(real: Any, imaginary: Any) -> str:
    sign = "" if str(imaginary).startswith("-") else "+"
    return f"{real}{sign}{imaginary}j".replace("Infinity", "inf").replace("NaN", "nan")


def _lines(rows: Any) -> bytes:
    made = io.StringIO()
    csv.writer(made).writerows(rows)
    return made.getvalue().encode()
