"""The order of catalogs: what mirrors serve must not be older than what is known. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from caterva2.errors import BadMessage
from caterva2.model import Origin, RootInfo
from caterva2.subscriber.catalog.copy import CatalogCopy
from caterva2.subscriber.publishers.choice import Behind
from caterva2.wire.messages import Catalog, PublisherHello


def check_hello(hello: PublisherHello, where: RootInfo, copy: CatalogCopy) -> None:
    """Refuse a mirror whose catalog is older than the copy, or of another run than announced.

    Revisions of two runs can't be compared; fences can. A mirror that reaches the publisher is
    right about its run, though: a broker that lost all begins with the first fence, and that of
    another site, from which the root comes now, counts by itself.

    Raises
    ------
    Behind
    BadMessage
        If it does not say what its catalog is of.
    """
    origin = hello.origin
    if origin is None or origin.inst != hello.inst or origin.rev != hello.rev:
        raise BadMessage("it is a mirror that does not say what its catalog is of")
    if not where.mirror and (origin.inst, origin.fence) != (where.inst, where.fence):
        raise Behind(
            f"it serves the catalog of another run of the publisher, under fence {origin.fence}:"
            f" that of {where.fence} is announced",
            after_ms=500,
        )
    in_step = not origin.away and origin.inst != copy.inst
    if is_older(origin, copy) and not in_step:
        raise Behind(
            f"it serves an older catalog, {_text(origin.fence, origin.rev)}: that of"
            f" {_text(copy.fence, copy.rev)} is known",
            after_ms=500,
        )


def is_older(origin: Origin, copy: CatalogCopy) -> bool:
    """Return whether the catalog that a mirror serves is older than a copy."""
    if not copy.complete:
        return False
    if origin.inst == copy.inst:
        return origin.rev < copy.rev and not copy.doubted
    return origin.fence < copy.fence


def check_pages(pages: Sequence[Catalog], hello: PublisherHello, since: int) -> None:
    """Refuse pages that are older than a mirror said, or change a revision that is known.

    Raises
    ------
    BadMessage
    """
    if any(page.inst != hello.inst or page.rev < hello.rev for page in pages):
        raise BadMessage("it sends another catalog than it greeted with")
    for page in pages:
        if not page.full and page.rev <= since and (page.entries or page.deleted):
            raise BadMessage(f"it changes the catalog of revision {since}, which is known")


def _text(fence: int, rev: int) -> str:
    return f"revision {rev} under fence {fence}"
