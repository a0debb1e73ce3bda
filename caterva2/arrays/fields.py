"""Fields of structured dtypes, as paths of names."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from caterva2.arrays import dtypes
from caterva2.errors import BadSelection
from caterva2.model import DatasetInfo

Values = npt.NDArray[np.generic]
FieldPath = tuple[str, ...]
"""Names that lead to a field of a structured dtype, the outermost first; empty for all of it."""


def dtype_of(info: DatasetInfo, field: FieldPath = ()) -> np.dtype[np.generic]:
    """Return the dtype of a dataset's values, or of a field of them.

    The items of a byte string are bytes.
    """
    dtype: Any = dtypes.parse(info.dtype) if info.kind == "array" else np.dtype(np.uint8)
    for name in field:
        dtype = dtype[name]
    found: np.dtype[np.generic] = dtype
    return found


def pick(values: Values, field: FieldPath) -> Values:
    """Return one field of structured values; the values themselves for the empty path."""
    picked: Any = values
    for name in field:
        picked = picked[name]
    found: Values = picked
    return found


def find(info: DatasetInfo, name: str) -> FieldPath:
    """Return the path of the field named ``a``, ``outer.inner`` and so on.

    Raises
    ------
    BadSelection
        If the dataset's dtype has no such field.
    """
    field: FieldPath = ()
    rest = name
    while True:
        dtype = dtype_of(info, field)
        # Names may contain dots themselves: the longest one that fits counts.
        fitting = [own for own in dtype.names or () if f"{rest}.".startswith(f"{own}.")]
        if not fitting:
            raise BadSelection(
                f"field {name[:80]!r} does not exist, the dtype is {dtypes.display(dtype)[:200]}"
            )
        own = max(fitting, key=len)
        field = (*field, own)
        if rest == own:
            return field
        rest = rest[len(own) + 1 :]
