"""Frames of pandas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from caterva2.integrations.columns import Columns


def frame_of(columns: Columns, rows: slice | None = None) -> Any:
    """Make a `pandas.DataFrame` of some rows; what is null is NaN, NaT or None in it."""
    parts = list(columns.batches(rows))
    made = dict[str, Any]()
    for name, dtype in columns.dtypes.items():
        empty = np.empty((0, *dtype.shape), dtype.base)
        values = np.concatenate([empty, *(part[name][0] for part in parts)])
        if not values.dtype.isnative:
            values = values.astype(values.dtype.newbyteorder("="))
        column = pd.Series(list(values) if values.ndim > 1 or values.dtype.names else values)
        masks = [part[name][1] for part in parts]
        if any(mask is not None for mask in masks):
            column = column.where(np.concatenate([np.empty(0, bool), *masks]))
        made[name] = column
    return pd.DataFrame(made)
