"""A publisher's catalog, asked for page by page."""

from __future__ import annotations

from caterva2 import limits
from caterva2.errors import BadMessage
from caterva2.runtime import gc
from caterva2.wire import messages
from caterva2.wire.messages import DataReply
from caterva2.wire.requester import Requester


async def ask(
    connection: Requester[DataReply], inst: str, since_rev: int
) -> list[messages.Catalog]:
    """All pages of what changed since a revision of a publisher's run, or of everything.

    Raises
    ------
    BadMessage
        If the pages do not make up a catalog, or are too many.
    """
    pages: list[messages.Catalog] = []
    cursor = ""
    while not pages or cursor:
        page = await connection.ask(
            messages.CatalogRequest(inst=inst, since_rev=since_rev, cursor=cursor)
        )
        if not isinstance(page, messages.Catalog):
            raise BadMessage(f"{connection.endpoint} answered {page.type} to catalog?")
        if pages and page.inst != pages[0].inst:
            raise BadMessage(f"{connection.endpoint} restarted while it told its catalog")
        if page.cursor and page.cursor <= cursor:
            raise BadMessage(f"{connection.endpoint} tells its catalog in circles")
        pages.append(page)
        if len(pages) * limits.CATALOG_PAGE > limits.CATALOG_ENTRIES:
            raise BadMessage(f"{connection.endpoint} has too many datasets")
        if len(page.entries) == limits.CATALOG_PAGE:
            gc.promote_all()
        cursor = page.cursor
    return pages
