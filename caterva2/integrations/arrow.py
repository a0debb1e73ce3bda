"""Tables of Arrow: columns in batches, so that pyarrow, polars and duckdb read them as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from caterva2.errors import BadRequest
from caterva2.integrations.columns import Columns

_UNITS = {"D": "D", "s": "s", "ms": "ms", "us": "us", "ns": "ns", "h": "s", "m": "s", "W": "D"}
"""Units of time that Arrow has, or into which numpy converts without loss."""


def reader_of(columns: Columns, rows: slice | None = None) -> Any:
    """Return a `pyarrow.RecordBatchReader`, which reads a batch when it is asked for."""
    types = {name: _type(name, dtype) for name, dtype in columns.dtypes.items()}
    schema = pa.schema(list(types.items()))

    def batches() -> Iterator[Any]:
        for batch in columns.batches(rows):
            arrays = [_array(batch[name][0], kind, batch[name][1]) for name, kind in types.items()]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def _type(name: str, dtype: np.dtype[Any]) -> Any:
    """Return Arrow's type for items of numpy."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        made = _type(name, base)
        for size in reversed(shape):
            made = pa.list_(made, size)
        return made
    if dtype.names is not None:
        return pa.struct([(one, _type(f"{name}.{one}", dtype[one])) for one in dtype.names])
    if dtype.kind in "Mm":
        unit, count = np.datetime_data(dtype)
        if unit not in _UNITS or (count != 1 and unit not in ("h", "m", "s")):
            raise _unknown(name, dtype)
        unit = _UNITS[unit]
        if dtype.kind == "m":
            return pa.duration("s" if unit == "D" else unit)
        return pa.date32() if unit == "D" else pa.timestamp(unit)
    if dtype.kind == "S":
        return pa.binary()
    if dtype.kind == "V":
        return pa.binary(dtype.itemsize)
    if dtype.kind == "U":
        return pa.string()
    try:
        return pa.from_numpy_dtype(dtype.newbyteorder("="))
    except (pa.ArrowNotImplementedError, NotImplementedError):
        raise _unknown(name, dtype) from None


def _unknown(name: str, dtype: np.dtype[Any]) -> BadRequest:
    return BadRequest(f"Arrow has no type for {dtype} of column {name!r}: name others")


def _array(values: npt.NDArray[Any], kind: Any, there: npt.NDArray[Any] | None = None) -> Any:
    """Return values as an array of Arrow; items where ``there`` is false are null."""
    missing = None if there is None else ~there
    if pa.types.is_fixed_size_list(kind):
        flat = values.reshape(-1, *values.shape[2:])
        mask = None if missing is None else pa.array(missing)
        inner = _array(flat, kind.value_type)
        return pa.FixedSizeListArray.from_arrays(inner, kind.list_size, mask=mask)
    if pa.types.is_struct(kind):
        parts = [_array(values[field.name], field.type) for field in kind]
        mask = None if missing is None else pa.array(missing)
        return pa.StructArray.from_arrays(parts, fields=list(kind), mask=mask)
    if values.dtype.kind in "Mm":
        unit = "D" if pa.types.is_date32(kind) else kind.unit
        values = values.astype(f"{values.dtype.kind}8[{unit}]")
    elif values.dtype.kind == "V":
        raw, size = values.tobytes(), values.dtype.itemsize
        return pa.array(
            [raw[at : at + size] for at in range(0, len(raw), size)], kind, mask=missing
        )
    elif not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    return pa.array(np.ascontiguousarray(values), kind, mask=missing)
