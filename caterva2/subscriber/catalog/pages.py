"""Request a publisher's catalog page by page."""

from __future__ import annotations

from caterva2.errors import BadMessage
from caterva2.limits import DEFAULTS
from caterva2.runtime import memory
from caterva2.wire import messages
from caterva2.wire.messages import DataReply
from caterva2.wire.requester import Requester

MANY_ENTRIES = 500
"""Entries of a page from which on the collector of garbage need not look at them again."""


async def ask(
    connection: Requester[DataReply],
    inst: str,
    since_rev: int,
    max_entries: int = DEFAULTS.subscriber.catalog_entries,
) -> list[messages.Catalog]:
    """Request all pages of what changed since a revision of a publisher's run, or of everything.

    Raises
    ------
    BadMessage
        If the pages do not make up a catalog, or are too many.
    """
    pages: list[messages.Catalog] = []
    count, cursor = 0, ""
    while not pages or cursor:
        page = await connection.ask(
            messages.CatalogRequest(inst=inst, since_rev=since_rev, cursor=cursor)
        )
        if not isinstance(page, messages.Catalog):
            raise BadMessage(f"{connection.endpoint} answered {page.type} to catalog?")
        if pages and page.inst != pages[0].inst:
            raise BadMessage(f"{connection.endpoint} restarted while it sent its catalog")
        if page.cursor and page.cursor <= cursor:
            raise BadMessage(f"{connection.endpoint} sends its catalog in circles")
        pages.append(page)
        count += max(len(page.entries), 1)
        if count > max_entries:
            raise BadMessage(
                f"{connection.endpoint} has more datasets than CATALOG_ENTRIES, {max_entries}"
            )
        if len(page.entries) >= MANY_ENTRIES:
            memory.promote_all()
        cursor = page.cursor
    return pages
