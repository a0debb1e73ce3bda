"""Tomography: stacks of images, grey or in colours, cut along their three axes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caterva2.errors import BadRequest
from caterva2.pages.plugins import Info, Plugin

MAPS = ("gray", "gray_r", "viridis", "inferno", "turbo")
_AXES = 3
_GREY = ("int", "uint", "float", "bool")
_COLOURS = (3, 4)
_PIXELS = 512


def matches(info: Info) -> bool:
    """Return whether a dataset is a stack of images."""
    if info["kind"] != "array" or min(info["shape"], default=0) < 1:
        return False
    shape, dtype = info["shape"], info["dtype"]
    if _in_colours(info):
        return True
    is_image = shape[-1] in _COLOURS and dtype == "uint8"
    return len(shape) == _AXES and min(shape) > 1 and dtype.startswith(_GREY) and not is_image


def _in_colours(info: Info) -> bool:
    shape = info["shape"]
    return len(shape) == _AXES + 1 and shape[-1] in _COLOURS and info["dtype"] == "uint8"


def context(info: Info, query: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the three planes through a point of the stack, and how they are drawn."""
    shape = info["shape"][:_AXES]
    at = [_place(query.get(f"i{axis}", ""), size) for axis, size in enumerate(shape)]
    colours = query.get("map", MAPS[0])
    if colours not in MAPS:
        raise BadRequest(f"map={colours[:20]!r} is none of {', '.join(MAPS)}")
    look = {"map": colours, "lo": query.get("lo"), "hi": query.get("hi")}
    if _in_colours(info):
        look = {}
    dims = info["dims"] or [None] * _AXES
    names = [dims[axis] or f"axis {axis}" for axis in range(_AXES)]
    cuts = [
        {
            "axis": axis, "name": names[axis], "size": shape[axis], "place": at[axis],
            "rows": next(n for n in range(_AXES) if n != axis),
            "columns": next(n for n in reversed(range(_AXES)) if n != axis),
            "picture": {"slice_": _slice(axis, at, info), "size": _PIXELS, **look},
        }
        for axis in range(_AXES)
    ]  # fmt: skip
    return {"cuts": cuts, "names": names, "look": look, "maps": MAPS, "colours": not look}


def _slice(axis: int, at: list[int], info: Info) -> str:
    parts = [str(at[n]) if n == axis else ":" for n in range(_AXES)]
    return ",".join(parts + [":"] * (len(info["shape"]) - _AXES))


def _place(text: str, size: int) -> int:
    """Return a place along an axis, in the middle unless it is named."""
    if not text:
        return size // 2
    if not text.isascii() or not text.isdecimal():
        raise BadRequest(f"{text[:20]!r} is no place along an axis")
    return min(int(text[:18]), size - 1)


PLUGIN = Plugin(
    name="tomography",
    title="Tomography",
    folder=Path(__file__).parent,
    template="tomography.html",
    scripts=("tomography.js",),
    styles=("tomography.css",),
    matches=matches,
    context=context,
)
