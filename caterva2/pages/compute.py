"""The page that computes: an expression over datasets, a look at its result, and a name for it."""

from __future__ import annotations

import asyncio
import base64
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from caterva2.arrays import dtypes, images, selection
from caterva2.arrays.numbers import Part
from caterva2.arrays.overviews import Survey
from caterva2.arrays.selection import Selection
from caterva2.errors import BadExpression, BadSelection, CatervaError
from caterva2.model import Expression
from caterva2.names import Place
from caterva2.pages import figures, forms, rendering
from caterva2.pages.data.cells import Cell, cell
from caterva2.web.disconnect import until_disconnected
from caterva2.web.reader import Computation
from caterva2.web.state import reader_of

_ITEMS = 8
"""Items of a look, along each of the last two axes."""
_PIXELS = 256
"""Sides of the picture at most."""
_SHOWN, _THIN = 320, 20
"""The longer side of the picture as it is shown, and the shorter one at least."""
_LINE = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(\S.*?)\s*")
_CHEAP = 2**26
"""Bytes that computing a few items may read."""


@dataclass(frozen=True, slots=True)
class Look:
    """What an expression gives: shape, dtype and cost; where it is cheap, items and a picture.

    The picture is of the first plane along the last two axes, as a ``data:`` URL; empty for none.
    """

    shape: tuple[int, ...]
    dtype: str
    nbytes: int
    read: int
    cells: list[list[Cell]]
    picture: str = ""

    @property
    def sides(self) -> tuple[int, int]:
        """Width and height at which the picture is shown: its own pixels may not be square."""
        height, width = (_SHOWN * side / max(self.shape[-2:]) for side in self.shape[-2:])
        return max(_THIN, round(width)), max(_THIN, round(height))


async def page(request: Request) -> Response:
    """Answer with the form; the query may name operands, as ``a=ROOT/PATH``."""
    known = {name: path for name, path in request.query_params.items() if _LINE.match(f"{name}=x")}
    lines = "\n".join(f"{name} = {path}" for name, path in known.items())
    return await _form(request, {"operands": lines, "expression": " + ".join(known)})


async def _form(
    request: Request, given: Any, look: Look | None = None, error: CatervaError | None = None
) -> Response:
    shown = {name: given.get(name, "") for name in ("expression", "operands", "name")}
    status = error.status if error else 200
    return await rendering.page(request, "compute.html", status, look=look, error=error, **shown)


async def computed(request: Request) -> Response:
    """Look at what an expression gives, or store it under a name."""
    given = await forms.fields(request)
    try:
        asked = Expression(given.get("expression", "").strip(), _operands(given))
        if given.get("do") != "store":
            opened = await reader_of(request).computation(asked)
            return await _form(request, given, await until_disconnected(request, _look(opened)))
        editor = reader_of(request)
        editor.check_writing("Computing")
        made = await editor.lazyexpr(_destination(given), asked, compute=given.get("as") == "array")
    except CatervaError as error:
        return await _form(request, given, error=error)
    return forms.see(figures.path("roots", made))


def _operands(given: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in given.get("operands", "").splitlines():
        if not line.strip():
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise BadExpression(f"{line.strip()[:80]!r} is not NAME = ROOT/PATH")
        found[match[1]] = match[2]
    return found


def _destination(given: Any) -> Place:
    name = given.get("name", "").strip()
    full = name if name.startswith("@") else f"@personal/{name}"
    return Place.parse(full if full.lower().endswith(".b2nd") else f"{full}.b2nd")


async def _look(opened: Computation) -> Look:
    info, found, picture = opened.info, list[list[Cell]](), ""
    if opened.cost.read <= _CHEAP and 0 not in info.shape:
        first = tuple(0 for _ in info.shape[:-2])
        ends = [min(size, _ITEMS) for size in info.shape[-2:]]
        key = (*first, *(slice(end) for end in ends))
        values = await opened.values(selection.normalise(key, info.shape))
        grid = values.reshape((1,) * (2 - values.ndim) + values.shape)
        found = await asyncio.to_thread(lambda: [[cell(item) for item in row] for row in grid])
        picture = await _picture(opened, selection.normalise(first, info.shape))
    dtype = dtypes.displayed(info.dtype)
    return Look(info.shape, dtype, info.nbytes, opened.cost.read, found, picture)


async def _picture(opened: Computation, plane: Selection) -> str:
    """Draw a plane small; empty if it is none, or has no numbers."""
    if len(plane.result_shape) != 2 or 1 in plane.result_shape:
        return ""
    part: Part = "abs" if np.dtype(dtypes.parse(opened.info.dtype)).kind == "c" else ""
    try:
        made = await opened.survey(Survey(plane, part=part, size=_PIXELS, reduce="max"))
    except BadSelection:
        return ""
    known = made.statistics
    lo, hi = (known.p1, known.p99) if known.p1 != known.p99 else (None, None)
    assert made.values is not None
    png = await asyncio.to_thread(images.png_of_values, made.values, lo, hi)
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


ROUTES = (Route("/compute", page), forms.form("/compute", computed))
