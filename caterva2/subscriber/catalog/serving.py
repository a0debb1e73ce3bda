"""Pages of a catalog that was taken from a publisher, as that publisher would answer them."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterable

from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.model import Entry
from caterva2.names import DatasetPath
from caterva2.subscriber.catalog.copy import CatalogCopy
from caterva2.subscriber.catalog.history import CatalogHistory
from caterva2.wire.messages import Catalog, CatalogRequest

_MANY = 5_000
"""Entries above which sorting them is work for a thread."""


class CatalogPages:
    """Answer requests for a catalog.

    Parameters
    ----------
    limits : PublisherLimits, optional
        ``catalog_page`` bounds the pages.

    Attributes
    ----------
    history : CatalogHistory
    """

    def __init__(self, limits: PublisherLimits = DEFAULTS.publisher) -> None:
        self.history = CatalogHistory(limits)
        self._size = limits.catalog_page
        self._ordered: list[Entry] = []
        self._of: tuple[str, int] = ("", -1)

    async def page(self, copy: CatalogCopy, request: CatalogRequest) -> Catalog:
        """Return a page of a catalog: the changes since a revision, if these are still known.

        It has what the origin signed, if that is asked for and of its revision.
        """
        said = copy.signed if request.signed else None
        page = await self._page(copy, request)
        if said is None or (said.inst, said.rev) != (page.inst, page.rev):
            return page
        return page.model_copy(update={"manifest": said})

    async def _page(self, copy: CatalogCopy, request: CatalogRequest) -> Catalog:
        inst, rev = copy.inst, copy.rev
        changed = None
        if request.since_rev >= 0 and not request.cursor:
            changed = self.history.since(request.inst, request.since_rev)
        if changed is not None and request.inst == inst and len(changed) <= self._size:
            found = {path: copy.entry(path) for path in changed}
            return Catalog(
                id=request.id, inst=inst, rev=rev, full=False,
                entries=_known(found.values(), request),
                deleted=tuple(path for path, entry in found.items() if entry is None),
            )  # fmt: skip
        if not request.cursor or self._of[0] != inst:
            await self._sort(copy)
        (inst, rev), ordered = self._of, self._ordered
        start = bisect_right(ordered, request.cursor, key=_path)
        page = ordered[start : start + self._size]
        return Catalog(
            id=request.id, inst=inst, rev=rev, full=True,
            cursor=page[-1].path if start + len(page) < len(ordered) else "",
            entries=_known(page, request),
        )  # fmt: skip

    async def _sort(self, copy: CatalogCopy) -> None:
        """Put the entries of one revision in order, which later pages are of, too.

        The copy changes while a thread sorts them.
        """
        now = copy.inst, copy.rev
        if self._of == now:
            return
        entries = [*copy.entries.values(), *copy.groups.values()]
        if len(entries) > _MANY:
            await asyncio.to_thread(entries.sort, key=_path)
        else:
            entries.sort(key=_path)
        if self._of != (copy.inst, copy.rev):  # else others have sorted what it is now
            self._ordered, self._of = entries, now


def _path(entry: Entry) -> DatasetPath:
    return entry.path


def _known(entries: Iterable[Entry | None], request: CatalogRequest) -> tuple[Entry, ...]:
    found = (entry for entry in entries if entry is not None)
    return tuple(entry for entry in found if request.groups or entry.kind != "group")
