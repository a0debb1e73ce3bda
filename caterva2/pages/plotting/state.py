"""The state of a plot: in the URL, and as the page's controls show it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from caterva2.arrays import images
from caterva2.errors import BadRequest
from caterva2.pages.plotting.subject import PARTS, Subject

MAPS: Final = tuple(name for name in images.MAPS if not name.endswith("_r"))
SCALES: Final = {"linear": "Linear", "log": "Logarithm", "symlog": "Logarithm around 0"}
REDUCTIONS: Final = {"max": "Greatest", "min": "Least", "mean": "Mean", "nearest": "First"}
ASPECTS: Final = {"equal": "Square", "fill": "Fill the space"}
_SQUARE = 4
"""How much longer one side may be than the other, for pixels to be square at first."""
Params = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PlotState:
    """Selection, kind and appearance of a plot.

    ``index`` has the place along each axis, which counts for those that are not drawn. ``lo`` and
    ``hi`` are texts of numbers, empty where they follow from the values.
    """

    kind: str
    x: int
    y: int | None
    index: tuple[int, ...]
    field: str
    columns: tuple[str, str]
    part: str
    reduce: str
    scale: str
    map: str
    lo: str
    hi: str
    aspect: str

    @classmethod
    def of(cls, params: Params, subject: Subject) -> PlotState:
        """Return the state that a URL names; what it leaves out follows from the array.

        Raises
        ------
        BadRequest
            If a parameter is none that the array has.
        """
        kind = _choice(params, "kind", subject.kinds)
        x, y = _axes(params, subject, kind)
        field = _choice(params, "field", list(subject.fields)) if subject.fields else ""
        names = subject.columns(y)
        second = names[1] if len(names) > 1 else ""
        columns = (_choice(params, "fx", names), _choice(params, "fy", names, second))
        parts = list(PARTS) if subject.is_complex(field) else []
        return cls(
            kind, x, y, _index(params, subject), field, columns if kind == "scatter" else ("", ""),
            _choice(params, "part", parts),
            _choice(params, "reduce", list(REDUCTIONS)),
            _choice(params, "scale", list(SCALES)),
            _choice(params, "map", images.MAPS, "viridis"),
            _number(params, "lo"), _number(params, "hi"),
            _choice(params, "aspect", list(ASPECTS), _aspect(subject, x, y)),
        )  # fmt: skip

    @property
    def drawn(self) -> tuple[int, ...]:
        """The axes that are read whole, in the order of the array."""
        if self.y is None or self.kind == "line":
            return (self.x,)
        return tuple(sorted((self.x, self.y)))

    def params(self) -> dict[str, str]:
        """Return the parameters of a URL for this state, but for the places along the axes."""
        y = "" if self.y is None else str(self.y)
        return {
            "kind": self.kind, "x": str(self.x), "y": y, "field": self.field,
            "fx": self.columns[0], "fy": self.columns[1], "part": self.part,
            "reduce": self.reduce, "scale": self.scale, "map": self.map, "lo": self.lo,
            "hi": self.hi, "aspect": self.aspect,
        }  # fmt: skip

    def slice_(self, subject: Subject) -> str:
        """Return what is drawn, as numpy would slice it."""
        drawn = self.drawn + ((len(subject.shape) - 1,) if self.kind == "image" else ())
        return ",".join(":" if n in drawn else str(self.index[n]) for n in subject.axes)


def _choice(params: Params, name: str, known: Collection[str], usual: str = "") -> str:
    given = params.get(name, "")
    if not given or not known:
        return usual or next(iter(known), "")
    if given not in known:
        some = ", ".join(list(known)[:20])
        raise BadRequest(f"{name}={given[:20]!r} is none of {some}")
    return given


def _axes(params: Params, subject: Subject, kind: str) -> tuple[int, int | None]:
    count = len(subject.shape) - (kind == "image")
    if kind == "scatter" and not subject.fields:
        x, y = _axis(params, "x", 0, count), _axis(params, "y", 1, count)
    else:
        x, y = _axis(params, "x", count - 1, count), _axis(params, "y", count - 2, count)
    if count < 2 or kind == "line" or (kind == "scatter" and subject.fields):
        return x, None
    return x, y if y != x else next(n for n in reversed(range(count)) if n != x)


def _axis(params: Params, name: str, usual: int, count: int) -> int:
    given = params.get(name, "")
    if not given:
        return max(usual, 0)
    if not given.isascii() or not given.isdecimal() or len(given) > 4 or int(given) >= count:
        raise BadRequest(f"{name}={given[:20]!r} is none of the axes 0 to {count - 1}")
    return int(given)


def _index(params: Params, subject: Subject) -> tuple[int, ...]:
    """Return the places along all axes: of ``i0``, ``i1`` and so on, else of ``slice``."""
    parts = params.get("slice", "").strip("[]() ").split(",")
    given = parts + [""] * (len(subject.shape) - len(parts))
    texts = [params.get(f"i{n}") or given[n].partition(":")[0] for n in subject.axes]
    return tuple(
        _place(text.strip(), size) for text, size in zip(texts, subject.shape, strict=True)
    )


def _place(text: str, size: int) -> int:
    """Return a place on an axis, the nearest one to what is beyond its ends."""
    digits = text.removeprefix("-")
    if not digits:
        return 0
    if not digits.isascii() or not digits.isdecimal():
        raise BadRequest(f"{text[:20]!r} is no place along an axis")
    place = int(digits[:18]) * (-1 if text.startswith("-") else 1)
    return min(max(place + size if place < 0 else place, 0), max(size - 1, 0))


def _number(params: Params, name: str) -> str:
    given = params.get(name, "")
    try:
        if given and not math.isfinite(float(given)):
            raise ValueError("not finite")
    except ValueError:
        raise BadRequest(f"{name}={given[:20]!r} is not a number") from None
    return given


def _aspect(subject: Subject, x: int, y: int | None) -> str:
    width, height = subject.shape[x], subject.shape[y] if y is not None else 0
    return "equal" if 0 < max(width, height) <= _SQUARE * min(width, height) else "fill"
