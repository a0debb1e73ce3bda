"""Keys of every kind that numpy takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st


@st.composite
def numpy_keys(draw: st.DrawFn, shape: tuple[int, ...]) -> Any:
    """A key that an array of this shape has, or nearly: a few are out of range."""
    entries: list[Any] = []
    block = tuple(draw(st.lists(st.integers(0, 3), max_size=2)))
    axis, has_ellipsis = 0, False
    for _ in range(draw(st.integers(0, len(shape) + 2))):
        size = shape[axis] if axis < len(shape) else None
        kinds = ["new", "flag"] if size is None else [*_KINDS, *["int", "slice", "array"] * 3]
        kind = draw(st.sampled_from(kinds))
        if kind == "ellipsis":
            if has_ellipsis:
                continue
            has_ellipsis = True
            axis += draw(st.integers(0, len(shape) - axis))
            entries.append(...)
        elif kind == "mask-2d" and axis + 1 < len(shape):
            entries.append(draw(_masks(shape[axis : axis + 2])))
            axis += 2
        elif kind in ("new", "flag"):
            entries.append(None if kind == "new" else draw(st.booleans()))
        else:
            assert size is not None
            entries.append(draw(_entry(kind, size, block)))
            axis += 1
    if len(entries) == 1 and draw(st.booleans()):
        return entries[0]
    return tuple(entries)


_KINDS = ["int", "slice", "array", "list", "mask", "mask-2d", "ellipsis", "new", "flag"]


@st.composite
def _entry(draw: st.DrawFn, kind: str, size: int, block: tuple[int, ...]) -> Any:
    """One entry for an axis of some size."""
    if kind.startswith("mask"):
        return draw(_masks((size,)))
    if kind == "slice" or size == 0:
        bound = st.none() | st.integers(-size - 2, size + 2)
        return slice(draw(bound), draw(bound), draw(st.sampled_from([None, 1, 2, 5, -1, -3])))
    if kind == "int":
        return draw(st.integers(-size, size - 1) | st.integers(-size - 1, size))
    lead = draw(st.integers(0, len(block)))
    dims = tuple(n if draw(st.booleans()) else 1 for n in block[lead:])
    flat = [draw(st.integers(-size, size - 1)) for _ in range(int(np.prod(dims)))]
    dtype = draw(st.sampled_from(["i8", "i4", "u1"])) if min(flat, default=0) >= 0 else "i8"
    array = np.array(flat, dtype if size <= 256 else "i8").reshape(dims)
    return array.tolist() if kind == "list" else array


def _masks(shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    count = int(np.prod(shape))
    flat = st.lists(st.booleans(), min_size=count, max_size=count)
    return flat.map(lambda bits: np.array(bits, bool).reshape(shape))
