"""Overviews of planes and lines, statistics of any part of an array, and images."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Annotated, Any, cast

import numpy as np
from pydantic import WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from caterva2.arrays import images
from caterva2.arrays.overviews import Overview, Survey
from caterva2.errors import BadRequest
from caterva2.names import parse_full
from caterva2.rest import fetch as fetch_types
from caterva2.rest import paths
from caterva2.rest.values import layout
from caterva2.rest.values import overviews as types
from caterva2.web import answers, conditions
from caterva2.web.api.datasets import PRECONDITIONS, READING, read
from caterva2.web.descriptions import kind_of
from caterva2.web.operation import Operation, Parameter, Reply
from caterva2.web.overviews import Key, tag
from caterva2.web.params import queries
from caterva2.web.params import survey as survey_params
from caterva2.web.params.survey import SurveyParams
from caterva2.web.reader import Dataset
from caterva2.web.server import bodies
from caterva2.web.state import state_of

_CACHED = {"Cache-Control": "private, no-cache"}
"""A browser keeps it, and asks whether it still is the one of the present version."""


async def _surveyed(
    request: Request, dataset: Dataset, survey: Survey, exact: bool | None, more: str = ""
) -> tuple[Overview, dict[str, str]] | Response:
    """Return what was asked for and headers of the answer, or an answer for who has it already."""
    state = state_of(request)
    survey_params.check(survey, state.limits.overviews)
    root, path = parse_full(request.path_params["path"])
    key: Key = root, path, dataset.info.etag, survey
    key = (*key[:3], state.overviews.plan(key, dataset, exact=exact))
    headers = _CACHED | answers.warning(offline=dataset.offline) | {"ETag": tag(key, more)}
    if conditions.has_tag(request, headers["ETag"]):
        return answers.not_modified(headers["ETag"], headers)
    return await state.overviews.get(key, dataset), headers


async def overview(request: Request) -> Response:
    params = survey_params.of_query(request, state_of(request).limits.overviews)

    async def work(dataset: Dataset) -> Response:
        survey = params.survey(dataset.info, 2)
        found = await _surveyed(request, dataset, survey, params.exact)
        if isinstance(found, Response):
            return found
        made, headers = found
        assert made.values is not None
        with await bodies.hold(request, made.values.nbytes, computed=False) as hold:
            begin = layout.begin(_head(dataset, survey, made))
            packed = await asyncio.to_thread(layout.packed, made.values)
            return bodies.BudgetedBody((begin, packed), hold, headers, layout.MEDIA_TYPE)

    return await read(request, work)


def _head(dataset: Dataset, survey: Survey, made: Overview) -> types.OverviewHead:
    assert made.values is not None
    info, values = dataset.info, made.values
    known = types.statistics(made.statistics, exact=made.exact)
    known.pop("std")
    begin = layout.head_of(kind_of(info), values.shape, values.dtype, info.etag)
    placed = {
        "full_shape": list(made.shape), "bins": list(made.bins), "reduce": survey.reduce
    }  # fmt: skip
    return cast("types.OverviewHead", {**begin, **placed, **known})


async def stats(request: Request) -> Response:
    limits = state_of(request).limits.overviews
    params = survey_params.of_query(request, limits, binned=False)

    async def work(dataset: Dataset) -> Response:
        survey = params.survey(dataset.info, None)
        found = await _surveyed(request, dataset, survey, params.exact)
        if isinstance(found, Response):
            return found
        made, headers = found
        return answers.json_answer(types.statistics(made.statistics, exact=made.exact), headers)

    return await read(request, work)


async def image(request: Request) -> Response:
    limits = state_of(request).limits.overviews
    params = survey_params.of_query(request, limits)
    given = queries.once(request)
    if "reduce" not in given:
        params = replace(params, reduce="mean")
    draw = _Drawing(request, given)

    async def work(dataset: Dataset) -> Response:
        survey = draw.survey(params, dataset)
        found = await _surveyed(request, dataset, survey, params.exact, repr(draw.key))
        if isinstance(found, Response):
            return found
        made, headers = found
        assert made.values is not None
        with await bodies.hold(request, 2 * made.values.nbytes, computed=False) as hold:
            drawn = await asyncio.to_thread(draw.draw, made)
            return bodies.BudgetedBody((drawn,), hold, headers, types.PNG)

    return await read(request, work)


class _Drawing:
    """How an image is drawn, by the parameters of its request."""

    def __init__(self, request: Request, given: dict[str, str]) -> None:
        self._map = queries.choice(given, "map", images.MAPS, "viridis")
        self._log = queries.choice(given, "scale", ("linear", "log"), "linear") == "log"
        self._lo, self._hi = queries.number(given, "lo"), queries.number(given, "hi")
        if self._lo is not None and self._hi is not None and self._lo > self._hi:
            raise BadRequest(f"lo={self._lo:g} is above hi={self._hi:g}")
        for name, bound in (("lo", self._lo), ("hi", self._hi)):
            if self._log and bound is not None and bound <= 0:
                raise BadRequest(f"{name}={bound:g} is not positive, scale=log needs such bounds")

    @property
    def key(self) -> object:
        """What tells this drawing from others."""
        return self._map, self._log, self._lo, self._hi

    def survey(self, params: SurveyParams, dataset: Dataset) -> Survey:
        """Return what is to be drawn: with two numbers a bin, the higher one is."""
        if params.reduce == "minmax":
            params = replace(params, reduce="max")
        made = params.survey(dataset.info, 2, colours=True)
        if len(made.selection.result_shape) == 1:
            raise BadRequest("this selects 1 axis, an image has 2")
        if 0 in made.selection.result_shape:
            raise BadRequest("this selects no value, so there is no image")
        if len(made.selection.result_shape) == 3:
            made = replace(made, size=max(made.size, 4))  # the colours are not binned
        return replace(made, square=True)

    def draw(self, made: Overview) -> bytes:
        """Return the image as a PNG file; blocks."""
        values: Any = made.values
        if values.ndim == 3:
            return images.png_of_colours(images.widened(np.rint(values).astype(np.uint8)))
        known = made.statistics
        lo = known.p1 if self._lo is None and known.p1 != known.p99 else self._lo
        hi = known.p99 if self._hi is None and known.p1 != known.p99 else self._hi
        return images.png_of_values(values, lo, hi, self._map, log=self._log)


def _field(description: str) -> Any:
    return Parameter("field", fetch_types.FieldName, description)


_SLICE = Parameter(
    "slice_", fetch_types.Slice,
    "a slice as in Python, without brackets: an integer for each axis that is not shown",
)  # fmt: skip
_SELECTED = (
    _SLICE, _field("a field of a structured dtype"),
    Parameter("part", types.Part, "of complex numbers; their absolute value without it"),
    Parameter(
        "exact", types.Exact,
        "1: of all values, even if that takes long; 0: of a sample if there are many; without it, "
        "the first answer is of a sample if all would take long",
    ),
    Parameter("If-None-Match", where="header"), *PRECONDITIONS,
)  # fmt: skip
_BINNED = (
    Parameter("size", types.Size, "bins of an axis at most"),
    Parameter("reduce", types.Reduce, "what becomes of the items of a bin"),
)
_HEADERS = ("ETag", "Warning")
_FAILURES = (304, *READING, 413, 507)
_MAP = Annotated[str, WithJsonSchema({"enum": list(images.MAPS)})]

OPERATIONS = (
    Operation(
        "GET", paths.OVERVIEW, overview,
        "Make a plane or a line small, with the statistics of all its values",
        {200: Reply("the bins, in the values format", {layout.MEDIA_TYPE: bytes}, _HEADERS,
                    (types.OverviewHead,))},
        failures=_FAILURES, parameters=(*_SELECTED, *_BINNED),
    ),
    Operation(
        "GET", paths.STATS, stats, "Describe the values of any part of an array",
        {200: Reply("their statistics", {"application/json": types.Statistics}, _HEADERS)},
        failures=_FAILURES, parameters=_SELECTED,
    ),
    Operation(
        "GET", paths.IMAGE, image, "Draw a plane, or an image of red, green and blue bytes",
        {200: Reply("a PNG file", {types.PNG: bytes}, _HEADERS)},
        failures=_FAILURES,
        parameters=(
            *_SELECTED, *_BINNED,
            Parameter("map", _MAP, "a colour map"),
            Parameter("lo", types.Bound, "the number of the first colour; percentile 1 without it"),
            Parameter("hi", types.Bound, "of the last colour; percentile 99 without it"),
            Parameter("scale", types.Scale, "how numbers become colours"),
        ),
    ),
)  # fmt: skip
