"""The page of a root or directory: a list of one level."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from caterva2.errors import BadRequest, Busy, CatervaError, DeadlineExceeded, RootOffline
from caterva2.model import DatasetInfo, Entry, RootStatus
from caterva2.names import DatasetPath, RootName, full_name
from caterva2.pages import attributes, rendering
from caterva2.pages.level import Level, level
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
    if not given.isascii() or not given.isdecimal() or not 1 <= int(given[:9]) <= count:
        raise BadRequest(f"page={given[:20]!r} is not one of the {count} pages of this list")
    return Pages(int(given), count)


def status_of(request: Request, root: RootName) -> RootStatus | None:
    """Return the state of a root, None if it is not listed."""
    return next((one for one in reader_of(request).roots() if one.name == root), None)


async def level_of(root: RootName, below: str, entries: Mapping[DatasetPath, Entry]) -> Level:
    """Collect one level in a thread."""
    known = list(entries.values())  # copied: another thread reads it
    return await asyncio.to_thread(level, full_name(root, below), below, known)


async def own_description(request: Request, root: RootName, below: str) -> DatasetInfo | None:
    """Describe a directory itself; None if it has no attributes, or they are not known now."""
    try:
        return await reader_of(request).group(root, below)
    except _NOT_NOW as error:
        log.info("attributes of %s: %s", full_name(root, below), error)
    except CatervaError as error:
        log.warning("attributes of %s: %s", full_name(root, below), error)
    return None


async def show(
    request: Request, root: RootName, below: str, entries: Mapping[DatasetPath, Entry]
) -> Response:
    """Answer with the list of a directory."""
    found = await level_of(root, below, entries)
    shown = paged(request, len(found.rows))
    start = (shown.number - 1) * ROWS
    info = await own_description(request, root, below)
    return await rendering.page(
        request, "directory.html",
        root=root, below=below, status=status_of(request, root), level=found, pages=shown,
        rows=found.rows[start : start + ROWS], first=start + 1,
        attributes=attributes.shown(info), columns=info.columns if info else (),
    )  # fmt: skip
