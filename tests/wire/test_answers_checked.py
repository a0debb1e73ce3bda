"""Answers of a publisher: that they fit, and what a reader of them checks."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest
from dataserver import VALUES

from caterva2.cache.replica import Replica
from caterva2.cache.store import Store
from caterva2.errors import BadMessage, CatervaError, Damaged, DeadlineExceeded
from caterva2.limits import DEFAULTS
from caterva2.model import Entry
from caterva2.names import DatasetPath, RootName
from caterva2.sources.catalog import Ledger
from caterva2.sources.memory import MemorySource
from caterva2.subscriber.fetch.block_call import BlocksCall
from caterva2.subscriber.fetch.calls import ChunksCall
from caterva2.subscriber.fetch.fetcher import WINDOW, Fetcher
from caterva2.subscriber.fetch.traffic import Traffic
from caterva2.wire import codec
from caterva2.wire import messages as m
from caterva2.wire.calls import Call

ONE_THREAD = blosc2.CParams(nthreads=1)
"""Several threads put blocks into a chunk in any order."""


def test_a_page_of_the_longest_paths_fits() -> None:
    ledger = Ledger()
    count = DEFAULTS.publisher.catalog_page
    paths = [DatasetPath("/".join([f"{n:0254}"] * 4)) for n in range(count)]
    ledger.replace(
        "",
        {
            path: Entry(path=path, kind="array", etag="e" * 64, size=2**62, mtime=1e9)
            for path in paths
        },
    )
    seen: list[DatasetPath] = []
    cursor = ""
    while not seen or cursor:
        page = ledger.page(1, "i" * 64, -1, cursor)
        codec.encode(page)
        seen += [entry.path for entry in page.entries]
        cursor = page.cursor
    assert seen == sorted(paths)


class NoProgress:
    """Ignore what a call reports."""

    def arrived(self, keys: Sequence[Any]) -> None:
        pass

    def ended(self, call: Any, error: CatervaError | None) -> None:
        pass


def test_a_chunk_that_comes_twice_counts_once(tmp_path: Path) -> None:
    """A publisher that says one chunk twice must not make a replica look complete."""

    async def run() -> None:
        source = MemorySource()
        frame = blosc2.asarray(VALUES[:16], chunks=(8, 50), blocks=(4, 25)).to_cframe()
        info = source.info(source.put("a.b2nd", frame).path)
        assert info.nchunks == 2
        [run] = source.chunks(info.path, info.etag, [0])
        store = Store(tmp_path)
        try:
            replica = store.replica(RootName("foo"), info)
            call = ChunksCall(replica, [0, 1], NoProgress(), Traffic())
            assert call.message(1) is not None
            digest = zlib.crc32(run.payload)
            reply = m.Chunks(
                id=1, n=(0, 0), sizes=tuple(run.sizes * 2), digests=(digest, digest), last=False
            )
            with contextlib.suppress(CatervaError):
                call.on_reply(reply, [memoryview(run.payload * 2)])
            assert not replica.complete
        finally:
            store.close()
            source.close()

    asyncio.run(run())


@contextlib.contextmanager
def grown(directory: Path) -> Iterator[tuple[Replica, MemorySource]]:
    """A replica of a version whose former version, of two chunks, is cached; it has four."""
    source, store = MemorySource(), Store(directory)
    try:
        for rows in (16, 32):
            array = blosc2.asarray(
                VALUES[:rows], chunks=(8, 50), blocks=(4, 25), cparams=ONE_THREAD
            )
            info = source.info(source.put("a.b2nd", array.to_cframe()).path)
            replica = store.replica(RootName("foo"), info, newest=True)
            if rows == 16:
                for run in source.chunks(info.path, info.etag, range(2)):
                    digests = list(map(zlib.crc32, run.chunks()))
                    replica.add(run.ids, run.sizes, digests, run.payload)
        yield replica, source
    finally:
        store.close()
        source.close()


def answer(replica: Replica, source: MemorySource, kept: Sequence[int]) -> ChunksCall:
    """Have a call for all chunks answered, some of them with no bytes."""
    info = replica.info
    call = ChunksCall(replica, range(4), NoProgress(), Traffic())
    call.prepare()
    call.message(1)
    [run] = source.chunks(info.path, info.etag, range(4))
    run = run.without(kept)
    digests = tuple(map(zlib.crc32, run.chunks()))
    reply = m.Chunks(id=1, n=tuple(run.ids), sizes=tuple(run.sizes), digests=digests, last=True)
    call.on_reply(reply, [memoryview(run.payload)])
    return call


@pytest.mark.parametrize("kept", [(), (1,), (0, 1)])
def test_chunks_are_kept_or_sent_as_the_publisher_likes(
    tmp_path: Path, kept: tuple[int, ...]
) -> None:
    """An older publisher sends what it was offered."""
    with grown(tmp_path) as (replica, source):
        answer(replica, source, kept)
        [run] = source.chunks(replica.info.path, replica.info.etag, range(4))
        assert replica.read(np.arange(4)) == list(map(bytes, run.chunks()))


def test_a_chunk_that_was_not_offered_must_be_sent(tmp_path: Path) -> None:
    with grown(tmp_path) as (replica, source):
        with pytest.raises(BadMessage, match="not offered"):
            answer(replica, source, (0, 1, 2))
        assert replica.cached_chunks == 0


def test_a_chunk_that_is_kept_without_being_there_any_more_is_an_error(tmp_path: Path) -> None:
    with grown(tmp_path) as (replica, _source):
        call = ChunksCall(replica, [0], NoProgress(), Traffic())
        call.prepare()
        request = call.message(1)
        assert isinstance(request, m.ChunksRequest)
        assert len(request.held) == 1
        replica.withdraw(0)
        reply = m.Chunks(id=1, n=(0,), sizes=(0,), digests=(0,), last=True)
        with pytest.raises(Damaged):
            call.on_reply(reply, [memoryview(b"")])
        again = call.message(2)
        assert isinstance(again, m.ChunksRequest)
        assert again.held == ()


@pytest.mark.parametrize(("kind", "keys"), [(ChunksCall, [0, 1]), (BlocksCall, [(0, 1), (1, 0)])])
def test_chunks_to_offer_are_read_once_whatever_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, keys: list[Any]
) -> None:
    with grown(tmp_path) as (replica, _source):
        read: list[int] = []
        offer = replica.offer
        monkeypatch.setattr(replica, "offer", lambda n: (read.append(n), offer(n))[1])
        call = kind(replica, keys, NoProgress(), Traffic())
        assert not call.is_prepared
        call.prepare()
        assert call.is_prepared
        first, again = call.message(1), call.message(2)
        assert again.model_copy(update={"id": 1, "deadline_ms": first.deadline_ms}) == first
        assert _held(first) == replica.offers([0, 1])
        assert read == [0, 1, 0, 1]  # by the call, and by this test


def _held(request: Any) -> tuple[bytes, ...]:
    if isinstance(request, m.BlocksRequest):
        return tuple(part.held for part in request.blocks)
    return request.held


def test_a_chunk_without_a_former_version_needs_no_preparation(tmp_path: Path) -> None:
    with grown(tmp_path) as (replica, _source):
        for n in range(2):
            replica.withdraw(n)
        assert ChunksCall(replica, [0, 1], NoProgress(), Traffic()).is_prepared


def test_readers_queued_for_a_silent_link_fail_with_those_it_was_asked_for(
    tmp_path: Path,
) -> None:
    asked: list[Call[Any]] = []

    class Silence:
        """A connection on which no answer ever comes."""

        def submit(self, call: Call[Any]) -> None:
            asked.append(call)
            asyncio.get_running_loop().call_later(0.1, call.on_error, DeadlineExceeded("silent"))

        def cancel(self, call: Call[Any]) -> None:
            pass

    async def run() -> list[BaseException | None]:
        source = MemorySource()
        array = blosc2.asarray(VALUES, chunks=(4, 50), blocks=(4, 25))
        source.put("a.b2nd", array.to_cframe())
        replica = Store(tmp_path).replica(RootName("foo"), source.info(DatasetPath("a.b2nd")))
        silence: Any = Silence()
        fetcher = Fetcher(lambda: silence)
        fetcher.credit = m.Credit(chunks=1)
        waiting = (fetcher.ensure(replica, np.array([n])) for n in range(10))
        return await asyncio.gather(*waiting, return_exceptions=True)

    assert all(isinstance(error, DeadlineExceeded) for error in asyncio.run(run()))
    assert len(asked) == WINDOW
