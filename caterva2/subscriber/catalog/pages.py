"""Request a publisher's catalog page by page."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from caterva2.errors import BadMessage, DeadlineExceeded
from caterva2.limits import DEFAULTS, SubscriberLimits
from caterva2.names import DatasetPath
from caterva2.runtime import memory
from caterva2.wire import messages
from caterva2.wire.calls import AsksFor
from caterva2.wire.messages import DataReply

Ask = Callable[[str, int], Awaitable[list[messages.Catalog]]]
"""Requests all pages of what changed since a revision of a run."""
MANY_ENTRIES = 500
"""Entries of a page from which on the collector of garbage need not look at them again."""


async def ask(
    connection: AsksFor[DataReply],
    inst: str,
    since_rev: int,
    limits: SubscriberLimits = DEFAULTS.subscriber,
    *,
    others: bool = False,
) -> list[messages.Catalog]:
    """Request all pages of what changed since a revision of a publisher's run, or of everything.

    Parameters
    ----------
    connection : AsksFor
    inst : str
    since_rev : int
    limits : SubscriberLimits
    others : bool
        Whether another provider can be asked if this one takes long.

    Raises
    ------
    BadMessage
        If the pages do not make up a catalog, or are too many or too large.
    DeadlineExceeded
        If not all of them arrived in time, or they drip.
    """
    most = "CATALOG_TURN" if others else "CATALOG_DEADLINE"
    deadline = limits.catalog_turn if others else limits.catalog_deadline
    began = asyncio.get_running_loop().time()
    patience, size = asyncio.timeout(min(limits.catalog_start, deadline)), 0

    def arrived(more: int) -> None:
        nonlocal size
        size += more
        seconds = limits.catalog_start + size / limits.catalog_rate
        patience.reschedule(began + min(seconds, deadline))

    try:
        async with patience:
            return await _pages(connection, inst, since_rev, limits, arrived)
    except TimeoutError:
        whole = limits.catalog_start + size / limits.catalog_rate >= deadline
        what = f"{most}, {deadline:g} s" if whole else "CATALOG_START and CATALOG_RATE: it drips"
        raise DeadlineExceeded(f"the catalog did not arrive within {what}") from None


def differing(
    pages: Iterable[messages.Catalog], before: set[DatasetPath] | None
) -> set[DatasetPath] | None:
    """Return the paths that pages may change, besides others; None for any."""
    found = before
    for page in pages:
        if page.full or found is None:
            return None
        found = found | {entry.path for entry in page.entries} | set(page.deleted)
    return found


async def _pages(
    connection: AsksFor[DataReply],
    inst: str,
    since_rev: int,
    limits: SubscriberLimits,
    arrived: Callable[[int], None],
) -> list[messages.Catalog]:
    pages: list[messages.Catalog] = []
    count, size, cursor = 0, 0, ""
    while not pages or cursor:
        page = await connection.ask(
            messages.CatalogRequest(inst=inst, since_rev=since_rev, cursor=cursor, groups=True)
        )
        if not isinstance(page, messages.Catalog):
            raise BadMessage(f"{connection.endpoint} answered {page.type} to catalog?")
        if pages and page.inst != pages[0].inst:
            raise BadMessage(f"{connection.endpoint} restarted while it sent its catalog")
        if page.cursor and page.cursor <= cursor:
            raise BadMessage(f"{connection.endpoint} sends its catalog in circles")
        pages.append(page)
        count += max(len(page.entries) + len(page.deleted), 1)
        more = sum(len(entry.path) + len(entry.etag) for entry in page.entries)
        more += sum(map(len, page.deleted))
        size += more
        if count > limits.catalog_entries:
            raise BadMessage(
                f"{connection.endpoint} has more datasets than CATALOG_ENTRIES,"
                f" {limits.catalog_entries}"
            )
        if size > limits.catalog_bytes:
            raise BadMessage(
                f"{connection.endpoint} has longer names than CATALOG_BYTES, {limits.catalog_bytes}"
            )
        arrived(more)
        if len(page.entries) >= MANY_ENTRIES:
            memory.promote_all()
        cursor = page.cursor
    return pages
