"""Keys with index arrays: as JSON entries, and as numpy takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st


@st.composite
def index_entries(draw: st.DrawFn, shape: tuple[int, ...]) -> list[Any]:
    """Entries for an array of a shape: index arrays that broadcast, integers, slices, null."""
    # JSON can't tell what stands behind an axis without items, so only the last may have none.
    points_shape = (*draw(st.lists(st.integers(1, 3), max_size=2)), draw(st.integers(0, 3)))
    return [_entry(draw, size, points_shape) for size in shape[: draw(st.integers(1, len(shape)))]]


def _entry(draw: st.DrawFn, size: int, points_shape: tuple[int, ...]) -> Any:
    kind = draw(st.sampled_from(["array", "array", "slice", "int", "null"]))
    if kind == "array":
        lead = draw(st.integers(0, len(points_shape)))
        dims = [n if draw(st.booleans()) else 1 for n in points_shape[lead:]] or [1]
        if size or 0 in dims:
            item = st.integers(-size, size - 1)
            count = int(np.prod(dims))
            flat = draw(st.lists(item, min_size=count, max_size=count)) if count else []
            return np.array(flat, int).reshape(dims).tolist()
    if kind == "int" and size:
        return draw(st.integers(-size, size - 1))
    if kind == "slice":
        bound = st.just("") | st.integers(-9, 9)
        step = draw(st.sampled_from(["", ":", ":1", ":2", ":-1", ":-3"]))
        return f"{draw(bound)}:{draw(bound)}{step}"
    return None


def as_key(entries: list[Any]) -> tuple[Any, ...]:
    """The numpy key that entries mean."""
    key: list[Any] = []
    for entry in entries:
        if isinstance(entry, list):
            key.append(np.array(entry, int))
        elif isinstance(entry, str):
            key.append(slice(*(int(part) if part else None for part in entry.split(":"))))
        else:
            key.append(slice(None) if entry is None else entry)
    return tuple(key)
