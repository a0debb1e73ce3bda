"""The page of a root or directory: a list of one level."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace

from starlette.requests import Request
from starlette.responses import Response

from caterva2.arrays import dtypes
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
from caterva2.pages.accounts import uploads
from caterva2.pages.levels import tree
from caterva2.web.contracts.browsing import Browser
from caterva2.web.contracts.editing import Trashed
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


def _asked(request: Request) -> int:
    """Return the page that a request asks for; 0 if that is no page of any list."""
    given = request.query_params.get("page", "1")
    return int(given) if given.isascii() and given.isdecimal() and len(given) <= 9 else 0


def paged(request: Request, length: int) -> Pages:
    """Return the page of a list that a request asks for; `BadRequest` if it has no such page."""
    number, count = _asked(request), max(1, -(-length // ROWS))
    if not 1 <= number <= count:
        given = request.query_params.get("page", "")
        raise BadRequest(f"page={given[:20]!r} is not one of the {count} pages of this list")
    return Pages(number, count)


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
    index, last = await browser.index(), _asked(request) * ROWS
    level = await asyncio.to_thread(index.level, below, "", max(last, 1))
    if level is None:
        raise NotFound(f"{full_name(root, below)} does not exist")
    total = level.branch_count + level.dataset_count
    shown, start = paged(request, total), last - ROWS
    asked = level.paths[max(0, start - len(level.branches)) :]
    plain = [path for path in asked if not index.count(path)]  # the others are among the branches
    total -= len(asked) - len(plain)
    members = await browser.described(plain)
    branches = level.branches[start:]
    if total == 1 and branches:  # one click leads to where there is a choice
        inside = f"{below}/" if below else ""
        only = await asyncio.to_thread(tree.only_below, index, inside + branches[0].name)
        branches = [replace(branches[0], name=only.removeprefix(inside))]
    info = await own_description(request, root, below)
    return await rendering.page(
        request, "directory.html",
        root=root, below=below, status=status_of(request, root), pages=shown, first=start + 1,
        branches=branches, count_all=total,
        datasets=[listed(path, one) for path, one in members.items()],
        holder=tree.holder(await reader_of(request).entries(root), below),
        count_below=len(await asyncio.to_thread(index.below, below)),
        attributes=attributes.shown(info), columns=info.columns if info else (),
        removed=await _removed(request, root), unfinished=await uploads.below(request, root, below),
        tree=await tree.beside(request, root, below, browser),
    )  # fmt: skip


async def _removed(request: Request, root: RootName) -> Trashed | None:
    """Return what the address says was removed a moment ago, if it is in the trash still."""
    ident = request.query_params.get("removed")
    if not ident or not root.is_special:
        return None
    try:
        items = await reader_of(request).trash()
    except CatervaError:
        return None
    return next((one for one in items if one.ident == ident), None)


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
