"""Answers of mirrors out of the cache, between which their readers may wait"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import blosc2
import numpy as np
import pytest

from caterva2.errors import Gone, RootOffline, StaleVersion, TooLarge
from caterva2.limits import DEFAULTS, Limits
from caterva2.mirror.answers import RootAnswers
from caterva2.mirror.proving import Proving
from caterva2.names import DatasetPath, RootName
from caterva2.publisher.signatures import OriginSignatures
from caterva2.signing import keys
from caterva2.sources.memory import MemorySource
from caterva2.wire import messages as m

PATH = DatasetPath("a.b2nd")
VALUES = np.arange(4_000, dtype="<i8").reshape(80, 50)
LITTLE = replace(DEFAULTS, publisher=replace(DEFAULTS.publisher, request_bytes=5_000))
SHORT = replace(DEFAULTS, publisher=replace(DEFAULTS.publisher, reply_bytes=1))


class Cached:
    """A dataset that is read through a cache, with a record of what is done with it."""

    def __init__(self) -> None:
        self.source = MemorySource()
        array = blosc2.asarray(VALUES, chunks=(8, 50), blocks=(4, 25), contiguous=True)
        self.source.put(PATH, array.to_cframe())
        self.info = self.source.info(PATH)
        self.done: list[str] = []

    async def arrive(self, ids: Any) -> None:
        self.done.append(f"arrive {ids.tolist()}")
        await asyncio.sleep(0)  # others go on meanwhile

    async def chunks(self, ids: Any) -> list[bytes]:
        self.done.append(f"read {ids.tolist()}")
        return [
            bytes(run.payload)
            for n in ids.tolist()
            for run in self.source.chunks(PATH, self.info.etag, [n])
        ]


def answered(cached: Cached, request: Any, limits: Limits = LITTLE, **root: Any) -> list[Any]:
    async def version(*_: Any) -> Any:
        if request.etag != cached.info.etag:
            raise Gone("it is not the present version")
        return cached

    async def room() -> None:
        cached.done.append("room")

    async def run() -> list[Any]:
        entry = SimpleNamespace(etag=cached.info.etag)
        one = SimpleNamespace(
            name=RootName("foo"), entry=lambda _: entry, sync=asyncio.Event().wait
        )
        vars(one).update(root)
        answers = RootAnswers(SimpleNamespace(version=version), one, limits)  # type: ignore[arg-type]
        return [reply async for reply, _ in answers.to(request, room)]

    return asyncio.run(run())


def blocks_of(cached: Cached, *ids: int) -> m.BlocksRequest:
    parts = tuple(m.ChunkBlocks(n=n, ids=(1,)) for n in ids)
    return m.BlocksRequest(path=PATH, etag=cached.info.etag, blocks=parts, deadline_ms=10_000)


def test_blocks_are_cut_out_of_chunks_that_are_large_together() -> None:
    cached = Cached()
    assert 3 * cached.info.chunksize > LITTLE.publisher.request_bytes
    assert [reply.n for reply in answered(cached, blocks_of(cached, 0, 1, 2))] == [0, 1, 2]
    whole = m.ChunksRequest(path=PATH, etag=cached.info.etag, n=(0, 1, 2), deadline_ms=10_000)
    with pytest.raises(TooLarge, match="REQUEST_BYTES"):
        answered(cached, whole)


def test_what_waits_for_room_is_not_in_memory() -> None:
    """And what waits for the publisher takes no room."""
    cached = Cached()
    answered(cached, blocks_of(cached, 0, 5))
    steps = ["arrive [0]", "room", "read [0]", "arrive [5]", "room", "read [5]"]
    assert cached.done == steps


def test_all_chunks_of_a_request_are_fetched_while_the_first_is_sent() -> None:
    """Else each hop would add a round trip to each reply."""
    cached = Cached()
    request = m.ChunksRequest(path=PATH, etag=cached.info.etag, n=(0, 1, 2), deadline_ms=10_000)
    assert [reply.n for reply in answered(cached, request, SHORT)] == [(0,), (1,), (2,)]
    assert cached.done.index("arrive [0, 1, 2]") < cached.done.index("arrive [1]")


def test_a_version_that_is_not_known_is_stale_unless_the_publisher_is_away() -> None:
    """The mirror may be behind its reader, for which nothing is stale."""
    cached = Cached()
    request = blocks_of(cached, 0).model_copy(update={"etag": "newer"})

    async def sync() -> None:
        cached.done.append("sync")

    with pytest.raises(StaleVersion):
        answered(cached, request, offline=False, sync=sync)
    assert cached.done == ["sync"]
    with pytest.raises(RootOffline):
        answered(cached, request, offline=True)


def test_proofs_by_a_key_that_counts_no_more_are_asked_for_anew() -> None:
    """Readers would refuse them for ever; those by a key that counts are kept."""
    cached, root, asked = Cached(), RootName("foo"), []
    old, new = keys.make(), keys.make()

    def proof(key: keys.SigningKey, n: int) -> bytes:
        [run] = cached.source.chunks(PATH, cached.info.etag, [n])
        return OriginSignatures(root, key).chunks(PATH, cached.info.etag, run)[0]

    class Connection:
        def submit(self, call: Any) -> None:
            [n] = call.message(1).n
            asked.append(n)
            reply = m.Chunks(
                id=1, n=(n,), sizes=(0,), digests=(0,), last=True, proofs=(proof(new, n),)
            )
            call.on_reply(reply, [memoryview(b"")])

    async def run(*, dropped: bool, signs: bool = True) -> None:
        trust = SimpleNamespace(signs=signs, keys={new.public}, has_dropped=dropped)
        of = SimpleNamespace(name=root, trust=trust, offline=False, providers=Connection)
        kept = {0: proof(old, 0), 1: proof(new, 1)}
        vars(cached).update(proof=lambda n: kept.get(n, b""), keep_proof=kept.__setitem__)
        await Proving(of).prove(cached, [0, 1, 2])  # type: ignore[arg-type]
        if signs:
            wanted = new if dropped else old
            assert kept == {0: proof(wanted, 0), 1: proof(new, 1), 2: proof(new, 2)}

    asyncio.run(run(dropped=True, signs=False))
    assert not asked
    asyncio.run(run(dropped=False))
    assert asked == [2]
    asyncio.run(run(dropped=True))
    assert asked == [2, 0, 2]
