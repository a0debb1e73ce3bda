"""The page of a root or directory: a list of one level."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from starlette.requests import Request
from starlette.responses import Response

from caterva2.arrays import dtypes
from caterva2.browsing.index import Index, Level
from caterva2.errors import (
    BadRequest,
    Busy,
    CatervaError,
    DeadlineExceeded,
    NotFound,
    RootOffline,
)
from caterva2.model import DatasetInfo, RootStatus
from caterva2.names import DatasetPath, RootName, full_name
from caterva2.pages import attributes, figures, rendering
from caterva2.web.browsing import Browser
from caterva2.web.reader import Member
from caterva2.web.state import reader_of

log = logging.getLogger(__name__)
ROWS = 100
"""Rows of a page: what people look through, in few nodes."""
_NOT_NOW = (RootOffline, DeadlineExceeded, Busy)


@dataclass(frozen=True, slots=True)
class Pages:
    """Which of how many pages of a list is shown; they count from 1."""

    number: int
    count: int

    @property
    def before(self) -> int | None:
        """The page before, None on the first one."""
        return self.number - 1 if self.number > 1 else None

    @property
    def after(self) -> int | None:
        """The page after, None on the last one."""
        return self.number + 1 if self.number < self.count else None


def paged(request: Request, length: int, rows: int = ROWS) -> Pages:
    """Return the page of a list that a request asks for; `BadRequest` if it has no such page."""
    given = request.query_params.get("page", "1")
    count = max(1, -(-length // rows))
    is_number = given.isascii() and given.isdecimal() and len(given) <= 9
    if not is_number or not 1 <= int(given) <= count:
        raise BadRequest(f"page={given[:20]!r} is not one of the {count} pages of this list")
    return Pages(int(given), count)


def status_of(request: Request, root: RootName) -> RootStatus | None:
    """Return the state of a root, None if it is not listed."""
    return next((one for one in reader_of(request).roots() if one.name == root), None)


async def own_description(request: Request, root: RootName, below: str) -> DatasetInfo | None:
    """Describe a directory itself; None if it has no attributes, or they are not known now."""
    try:
        return await reader_of(request).group(root, below)
    except _NOT_NOW as error:
        log.info("attributes of %s: %s", full_name(root, below), error)
    except CatervaError as error:
        log.warning("attributes of %s: %s", full_name(root, below), error)
    return None


async def show(request: Request, root: RootName, below: str, browser: Browser) -> Response:
    """Answer with the list of a directory."""
    index = await browser.index()
    first = await asyncio.to_thread(index.level, below, "", 1)
    if first is None:
        raise NotFound(f"{full_name(root, below)} does not exist")
    shown = paged(request, first.branch_count + first.dataset_count)
    start = (shown.number - 1) * ROWS
    level, members = await _described(browser, index, below, start)
    info = await own_description(request, root, below)
    return await rendering.page(
        request, "directory.html",
        root=root, below=below, status=status_of(request, root), pages=shown, first=start + 1,
        branches=level.branches, datasets=[listed(path, one) for path, one in members.items()],
        count_all=first.branch_count + first.dataset_count,
        count_below=len(await asyncio.to_thread(index.below, below)),
        attributes=attributes.shown(info), columns=info.columns if info else (),
    )  # fmt: skip


async def _described(
    browser: Browser, index: Index, below: str, start: int
) -> tuple[Level, Mapping[DatasetPath, Member]]:
    """Return the rows that begin at a position of a level, with descriptions of the datasets."""
    upto = await asyncio.to_thread(index.level, below, "", start + ROWS)
    assert upto is not None
    branches = upto.branches[start:]
    paths = upto.paths[max(0, start - len(upto.branches)) :]
    return replace(upto, branches=branches, paths=paths), await browser.described(paths)


@dataclass(frozen=True, slots=True)
class Listed:
    """A dataset in a list: what is known of it, or why nothing is."""

    path: str
    kind: str
    shape: str = ""
    dtype: str = ""
    size: int = 0
    mtime: float = 0.0
    trouble: str = ""


def listed(path: DatasetPath, member: Member) -> Listed:
    """Describe a dataset for a list."""
    if isinstance(member, CatervaError):
        return Listed(path, "file", trouble=member.detail)
    info = member if isinstance(member, DatasetInfo) else member.info
    if info.kind != "array":
        return Listed(path, info.kind, "", "", info.cbytes, info.mtime)
    try:
        dtype = "records" if info.dtype.startswith("[") else dtypes.displayed(info.dtype)
    except CatervaError as error:
        return Listed(path, "array", trouble=error.detail)
    return Listed(path, "array", figures.shape(info.shape), dtype, info.cbytes, info.mtime)
