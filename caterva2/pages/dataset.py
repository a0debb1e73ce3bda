"""The page of a dataset: its head, and one of the tabs below it."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from caterva2.arrays import dtypes
from caterva2.errors import BadRequest
from caterva2.names import DatasetPath, RootName
from caterva2.pages import info, rendering
from caterva2.pages.data import view as data
from caterva2.pages.display import view as display
from caterva2.pages.levels import directory, tree
from caterva2.pages.plotting import view as plotting
from caterva2.web.api.datasets import read
from caterva2.web.contracts.browsing import Browser
from caterva2.web.reader import Dataset
from caterva2.web.state import reader_of

View = Callable[[Request, Dataset], Awaitable[Mapping[str, Any] | Response]]
"""Returns what a tab's template shows, or another answer in place of it."""


@dataclass(frozen=True, slots=True)
class Tab:
    """A way to look at a dataset; its template is ``dataset/NAME.html`` unless it has another.

    ``?part=PART`` asks for a part of it alone, whose template is ``parts/PART.html``.
    """

    name: str
    title: str
    view: View
    fits: Callable[[Dataset], bool]
    part: str = ""
    template: str = ""


TABS = (
    Tab("info", "Info", info.view, lambda _: True),
    Tab("data", "Data", data.view, data.has_values, "window"),
    Tab("plot", "Plot", plotting.view, plotting.fits),
    Tab("display", "Display", display.view, display.is_shown),
)


async def show(request: Request, root: RootName, path: DatasetPath, browser: Browser) -> Response:
    """Answer with the page of a dataset."""
    return await read(request, functools.partial(_show, request, root, path, browser))


async def _show(
    request: Request, root: RootName, path: DatasetPath, browser: Browser, opened: Dataset
) -> Response:
    tabs = [tab for tab in request.app.state.tabs if tab.fits(opened)]
    usual = "info" if opened.info.kind == "array" else "display"
    name = request.query_params.get("tab", usual)
    tab = next((tab for tab in tabs if tab.name == name), None)
    if tab is None:
        names = ", ".join(tab.name for tab in tabs)
        raise BadRequest(f"tab={name[:20]!r} is none of {names}, which this dataset has")
    described = opened.info
    dtype = dtypes.displayed(described.dtype) if described.kind == "array" else ""
    given = await tab.view(request, opened)
    if isinstance(given, Response):
        return given
    part = tab.part and request.query_params.get("part") == tab.part
    whole = tab.template or f"dataset/{tab.name}.html"
    return await rendering.page(
        request, f"parts/{tab.part}.html" if part else whole,
        root=root, below=path, status=directory.status_of(request, root), tabs=tabs, tab=tab,
        info=described, nbytes=info.nbytes(described), dtype=dtype,
        offline=opened.offline, expression=opened.expression,
        holder=tree.holder(await reader_of(request).entries(root), path),
        cached=opened.cached_chunks, cached_bytes=opened.cached_bytes,
        tree=None if part else await tree.beside(request, root, path, browser), **given,
    )  # fmt: skip
