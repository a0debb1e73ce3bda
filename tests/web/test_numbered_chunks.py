"""Chunks by their numbers: a stream with a digest of each."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

import caterva2
from caterva2.client.read.stream import Reader
from caterva2.rest import fetch
from tests.conftest import Stack
from tests.web.asking import ask


def test_chunks_are_sent_in_order_with_their_digests(shared_stack: Stack) -> None:
    transport = shared_stack.client.transport
    wanted = np.array([1, 4, 5, 6])
    with transport.stream("GET", "api/chunks/foo/ds-1d.b2nd", {"ids": "1,4:7"}) as response:
        parts = [
            (part.ids.tolist(), part.sizes.tolist(), part.digests.tolist(), bytes(part.payload))
            for part in Reader(response).numbered(wanted)
        ]
    assert [n for part in parts for n in part[0]] == wanted.tolist()
    payload = b"".join(part[3] for part in parts)
    for n, size, digest in zip(
        *([one for part in parts for one in part[at]] for at in range(3)), strict=True
    ):
        stored = ask(shared_stack, f"api/chunk/foo/ds-1d.b2nd?nchunk={n}").body
        assert (payload[:size], digest) == (stored, zlib.crc32(stored))
        payload = payload[size:]
    assert payload == b""


def test_a_condition_holds_for_chunks(shared_stack: Stack) -> None:
    answer = ask(shared_stack, "api/chunks/foo/ds-1d.b2nd?ids=0", If_Match='"another"')
    assert answer.status == 412


def test_numbers_are_divided_among_requests() -> None:
    ids = np.unique(np.random.default_rng(1).integers(0, 10**6, 2000))
    given = list(fetch.number_texts(ids, 500))
    assert all(len(text) <= fetch.NUMBERS_LENGTH and len(some) <= 500 for text, some in given)
    assert (
        np.concatenate([fetch.parse_numbers(text, 10**6) for text, _ in given]).tolist()
        == ids.tolist()
    )
    with pytest.raises(caterva2.BadRequest, match="more than 1048576 chunks"):
        fetch.parse_numbers("0:1000000,2000000:3000000", 2**22)
    assert [text for text, _ in fetch.number_texts(np.arange(7), 3)] == ["0:3", "3:6", "6"]
