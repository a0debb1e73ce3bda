"""A publisher's catalog takes bounded memory and time of a subscriber."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from wiretools import Router

from caterva2.errors import BadMessage, CatervaError, DeadlineExceeded
from caterva2.limits import DEFAULTS, SubscriberLimits
from caterva2.model import Entry
from caterva2.names import DatasetPath
from caterva2.subscriber.catalog import pages
from caterva2.wire import codec, sockets
from caterva2.wire import messages as m
from caterva2.wire.requester import Requester

SOME = replace(DEFAULTS.subscriber, catalog_entries=5000, catalog_bytes=400_000)


def entry(path: str) -> Entry:
    return Entry(path=DatasetPath(path), kind="file", etag="e", size=1, mtime=0.0)


def page(number: int, count: int, length: int) -> m.Catalog:
    entries = tuple(entry(f"{number:06}-{n:04}".ljust(length, "x")) for n in range(count))
    return m.Catalog(id=0, inst="i", rev=1, full=True, cursor=f"{number:06}~", entries=entries)


async def _ask(
    context: sockets.Context,
    make: Callable[[int], m.Catalog],
    limits: SubscriberLimits,
    others: bool = False,
) -> tuple[CatervaError, int]:
    """The error of a catalog without an end, and the number of its pages that were sent."""
    sent = 0

    def handle(_: bytes, frames: list[bytes]) -> list[list[bytes]]:
        nonlocal sent
        request = codec.data_requests(frames)
        if not isinstance(request, m.CatalogRequest):
            return []
        sent += 1
        reply = make(sent).model_copy(update={"id": request.id})
        return [[bytes(frame) for frame in codec.encode(reply)]]

    router = Router(context, handle)
    requester: Requester[m.DataReply] = Requester(
        context, router.endpoint, codec.data_replies, "requester"
    )
    try:
        with pytest.raises(CatervaError) as refused:
            await pages.ask(requester, "i", -1, limits, others=others)
        return refused.value, sent
    finally:
        requester.close()
        router.close()


def test_entries_are_counted_and_not_pages(context: sockets.Context) -> None:
    error, sent = asyncio.run(_ask(context, lambda n: page(n, 1900, 20), SOME))
    assert isinstance(error, BadMessage)
    assert "CATALOG_ENTRIES, 5000" in error.detail
    assert sent == 3


def test_long_names_are_bounded(context: sockets.Context) -> None:
    error, sent = asyncio.run(_ask(context, lambda n: page(n, 800, 250), SOME))
    assert isinstance(error, BadMessage)
    assert "CATALOG_BYTES, 400000" in error.detail
    assert sent == 2


def test_deleted_paths_count_as_well(context: sockets.Context) -> None:
    def deleting(n: int) -> m.Catalog:
        gone = tuple(DatasetPath(f"{n}-{k}".ljust(240, "x")) for k in range(1500))
        return page(n, 0, 20).model_copy(update={"deleted": gone})

    error, sent = asyncio.run(_ask(context, deleting, SOME))
    assert "CATALOG_BYTES" in error.detail
    assert sent == 2


@pytest.mark.parametrize(
    ("bounds", "others", "words"),
    [
        ({"catalog_deadline": 0.5}, False, "CATALOG_DEADLINE, 0.5 s"),
        ({"catalog_turn": 0.5}, True, "CATALOG_TURN, 0.5 s"),
        ({"catalog_start": 0.5}, False, "CATALOG_START and CATALOG_RATE: it drips"),
    ],
)
def test_slow_pages_end_at_the_deadline(
    context: sockets.Context, bounds: dict[str, float], others: bool, words: str
) -> None:
    def slow(n: int) -> m.Catalog:
        time.sleep(0.1)  # the fault itself
        return page(n, 1, 20)

    began = time.monotonic()
    error, _ = asyncio.run(_ask(context, slow, replace(DEFAULTS.subscriber, **bounds), others))
    assert isinstance(error, DeadlineExceeded)
    assert words in error.detail
    assert time.monotonic() - began < 5


def test_pages_that_arrive_at_the_rate_are_waited_for(context: sockets.Context) -> None:
    def steady(n: int) -> m.Catalog:
        time.sleep(0.1)
        return page(n, 10, 200)

    bounds = {"catalog_start": 0.3, "catalog_rate": 4000, "catalog_entries": 100}
    error, sent = asyncio.run(_ask(context, steady, replace(DEFAULTS.subscriber, **bounds)))
    assert "CATALOG_ENTRIES" in error.detail
    assert sent == 11
