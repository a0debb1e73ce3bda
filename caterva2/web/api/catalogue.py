"""Roots, directories, and descriptions of datasets."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Mapping
from typing import Annotated, Literal, cast

from pydantic import WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from caterva2.browsing import index as indices
from caterva2.errors import Busy, CatervaError, DeadlineExceeded, NotFound, RootOffline
from caterva2.model import RootStatus
from caterva2.names import DatasetPath, RootName, split_full
from caterva2.rest import media, paths
from caterva2.rest.attributes import Attribute
from caterva2.rest.catalogue import Group, Level, Root, Roots
from caterva2.rest.datasets import Description, Holding, Members, OneLevel, TableParts
from caterva2.web import answers, descriptions
from caterva2.web.api.datasets import READING, directory_of, read
from caterva2.web.disconnect import until_disconnected
from caterva2.web.operation import Operation, Parameter, json_reply
from caterva2.web.params import pages, queries
from caterva2.web.reader import Catalogue, Dataset, Member
from caterva2.web.state import reader_of, state_of

log = logging.getLogger(__name__)
NOT_NOW = (RootOffline, DeadlineExceeded, Busy)
"""Why the attributes of a directory may not be known, although all else is."""


def _catalogue(request: Request) -> Catalogue:
    return reader_of(request)


def _shown(root: RootStatus) -> Root:
    shown: Root = {
        "name": root.name, "http": root.http, "subscribed": True if root.subscribed else None
    }  # fmt: skip
    if root.offline:
        shown["offline"] = True
    return shown


async def roots(request: Request) -> Response:
    detail = pages.is_on(queries.once(request), "detail")
    listed: Roots = {root.name: _shown(root) for root in _catalogue(request).roots()}
    if detail:
        await until_disconnected(request, _add_details(_catalogue(request), listed))
    return answers.json_answer(listed)


async def _add_details(catalogue: Catalogue, listed: Roots) -> None:
    for name, shown in listed.items():
        shown["detail"] = None
        with contextlib.suppress(CatervaError):  # it is gone meanwhile
            found = await catalogue.details(RootName(name))
            if found is not None:
                shown["detail"] = {
                    "datasets": found.datasets, "size": found.size, "cached": found.cached,
                    "state": found.state,
                    "heard": descriptions.timestamp_or_none(found.heard),
                    "way": None if found.way is None else descriptions.way(found.way),
                }  # fmt: skip


async def subscribe(request: Request) -> Response:
    root, _ = split_full(request.path_params["root"])
    await _catalogue(request).subscribe(root)
    return answers.json_answer("Ok")


async def unsubscribe(request: Request) -> Response:
    root, _ = split_full(request.path_params["root"])
    await _catalogue(request).unsubscribe(root)
    return answers.json_answer("Ok")


async def listing(request: Request) -> Response:
    root, directory = directory_of(request)
    found = list(await _catalogue(request).entries(root))  # copied: another thread reads it
    name, step = f"{root}/{directory}", state_of(request).limits.web.listing_step
    body = await asyncio.to_thread(descriptions.listing, name, directory, found, step)
    return Response(body, media_type=media.JSON)


async def entries(request: Request) -> Response:
    root, directory = directory_of(request)
    found = list((await _catalogue(request).entries(root)).values())  # copied, as above
    name = f"{root}/{directory}"
    body = await asyncio.to_thread(descriptions.level, name, directory, found)
    return _listing(body, _catalogue(request), root)


async def info(request: Request) -> Response:
    root, rest = directory_of(request)
    entries = await _catalogue(request).entries(root)
    if rest in entries:
        return await read(request, functools.partial(_describe, request))
    attrs, table = await _own(request, NOT_NOW)
    known = list(entries.values())  # copied: another thread reads it
    name = request.path_params["path"]
    made = await asyncio.to_thread(descriptions.group, name, rest, known, attrs, table)
    return answers.json_answer(made)


def _listing(body: bytes, catalogue: Catalogue, root: RootName) -> Response:
    """Answer with a listing of a root, which may be old where its publisher is away."""
    offline = any(status.stale for status in catalogue.roots() if status.name == root)
    return Response(body, headers=answers.warning(offline=offline), media_type=media.JSON)


async def _describe(request: Request, dataset: Dataset) -> Response:
    headers = answers.warning(offline=dataset.offline) | {"ETag": f'"{dataset.info.etag}"'}
    made = descriptions.dataset(dataset)
    if dataset.info.kind == "file":  # it may hold datasets, and is readable in any case
        made["attrs"], table = await _own(request, CatervaError)
        made = cast("Description", {**made, **table, **await _held(request)})
    return answers.json_answer(made, headers)


async def _held(request: Request) -> Holding:
    """Return the number of datasets in a file that holds any."""
    root, path = directory_of(request)
    index = await (await _catalogue(request).browse(root)).index()
    return {"nfiles": index.count(path)} if index.holds(path) else {}


async def _own(
    request: Request, unknown: type[CatervaError] | tuple[type[CatervaError], ...]
) -> tuple[dict[str, Attribute] | None, TableParts]:
    """Return the attributes of a directory or file itself, and its table; None for some errors."""
    try:
        group = await _catalogue(request).group(*directory_of(request))
    except unknown as error:
        log.info("attributes of %s: %s", request.path_params["path"], error)
        return None, {}
    return descriptions.attributes_of(group), descriptions.table_of(group)


async def members(request: Request) -> Response:
    root, rest = directory_of(request)
    query = queries.once(request)
    given = query.get("after", "")
    after = (f"{rest}/{given}" if rest else given) if given else ""
    if after:
        DatasetPath(after.removesuffix("/"))
    catalogue, state = _catalogue(request), state_of(request)
    page = pages.count_of(query, state.limits.web.members, state.limits.web.members)
    if pages.is_on(query, "depth"):
        return await _level(request, root, rest, given, page)
    making = functools.partial(state.members.prepare, root)
    found = await until_disconnected(request, catalogue.members(root, rest, after, page, making))
    if rest and not found and not after:
        raise NotFound(f"{root}/{rest} does not exist")
    body = await asyncio.to_thread(state.members.page, root, rest, found, page)
    return _listing(body, catalogue, root)


async def _level(
    request: Request, root: RootName, directory: str, after: str, count: int
) -> Response:
    """Answer with a page of one level of a root."""
    catalogue, state = _catalogue(request), state_of(request)

    async def found() -> tuple[indices.Level, Mapping[DatasetPath, Member]]:
        browser = await catalogue.browse(root)
        index = await browser.index()
        level = await asyncio.to_thread(index.level, directory, after, count)
        if level is None:
            raise NotFound(f"{root}/{directory} does not exist")
        return level, await browser.described(level.paths)

    level, members = await until_disconnected(request, found())
    body = await asyncio.to_thread(state.members.level, root, level, members)
    return _listing(body, catalogue, root)


_AFTER = Parameter("after", str, "a path, relative to the directory: describe those behind it")
_DETAIL = Parameter(
    "detail", Annotated[str, WithJsonSchema({"enum": ["1"]})],
    "1: with what is known of each root as a whole",
)  # fmt: skip
_DEPTH = Parameter(
    "depth", Annotated[str, WithJsonSchema({"enum": ["1"]})],
    "1: only what is on this level, and how many datasets are below each directory",
)  # fmt: skip

OPERATIONS = (
    Operation(
        "GET", paths.INFO, info, "Describe a dataset, directory or root",
        {200: json_reply(Description | Group, "the description", "ETag", "Warning")},
        failures=READING,
    ),
    Operation(
        "GET", paths.ROOTS, roots, "List the roots",
        {200: json_reply(Roots, "the roots by their names")}, failures=(400, 503, 504),
        parameters=(_DETAIL,),
    ),
    Operation(
        "POST", paths.SUBSCRIBE, subscribe, "Subscribe to a root",
        {200: json_reply(Literal["Ok"], "the names of its datasets are known")},
        failures=(400, 401, 404, 502, 503, 504),
    ),
    Operation(
        "DELETE", paths.SUBSCRIBE, unsubscribe, "Unsubscribe from a root",
        {200: json_reply(Literal["Ok"], "its cache stays")},
        failures=(400, 401, 404, 503),
    ),
    Operation(
        "GET", paths.LIST, listing, "List the datasets below a root or directory",
        {200: json_reply(list[str], "sorted paths, relative to it")},
        failures=(400, 404, 502, 503, 504),
    ),
    Operation(
        "GET", paths.ENTRIES, entries, "List the members of a root or directory, with their sizes",
        {200: json_reply(Level, "datasets and directories by their names", "Warning")},
        failures=(400, 404, 502, 503, 504),
    ),
    Operation(
        "GET", paths.MEMBERS, members, "Describe the datasets below a root or directory",
        {200: json_reply(Members | OneLevel, "the first of them, in order", "Warning")},
        failures=(*READING, 413), parameters=(_AFTER, _DEPTH, pages.LIMIT),
    ),
)  # fmt: skip
