"""Blocks over the data socket: what a publisher answers."""

from __future__ import annotations

import asyncio
import zlib
from typing import Any

import numpy as np
import pytest
from blockasking import GRID, VALUES, ask_blocks, raw_chunk
from dataserver import serving

from caterva2.errors import (
    BadMessage,
    BadRequest,
    NotFound,
    StaleVersion,
)
from caterva2.frames import blocks
from caterva2.limits import constants
from caterva2.wire import codec
from caterva2.wire import messages as m


def test_blocks_arrive_behind_the_header_of_their_chunk() -> None:
    async def run() -> None:
        async with serving() as server:
            entry = server.put_array(values=VALUES, **GRID)
            replies = await server.collect(ask_blocks(entry, {1: (99, 0, 1), 0: (7,)}))
            assert [(reply.n, reply.ids, reply.last) for reply, _ in replies] == [
                (1, (99, 0, 1), False),
                (0, (7,), True),
            ]
            for reply, [payload] in replies:
                expected = blocks.cut_out_of(raw_chunk(server, entry, reply.n), reply.ids)
                assert (reply.sizes, payload) == (expected.sizes, expected.payload)
                assert reply.digest == zlib.crc32(payload)
            assert (server.jobs.served.chunks, server.jobs.served.blocks) == (0, 4)

    asyncio.run(run())


def test_blocks_of_a_chunk_that_the_requester_holds_are_not_sent() -> None:
    async def run() -> None:
        async with serving() as server:
            entry = server.put_array(values=VALUES, **GRID)
            held = blocks.digest(raw_chunk(server, entry, 1))
            first, second = await server.collect(ask_blocks(entry, {0: (3,), 1: (3, 4)}, held=held))
            assert (first[0].ids, len(first[1][0])) == ((3,), 32 + sum(first[0].sizes))
            assert (second[0].n, second[0].ids, second[0].sizes, second[1]) == (1, (), (), [b""])
            served = server.jobs.served
            assert (served.chunks, served.blocks, served.held) == (0, 1, 1)

    asyncio.run(run())


def test_a_chunk_that_the_requester_holds_in_another_version_is_read_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run() -> None:
        async with serving() as server:
            entry = server.put_array(values=VALUES, **GRID)
            expected = blocks.cut_out_of(raw_chunk(server, entry, 1), (3, 4))
            read: list[Any] = []
            chunks = server.source.chunks
            monkeypatch.setattr(
                server.source, "chunks", lambda *given: (read.append(given), chunks(*given))[1]
            )
            [(reply, [payload])] = await server.collect(
                ask_blocks(entry, {1: (3, 4)}, held=b"another version.")
            )
            assert (reply.ids, reply.sizes, payload) == ((3, 4), expected.sizes, expected.payload)
            assert len(read) == 1

    asyncio.run(run())


def test_a_chunk_that_can_not_be_divided_arrives_whole() -> None:
    async def run() -> None:
        async with serving() as server:
            entry = server.put_array(values=np.zeros((400, 400)), **GRID)
            [(reply, [payload])] = await server.collect(ask_blocks(entry, {1: (0, 1)}))
            assert (reply.ids, reply.sizes, reply.last) == ((), (), True)
            assert payload == raw_chunk(server, entry, 1)

    asyncio.run(run())


def test_blocks_that_do_not_exist_or_are_of_another_version() -> None:
    async def run() -> None:
        async with serving() as server:
            old = server.put_array(values=VALUES, **GRID)
            entry, file = server.put_array(values=VALUES + 1, **GRID), server.source.put("f", b"x")
            wrong: list[tuple[m.Request, type[Exception]]] = [
                (ask_blocks(entry, {2: (0,)}), NotFound),
                (ask_blocks(entry, {0: (100,)}), NotFound),
                (ask_blocks(file, {0: (0,)}), BadRequest),
                (ask_blocks(old, {0: (0,)}), StaleVersion),
            ]
            for request, kind in wrong:
                with pytest.raises(kind):
                    await server.collect(request)

    asyncio.run(run())


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [{"n": 0, "ids": []}],
        [{"n": 0, "ids": [1, 1]}],
        [{"n": -1, "ids": [1]}],
        [{"n": 0, "ids": [2**31]}],
        [{"n": n, "ids": [0]} for n in range(constants.BLOCKS_CHUNKS + 1)],
        [{"n": n, "ids": list(range(constants.REQUEST_BLOCKS // 2 + 1))} for n in range(2)],
    ],
    ids=["none", "no-blocks", "twice", "negative", "too-high", "many-chunks", "many-blocks"],
)
def test_requests_out_of_bounds_are_refused(parts: Any) -> None:
    header = {"type": "blocks?", "path": "a", "etag": "e", "deadline_ms": 9, "blocks": parts}
    with pytest.raises(BadMessage):
        codec.data_requests([codec.MAGIC, codec.msgpack.packb(header)])
