"""Streams of raw chunks: one side decodes what the other encoded, or refuses it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import blosc2
import numpy as np
import pytest
import samples
from hypothesis import given
from hypothesis import strategies as st

from caterva2 import errors
from caterva2.arrays import selection
from caterva2.arrays.selection import Selection
from caterva2.client.errors import HttpError, Undecodable, Unreachable
from caterva2.client.read import decoding
from caterva2.client.read.buffer import ChunkBuffer
from caterva2.client.read.stream import Reader
from caterva2.errors import BadMessage, CatervaError, StaleVersion
from caterva2.frames import chunk, packing
from caterva2.limits import DEFAULTS, constants
from caterva2.model import DatasetInfo
from caterva2.rest import stream
from caterva2.web import streams

VALUES = np.arange(60 * 70, dtype="f4").reshape(60, 70)
MOST = 4


class Response:
    """An answer's body that arrives in pieces."""

    def __init__(self, body: bytes, length: int | None = None) -> None:
        self.body = body
        self.at = 0
        self.length = length

    def readinto(self, view: memoryview) -> int:
        piece = self.body[self.at : self.at + min(len(view), 1000)]
        view[: len(piece)] = piece
        self.at += len(piece)
        return len(piece)

    def read(self, size: int) -> bytes:
        taken = self.body[self.at : self.at + size]
        self.at += len(taken)
        return taken


def written(content: bytes, path: str, wanted: Selection) -> Iterator[bytes]:
    info, chunks = samples.describe(content, path), samples.raw_chunks(content)
    yield stream.begin_chunks(info, MOST)
    for part, _ in selection.split(wanted, info.chunks, MOST):
        ids = selection.box(part, info.chunks).chunk_ids
        yield b"".join(stream.part([chunks[n] for n in ids]))


def read(body: bytes, wanted: Selection) -> Any:
    """Return the content of a stream, and check that its length makes no difference."""
    results: list[Any] = []
    for length in (None, len(body)):
        response: Any = Response(body, length)
        try:
            results.append(Reader(response).values(wanted.result_shape, wanted))
        except CatervaError as error:
            results.append(error)
    first, second = results
    if isinstance(first, CatervaError):
        assert repr(first) == repr(second)
        raise first
    np.testing.assert_array_equal(first, second)
    return first


def array_frame() -> bytes:
    values = VALUES.copy()
    values[:16] = 0  # chunks of zeros are not sent
    return samples.array_frame(values, chunks=(8, 30), blocks=(4, 10))


KEYS: list[Any] = [
    (),
    (slice(3, 50), slice(None)),
    (slice(None), 5),
    (7, 7),
    (slice(50, 3, -7), slice(None, None, 33)),
    (slice(16, 24), slice(30, 60)),
    (slice(0, 16),),
    (slice(5, 5),),
]


@pytest.mark.parametrize("key", [*KEYS, (slice(0, 260), slice(130, 280))], ids=str)
def test_large_chunks_are_decoded_one_by_one(key: Any) -> None:
    values = np.random.default_rng(0).integers(0, 9, (300, 280)).astype("f8")
    values[:130, :130] = 0
    frame = samples.array_frame(values, chunks=(130, 130), blocks=(10, 30))
    assert samples.describe(frame).chunksize > packing.SMALL
    wanted = selection.normalise(key, values.shape)
    if wanted.size:
        body = b"".join(written(frame, "a.b2nd", wanted))
        np.testing.assert_array_equal(read(body, wanted), values[key])


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_array_is_decoded_as_it_was_encoded(key: Any) -> None:
    expected = VALUES.copy()
    expected[:16] = 0
    wanted = selection.normalise(key, VALUES.shape)
    if wanted.size:
        body = b"".join(written(array_frame(), "a.b2nd", wanted))
        np.testing.assert_array_equal(read(body, wanted), expected[key])


@pytest.mark.parametrize("key", [(), (slice(30, 2000),), (slice(None, None, -3),)], ids=str)
def test_byte_string_is_decoded_as_it_was_encoded(key: Any) -> None:
    data = bytes(range(256)) * 9
    frame = samples.byte_frame(data, 100)
    wanted = selection.normalise(key, (len(data),))
    body = b"".join(written(frame, "a.b2frame", wanted))
    assert read(body, wanted).tobytes() == np.frombuffer(data, "u1")[key].tobytes()


def large_chunks() -> tuple[bytes, Selection]:
    """Return the stream of 9 chunks that threads decode, in three parts."""
    values = np.random.default_rng(0).integers(0, 9, (390, 390)).astype("f8")
    frame = samples.array_frame(values, chunks=(130, 130), blocks=(10, 30))
    wanted = selection.whole(values.shape)
    return b"".join(written(frame, "a.b2nd", wanted)), wanted


def decoders() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if "caterva2-decode" in one.name]


def test_a_part_is_received_while_others_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_THREADS", 2)
    body, wanted = large_chunks()
    original, received = ChunkBuffer.decode, threading.Event()

    class Watched(Response):
        def readinto(self, view: memoryview) -> int:
            if self.at > 2 * len(body) // 3:
                received.set()
            return super().readinto(view)

    def decode(buffer: ChunkBuffer, out: Any) -> None:
        assert received.wait(60)  # or no part would be received before the first was decoded
        original(buffer, out)

    monkeypatch.setattr(ChunkBuffer, "decode", decode)
    response: Any = Watched(body)
    found = Reader(response).values(wanted.result_shape, wanted)
    assert found.shape == wanted.shape and not decoders()


def test_the_first_part_that_threads_can_not_decode_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decoding, "_THREADS", 2)
    body, wanted = large_chunks()

    def decode(buffer: ChunkBuffer, out: Any) -> None:
        n = int(buffer._small.chunk_ids[0])
        if n:
            raise errors.SourceCorrupt("can't be decoded", info={"chunk": n})

    monkeypatch.setattr(ChunkBuffer, "decode", decode)
    response: Any = Response(body)
    with pytest.raises(Undecodable) as caught:
        Reader(response).values(wanted.result_shape, wanted)
    assert caught.value.info["chunk"] == 3 and not decoders()


def test_values_are_decoded_where_there_are_no_more_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decoding, "_THREADS", 2)
    began = 0

    class Few(ThreadPoolExecutor):
        def submit(self, *work: Any) -> Any:
            nonlocal began
            began += 1
            found = super().submit(*work)
            if began > 1:  # it is in the queue, as where a thread can't be started
                raise RuntimeError("can't start new thread")
            return found

    monkeypatch.setattr(decoding, "ThreadPoolExecutor", Few)
    body, wanted = large_chunks()
    response: Any = Response(body)
    found = Reader(response).values(wanted.result_shape, wanted)
    assert (found == np.random.default_rng(0).integers(0, 9, found.shape)).all()
    assert began == 3 and not decoders()


def test_large_parts_have_no_memory_beside_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_THREADS", 2)
    info = INFO.model_copy(update={"chunksize": 2**20})
    for most, expected in ((64, decoding.Beside), (65, decoding.AtOnce)):
        with decoding.decoding(info, 9, most) as decoder:
            assert type(decoder) is expected


def test_zeros_are_not_sent() -> None:
    zeros = samples.raw_chunks(array_frame())[:3]
    assert sum(map(len, stream.part(zeros))) == stream.PART.size + 4 * 3


def test_failure_during_a_stream_is_raised() -> None:
    wanted = selection.whole(VALUES.shape)
    pieces = list(written(array_frame(), "a.b2nd", wanted))
    told = {"name": "root-offline", "detail": "root foo is offline"}
    body = b"".join(pieces[:2]) + stream.failure(json.dumps(told).encode())
    with pytest.raises(HttpError, match="503 Service Unavailable: root foo is offline"):
        read(body, wanted)
    old = {"name": "stale-version", "detail": "it changed"}
    with pytest.raises(StaleVersion):
        read(b"".join(pieces[:2]) + stream.failure(json.dumps(old).encode()), wanted)


@given(st.data())
def test_damaged_stream_is_refused_or_differs(data: st.DataObject) -> None:
    wanted = selection.whole(VALUES.shape)
    pieces = list(written(array_frame(), "a.b2nd", wanted))
    body = bytearray(b"".join(pieces))
    head = len(pieces[0])
    at = data.draw(st.one_of(st.integers(0, head + 200), st.integers(0, len(body) - 1)))
    body[at] ^= data.draw(st.integers(1, 255))
    try:
        found = read(bytes(body), wanted)
    except (Unreachable, HttpError, StaleVersion):
        return
    assert found.nbytes <= 64 * VALUES.nbytes  # a claim never makes it large


@given(st.integers(0, 10_000))
def test_stream_that_is_cut_off_is_refused(at: int) -> None:
    wanted = selection.whole(VALUES.shape)
    body = b"".join(written(array_frame(), "a.b2nd", wanted))
    with pytest.raises(Unreachable):
        read(body[: at % len(body)], wanted)


def test_more_than_was_requested_is_refused() -> None:
    wanted = selection.whole(VALUES.shape)
    body = b"".join(written(array_frame(), "a.b2nd", wanted))
    with pytest.raises(Unreachable, match="more"):
        read(body + b"x", wanted)


@pytest.mark.parametrize("start", [b"HTTP/1.1", b"C2S\x01\xff\xff\xff\xff", b"C2S\x02\0\0\0\0"])
def test_other_content_is_not_a_stream(start: bytes) -> None:
    with pytest.raises(BadMessage):
        stream.head_length(start)


# --- the gate for many chunks ---


def passes(call: Any) -> bool:
    try:
        call()
    except CatervaError as error:
        assert isinstance(error, errors.SourceCorrupt | errors.CodecNotAllowed)
        return False
    return True


def gate_case() -> tuple[DatasetInfo, list[bytes]]:
    content = array_frame()
    return samples.describe(content), samples.raw_chunks(content)


INFO, CHUNKS = gate_case()
SHAPE = chunk.ChunkShape.of(INFO.kind, INFO.typesize, INFO.blocksize)


@given(st.integers(0, len(CHUNKS) - 1), st.integers(0, chunk.HEADER - 1), st.integers(0, 255))
def test_many_chunks_are_let_through_exactly_if_each_of_them_is(n: int, at: int, byte: int) -> None:
    chunks = [bytearray(piece) for piece in CHUNKS]
    chunks[n][at] = byte
    sizes = np.array([len(piece) for piece in chunks], np.int64)
    data = memoryview(b"".join(chunks))
    nbytes = np.full(len(chunks), INFO.chunksize, np.int64)
    each = passes(lambda: [chunk.check(piece, SHAPE, INFO.chunksize) for piece in chunks])
    starts = np.cumsum(sizes) - sizes
    assert passes(lambda: chunk.check_all(data, starts, sizes, SHAPE, nbytes)) == each


def test_announced_chunk_of_impossible_size_takes_no_memory() -> None:
    wanted = selection.whole(VALUES.shape)
    begin = next(written(array_frame(), "a.b2nd", wanted))
    sizes = np.full(MOST, INFO.chunksize + chunk.MOST_OVERHEAD + 1, "<u4").tobytes()
    part = stream.PART.pack(stream.CHUNKS, constants.CHUNK_BYTES) + sizes
    with pytest.raises(Unreachable, match="more than"):
        read(begin + part, wanted)


def test_parts_are_smaller_while_others_are_sent() -> None:
    bounds = replace(DEFAULTS.web, stream_part=10 * INFO.chunksize, streams_ahead=1000)
    assert streams._division(INFO, 999, bounds) == (10, 2)
    assert streams._division(INFO, 1000, bounds) == (5, 1)
    assert streams._division(INFO, 1000, replace(bounds, stream_part=1)) == (1, 1)


def test_a_stream_ends_where_its_reader_may_not_read_any_more() -> None:
    made = bytes(blosc2.compress2(np.arange(100)))

    class Source:
        checked = False

        def split(self, most: int) -> Iterator[Any]:
            return iter([np.arange(most)] * 3)

        async def chunks(self, ids: Any) -> list[bytes]:
            return [made] * len(ids)

    async def run() -> None:
        refused: list[CatervaError] = []

        def check() -> None:
            for error in refused:
                raise error

        source: Any = Source()
        parts = streams._parts(source, source, 2, 1, check)
        assert made in b"".join(await anext(parts))
        refused.append(errors.NotFound("hidden meanwhile"))
        with pytest.raises(errors.NotFound):
            await anext(parts)

    asyncio.run(run())
