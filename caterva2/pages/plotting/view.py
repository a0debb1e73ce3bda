"""The tab with a plot of an array."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from caterva2.pages.plotting.cost import ASK, VALUES, Cost, cost
from caterva2.pages.plotting.state import ASPECTS, MAPS, REDUCTIONS, SCALES, PlotState
from caterva2.pages.plotting.subject import KINDS, PARTS, Subject
from caterva2.web.reader import Dataset

_PIXELS = 1024
_LINE_PIXELS = 2048
_SAMPLED = 512_000_000
"""Bytes of values of which the script asks for a sample first."""


def fits(opened: Dataset) -> bool:
    """Return whether there is something to plot."""
    return Subject.of(opened.info) is not None


async def view(request: Request, opened: Dataset) -> Mapping[str, Any]:
    """Return what the tab shows."""
    info = opened.info
    subject = Subject.of(info)
    assert subject is not None
    state = PlotState.of(request.query_params, subject)
    expected = cost(info, state, opened.cached_chunks)
    asks = expected.is_large and request.query_params.get("read") != "all"
    maps = MAPS if state.map in MAPS else (*MAPS, state.map)
    return {
        "subject": subject, "plot": state, "cost": expected,
        "asks": asks, "first": {} if asks else _first(state, subject, expected),
        "kinds": {name: KINDS[name] for name in subject.kinds},
        "axes": {str(axis): subject.name(axis) for axis in subject.axes},
        "fields": {name: name for name in subject.fields}, "last_column": max(subject.shape) - 1,
        "parts": PARTS if subject.is_complex(state.field) else {}, "scales": SCALES,
        "maps": {name: name for name in maps}, "reductions": REDUCTIONS, "aspects": ASPECTS,
        "picture": _picture(state, subject), "facts": json.dumps(_facts(opened, subject)),
        "read_all": "?" + urllib.parse.urlencode({**request.query_params, "read": "all"}),
    }  # fmt: skip


def _facts(opened: Dataset, subject: Subject) -> dict[str, Any]:
    """Return what the script knows of the array."""
    info = opened.info
    return {
        "shape": info.shape, "dims": subject.dims, "chunks": info.chunks,
        "ask": ASK, "askValues": VALUES,
        "nchunks": info.nchunks, "cbytes": info.cbytes, "chunksize": info.chunksize,
        "cached": opened.cached_chunks, "records": bool(subject.fields),
        "usual": PlotState.of({}, subject).params(),
    }  # fmt: skip


def _first(state: PlotState, subject: Subject, expected: Cost) -> dict[str, Any]:
    """Return the parameters of the overview that the script asks for first; empty if unknown.

    They are those of ``requests.js`` and ``reading.js`` in the same order, so that the browser
    takes the answer that it began to fetch with the page.
    """
    if state.kind not in ("heatmap", "line") or 0 in subject.shape or expected.values > _SAMPLED:
        return {}
    line = len(state.drawn) == 1
    return {
        "slice_": state.slice_(subject), "size": _LINE_PIXELS if line else _PIXELS,
        "reduce": "minmax" if line else state.reduce, "field": state.field, "part": state.part,
    }  # fmt: skip


def _picture(state: PlotState, subject: Subject) -> dict[str, Any]:
    """Return the parameters of the picture, for browsers that can't draw; empty for a curve."""
    if state.kind not in ("heatmap", "image"):
        return {}
    scale = state.scale if state.kind == "heatmap" and state.scale == "log" else ""
    return {
        "slice_": state.slice_(subject), "size": _PIXELS, "map": state.map, "lo": state.lo,
        "hi": state.hi, "scale": scale, "field": state.field, "part": state.part,
    }  # fmt: skip
