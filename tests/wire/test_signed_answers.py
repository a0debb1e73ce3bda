"""What a publisher signs for those who ask for it, and that this holds for each part alone"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from blockasking import GRID, VALUES, ask_blocks
from dataserver import TEXT, Server, ask_bytes, ask_chunks, cut, serving
from keyedworld import FOO, MARKED, World, bound
from wiretools import LIMIT, zmq_context

from caterva2.frames import blocks
from caterva2.limits.constants import FILE_CHUNK
from caterva2.publisher.signatures import OriginSignatures
from caterva2.signing import digests, keys
from caterva2.signing.checks import Checks, Forged
from caterva2.signing.entries import EntriesDigest
from caterva2.wire import codec
from caterva2.wire import messages as m
from caterva2.wire.requester import Requester

KEY = keys.make()
CHECKS = Checks(FOO, [KEY.public])


def signing() -> OriginSignatures:
    return OriginSignatures(FOO, KEY)


def signed(request: Any) -> Any:
    return request.model_copy(update={"signed": True})


async def one(server: Server, request: m.Request) -> Any:
    return await server.requester().ask(request, LIMIT)


def test_descriptions_are_signed_for_those_who_ask() -> None:
    async def run() -> None:
        async with serving(signatures=signing()) as server:
            entry = server.put_array()
            for request in (m.InfoRequest(path=entry.path), m.InfosRequest(paths=(entry.path,))):
                plain, reply = await one(server, request), await one(server, signed(request))
                [bare] = getattr(plain, "infos", [plain])
                [info] = getattr(reply, "infos", [reply])
                CHECKS.description(info)
                with pytest.raises(Forged, match=r"description of a\.b2nd is not signed"):
                    CHECKS.description(bare)
                other = info.model_copy(update={"vlmeta": {"forged": b"1"}})
                with pytest.raises(Forged, match="by none of the keys"):
                    CHECKS.description(other)

    asyncio.run(run())


def test_chunks_are_signed_also_where_they_are_held() -> None:
    async def run() -> None:
        async with serving(signatures=signing()) as server:
            entry = server.put_array()
            [(plain, _)] = await server.collect(ask_chunks(entry, 0))
            assert plain.proofs == ()
            [(reply, payload)] = await server.collect(signed(ask_chunks(entry, 4, 0, 2)))
            found = cut(reply, payload)
            given = entry.path, entry.etag
            for n, proof in zip(reply.n, reply.proofs, strict=True):
                CHECKS.chunk(*given, n, digests.of(found[n]), proof)
            with pytest.raises(Forged, match="by none of the keys"):
                CHECKS.chunk(*given, 4, digests.of(found[0]), reply.proofs[0])
            flipped = found[0][:-1] + bytes([found[0][-1] ^ 1])
            with pytest.raises(Forged, match="chunk 0 of a"):
                CHECKS.chunk(*given, 0, digests.of(flipped), reply.proofs[1])
            with pytest.raises(Forged, match="is none"):
                CHECKS.chunk(*given, 0, digests.of(found[0]), b"x")
            held = blocks.digest(found[2])
            [(reply, payload)] = await server.collect(signed(ask_chunks(entry, 2, held=(held,))))
            assert reply.sizes == (0,)
            CHECKS.chunk(*given, 2, digests.of(found[2]), reply.proofs[0])

    asyncio.run(run())


def test_blocks_are_signed() -> None:
    async def run() -> None:
        async with serving(signatures=signing()) as server:
            entry = server.put_array(values=VALUES, **GRID)
            [(reply, [data])] = await server.collect(signed(ask_blocks(entry, {1: (3, 7)})))
            first = data[32 : 32 + reply.sizes[0]]
            parts = [first, data[32 + reply.sizes[0] :]]
            given = (entry.path, entry.etag), 1
            CHECKS.blocks(*given, (data[:32], reply.ids, parts), reply.leaves, reply.proof)
            forged = [first, parts[1][:-1] + bytes([parts[1][-1] ^ 1])]
            with pytest.raises(Forged, match="not those that the origin signed"):
                CHECKS.blocks(*given, (data[:32], reply.ids, forged), reply.leaves, reply.proof)
            with pytest.raises(Forged, match="by none"):
                leaves = reply.leaves[:-1] + b"x"
                CHECKS.blocks(*given, (data[:32], reply.ids, parts), leaves, reply.proof)

    asyncio.run(run())


def test_files_are_signed_piece_by_piece() -> None:
    async def run() -> None:
        async with serving(signatures=signing()) as server:
            entry = server.source.put("a.txt", TEXT)
            replies = await server.collect(signed(ask_bytes(entry, FILE_CHUNK, len(TEXT))))
            assert [reply.start for reply, _ in replies] == [FILE_CHUNK, 2 * FILE_CHUNK]
            for reply, [data] in replies:
                digest = digests.of_piece(data)
                n = reply.start // FILE_CHUNK
                CHECKS.chunk(entry.path, entry.etag, n, digest, reply.proof)
                with pytest.raises(Forged):
                    CHECKS.chunk(entry.path, entry.etag, n + 1, digest, reply.proof)
            [(reply, _)] = await server.collect(signed(ask_bytes(entry, 5, 10)))
            assert reply.proof == b""

    asyncio.run(run())


def test_a_catalog_is_signed_with_each_revision(tmp_path: Path) -> None:
    world = World(tmp_path, keyed=False)

    async def run() -> None:
        async with world.broker() as broker, world.publisher(broker) as publisher:
            with zmq_context() as context:
                asker: Requester[Any] = Requester(
                    context, bound(publisher).endpoint, codec.data_replies, "the publisher"
                )
                try:
                    hello = await asker.ask(m.Hello(), LIMIT)
                    checks = Checks(FOO, [one.key for one in hello.signers])
                    assert (await asker.ask(m.CatalogRequest(), LIMIT)).manifest is None
                    request = m.CatalogRequest(signed=True, groups=True)
                    page = await asker.ask(request, LIMIT)
                    said = checks.manifest(page.manifest)
                    assert (said.inst, said.rev) == (page.inst, page.rev)
                    assert said.digest == EntriesDigest(page.entries).value
                    source = publisher._followed.source
                    source.put("later.txt", b"x")  # type: ignore[attr-defined]
                    source.put(MARKED, b"y")  # type: ignore[attr-defined]
                    await publisher._followed.scan()
                    newer = await asker.ask(request, LIMIT)
                    said = checks.manifest(newer.manifest)
                    assert (said.rev, said.fence) == (3, publisher.lease.fence)
                    assert said.digest == EntriesDigest(newer.entries).value
                    with pytest.raises(Forged, match="by none of the keys"):
                        checks.manifest(said.model_copy(update={"rev": 4}))
                    with pytest.raises(Forged, match="catalog is not signed"):
                        checks.manifest(None)
                finally:
                    await asyncio.to_thread(asker.close)

    asyncio.run(run())
