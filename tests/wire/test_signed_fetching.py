"""Chunks, blocks and files are stored only if the origin signed them, and passed on with that"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest
from blockasking import CORNER, GRID, VALUES
from dataserver import TEXT, Server, serving
from keyedworld import CONTENT, FOO, MARKED, World
from mirrorsites import OTHER as LATER
from mirrorsites import sites, source, value
from test_block_fetching import FREE_ROUND_TRIPS
from wiretools import until

from caterva2.cache.replica import Replica
from caterva2.cache.store import Store
from caterva2.cache.touched_blocks import touched
from caterva2.names import DatasetPath
from caterva2.publisher.signatures import OriginSignatures
from caterva2.signing import keys
from caterva2.signing.checks import Checks, Forged
from caterva2.subscriber.fetch.fetcher import Fetcher
from caterva2.subscriber.service import Subscriber
from caterva2.subscriber.trust.options import TrustOptions
from caterva2.wire import codec
from caterva2.wire.requester import Requester

KEY, OTHER = keys.make(), keys.make()
Fetch = Callable[[Replica, Fetcher], Any]


@contextlib.asynccontextmanager
async def fetching(
    directory: Path, kind: str, key: keys.SigningKey
) -> AsyncIterator[tuple[Server, Replica, Fetcher]]:
    """Fetch from a publisher that signs with a key, where `KEY` is expected."""
    checks = Checks(FOO, [KEY.public])
    async with serving(signatures=OriginSignatures(FOO, key)) as server:
        store = Store(directory)
        if kind == "held":
            first = server.put_array(values=VALUES, **GRID)
            replica = store.replica(FOO, server.source.info(first.path), newest=True)
            for run in server.source.chunks(first.path, first.etag, [0]):
                replica.add(run.ids, run.sizes, [zlib.crc32(run.payload)], run.payload)
        changed = VALUES + (np.arange(400) >= 200)[:, np.newaxis]
        entry = (
            server.source.put("a.txt", TEXT)
            if kind == "bytes"
            else server.put_array(values=changed, **GRID)
        )
        replica = store.replica(FOO, server.source.info(entry.path), newest=True)
        requester: Requester[Any] = Requester(
            server._context, server.endpoint, codec.data_replies, "reader",
            complete=lambda request: request.model_copy(update={"signed": True}),
        )  # fmt: skip
        try:
            yield (
                server,
                replica,
                Fetcher(lambda: requester, FREE_ROUND_TRIPS, checks_of=lambda _: checks),
            )
        finally:
            await asyncio.to_thread(requester.close)


async def fetch(kind: str, replica: Replica, fetcher: Fetcher) -> None:
    every = np.arange(replica.info.nchunks)
    if kind == "blocks":
        wanted = touched(CORNER, replica.info)
        assert wanted is not None
        assert not len(await fetcher.fetch_blocks(replica, every, wanted))
        assert fetcher.traffic.blocks == 4
    else:
        await fetcher.ensure(replica, every)
        assert not len(replica.missing(every))


@pytest.mark.parametrize(
    "kind", [pytest.param("chunks", marks=pytest.mark.slow), "held", "blocks", "bytes"]
)
def test_what_is_fetched_has_to_be_signed(tmp_path: Path, kind: str) -> None:
    async def run() -> None:
        async with fetching(tmp_path / "good", kind, KEY) as (server, replica, fetcher):
            await fetch(kind, replica, fetcher)
            assert server.jobs.served.held == (kind == "held")
            proofs = [replica.proof(n) for n in range(replica.info.nchunks)]
            assert all(proofs) == (kind != "blocks")
        async with fetching(tmp_path / "bad", kind, OTHER) as (server, replica, fetcher):
            with pytest.raises(Forged, match="by none of the keys"):
                await fetch(kind, replica, fetcher)
            assert replica.cached_chunks == 0

    asyncio.run(run())


@pytest.mark.slow
def test_what_was_cached_without_signatures_gets_them_once_they_are_asked_for(
    tmp_path: Path,
) -> None:
    array = blosc2.asarray(VALUES, **GRID).to_cframe()
    world = World(tmp_path, keyed=False)
    world.contents["a.b2nd"] = array
    path = DatasetPath("a.b2nd")

    async def run() -> None:
        async with sites(world) as s:
            brokers = [await s.broker() for _ in range(2)]
            publisher = await s.stack.enter_async_context(world.publisher(brokers[0]))
            async with contextlib.AsyncExitStack() as before:
                outer, s.stack = s.stack, before
                plain = await s.reader(brokers[0], "sub0")
                assert await value(plain) == CONTENT
                assert await (await plain.dataset(FOO, path)).chunk(0)
                assert await (await plain.dataset(FOO, path)).chunk(1)
                s.stack = outer
            sent = publisher._requests.served.chunks
            await s.mirror(brokers[0], brokers[1])
            key = publisher._signers[0].key
            trust = TrustOptions(keys={FOO: frozenset({key})})
            reader = await s.reader(brokers[1], trust=trust)
            assert await value(reader) == CONTENT
            for n in range(2):
                assert await (await reader.dataset(FOO, path)).chunk(n)
            assert (await reader.followed(FOO)).trust.refused == 0
            assert publisher._requests.served.chunks == sent
            assert publisher._requests.served.held == 2

    asyncio.run(run())


def announced(subscriber: Subscriber) -> str:
    where = subscriber._announced.roots.get(FOO)
    return where.endpoints[0] if where else ""


@pytest.mark.slow
def test_signatures_pass_two_sites_and_a_restart(tmp_path: Path) -> None:
    """A reader at the third site reads what was signed at the first, also while that is away."""
    world = World(tmp_path, keyed=False)

    async def run() -> None:
        async with sites(world) as s, contextlib.AsyncExitStack() as origin:
            brokers = [await s.broker() for _ in range(3)]
            publisher = await origin.enter_async_context(world.publisher(brokers[0]))
            public = publisher._signers[0].key
            trust = TrustOptions(keys={FOO: frozenset({public})})
            await s.mirror(brokers[0], brokers[1])
            async with contextlib.AsyncExitStack() as last:
                outer, s.stack = s.stack, last
                await s.mirror(brokers[1], brokers[2])
                s.stack = outer
                reader = await s.reader(brokers[2], trust=trust)
                assert await value(reader) == CONTENT
                root = await reader.followed(FOO)
                source(publisher).put(LATER, b"new")
                await publisher._followed.scan()
                await until(lambda: LATER in root.entries)
                said = root.catalog._copy.signed
                assert said is not None
                assert (said.rev, root.trust.refused) == (publisher._followed.rev, 0)
                await origin.aclose()
                first = s.subscribers[0]._roots[FOO]
                await until(lambda: first.offline)
            number = len(s.subscribers) - 1
            s.subscribers.pop(number)  # its directory is used again
            again = await s.mirror(brokers[1], brokers[2])
            fresh = await s.reader(brokers[2], "fresh", trust=trust)
            await until(lambda: FOO in again.roots)
            endpoint = again.roots[FOO].reached.endpoint
            await until(lambda: announced(fresh) == endpoint)
            assert await value(fresh) == CONTENT
            assert (await fresh.followed(FOO)).trust.refused == 0
            stranger = TrustOptions(keys={FOO: frozenset({OTHER.public})})
            wrong = await s.reader(brokers[2], "wrong", trust=stranger)
            await until(lambda: announced(wrong) == endpoint)
            with pytest.raises(Forged, match="by none of the keys"):
                await wrong.dataset(FOO, MARKED)

    asyncio.run(run())
