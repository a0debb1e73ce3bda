"""Search for datasets by name, dtype, shape and attributes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from pydantic import Field, WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from caterva2.browsing import search as searching
from caterva2.browsing.query import LENGTH, Query, parse
from caterva2.browsing.search import Bounds
from caterva2.errors import CatervaError, NotFound
from caterva2.limits import constants
from caterva2.names import DatasetPath, RootName, parse_full
from caterva2.rest import media, paths
from caterva2.rest.catalogue import Found
from caterva2.web.api.datasets import READING, directory_of
from caterva2.web.disconnect import until_disconnected
from caterva2.web.operation import Operation, Parameter, json_reply
from caterva2.web.params import pages, queries
from caterva2.web.reader import Catalogue, Member
from caterva2.web.state import reader_of, state_of

_USUAL: Final = 100
"""Datasets of a page where the request does not say how many."""
_FILTERS: Final = ("q", "dtype", "ndim", "shape", "attr")


@dataclass(slots=True)
class Search:
    """A search in one root after the other, and what it has found."""

    catalogue: Catalogue
    query: Query
    after: tuple[str, str]
    count: int
    bounds: Bounds
    found: list[tuple[RootName, DatasetPath, Member]] = field(default_factory=list)
    total: int = 0
    unknown: int = 0
    named: int = 0
    describing: bool = False
    more: bool = False
    skipped: list[RootName] = field(default_factory=list)

    async def all_roots(self) -> None:
        """Search all roots that are followed."""
        for status in sorted(self.catalogue.roots(), key=lambda status: status.name):
            try:
                if not status.subscribed or self.bounds.left <= 0:
                    self.skipped.append(status.name)
                else:
                    await self.root(status.name, "")
            except CatervaError:
                self.skipped.append(status.name)

    async def root(self, root: RootName, directory: str) -> None:
        """Search a directory of a root, or all of it."""
        browser = await self.catalogue.browse(root)
        found = await searching.search(browser, directory, self.query, self.bounds)
        if found is None:
            raise NotFound(f"{root}/{directory} does not exist")
        self.total += len(found.paths)
        self.unknown, self.named = self.unknown + found.unknown, self.named + found.named
        self.describing |= found.describing
        last_root, last = self.after
        if root < last_root:
            return
        behind = found.behind(last if root == last_root else "")
        chosen = behind[: self.count - len(self.found)]
        self.more |= len(behind) > len(chosen)
        described = await browser.described(chosen)
        self.found += [(root, path, described[path]) for path in chosen]

    def rest(self) -> dict[str, object]:
        """Return the keys of the answer beside the datasets."""
        last = "/".join(self.found[-1][:2]) if self.found and self.more else None
        return {
            "total": None if self.unknown else self.total, "unknown": self.unknown,
            "describing": self.describing,
            "skipped": self.skipped, "more": last is not None, "after": last,
        }  # fmt: skip


async def search(request: Request) -> Response:
    root, directory = directory_of(request)
    started = started_by(request)
    await until_disconnected(request, started.root(root, directory))
    return await _answer(request, started)


async def search_all(request: Request) -> Response:
    started = started_by(request)
    await until_disconnected(request, started.all_roots())
    return await _answer(request, started)


def started_by(request: Request) -> Search:
    """Make the search that the query of a request asks for; `BadRequest` if it can't be read."""
    given, limits = queries.once(request), state_of(request).limits.web
    query = parse(**{name: given[name] for name in _FILTERS if name in given})
    after = parse_full(given["after"]) if given.get("after") else ("", "")
    bounds = Bounds(time.monotonic() + limits.search_time, limits.search_described)
    count = pages.count_of(given, _USUAL, limits.members)
    return Search(reader_of(request), query, after, count, bounds)


async def _answer(request: Request, done: Search) -> Response:
    made = state_of(request).members.found
    body = await asyncio.to_thread(made, done.found, done.rest())
    return Response(body, media_type=media.JSON)


def _text(name: str, description: str) -> Parameter:
    schema: dict[str, Any] = {"type": "string", "maxLength": LENGTH}
    return Parameter(name, Annotated[str, WithJsonSchema(schema)], description)


_PARAMETERS = (
    _text("q", "words that the path has, all of them, whatever their case"),
    _text("dtype", "a dtype in any byte order, or bool, int, uint, float, complex, text, ..."),
    Parameter(
        "ndim", Annotated[int, Field(ge=0, le=constants.NDIM)], "the number of axes of an array"
    ),
    _text("shape", "the shape of an array, as 100,*,3 with * for any size"),
    _text("attr", "NAME, an attribute that there is, or NAME=VALUE"),
    Parameter("after", str, "ROOT/PATH: what follows it"),
    pages.LIMIT,
)
_FOUND = {200: json_reply(Found, "a page of what was found")}

OPERATIONS = (
    Operation(
        "GET", paths.SEARCH_ALL, search_all, "Search in all roots that are followed", _FOUND,
        failures=(400, 404, 413, 503, 504), parameters=_PARAMETERS,
    ),
    Operation(
        "GET", paths.SEARCH, search, "Search in a root or directory", _FOUND,
        failures=(*READING, 413), parameters=_PARAMETERS,
    ),
)  # fmt: skip
