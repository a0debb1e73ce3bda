"""What a publisher allows one requester, in its hello, and that requests are cut to it."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest
from blockasking import CORNER, GRID, VALUES
from wiretools import LIMIT, Router, zmq_context

from caterva2.cache.replica import Replica
from caterva2.cache.store import Store
from caterva2.cache.touched_blocks import touched
from caterva2.errors import RootOffline
from caterva2.model import DatasetInfo, RootInfo
from caterva2.names import RootName
from caterva2.sources.catalog import Ledger
from caterva2.sources.memory import MemorySource
from caterva2.subscriber.fetch.fetcher import Fetcher
from caterva2.subscriber.publishers.rights import PublishedRights
from caterva2.subscriber.remote_root import RemoteRoot
from caterva2.wire import codec, sockets
from caterva2.wire import messages as m

ROOT = RootName("foo")
INST = "i" * 16
TEXT = bytes(range(256)) * 20_000
CHUNK = 8 * 50 * 8
"""Decompressed bytes of a chunk of the array."""


class Publisher:
    """A publisher with a credit of its own, which keeps the requests for data."""

    def __init__(self, context: sockets.Context, credit: m.Credit) -> None:
        self.requests: list[Any] = []
        self.source = MemorySource()
        array = np.arange(16_000, dtype="<i8").reshape(320, 50)
        self.put("a.b2nd", array, chunks=(8, 50), blocks=(4, 25))
        self.put("large.b2nd", VALUES, **GRID)
        self.source.put("t.txt", TEXT)
        self._ledger = Ledger()
        self._ledger.replace("", self.source.scan())
        self._credit = credit
        self.router = Router(context, self._answer)
        self.place = RootInfo(root=ROOT, inst=INST, fence=1, endpoints=(self.router.endpoint,))

    def put(self, path: str, values: Any, **grid: Any) -> None:
        self.source.put(path, blosc2.asarray(values, contiguous=True, **grid).to_cframe())

    def _answer(self, _: bytes, frames: list[bytes]) -> list[list[bytes]]:
        request = codec.data_requests(frames)
        return [
            [bytes(frame) for frame in codec.encode(reply, payload)]
            for reply, *payload in self._replies(request)
        ]

    def _replies(self, request: m.DataRequest) -> Iterable[tuple[Any, ...]]:
        ident = request.id
        match request:
            case m.Hello():
                rev = self._ledger.rev
                yield (
                    m.PublisherHello(
                        id=ident, inst=INST, fence=1, root=ROOT, rev=rev, limits=self._credit
                    ),
                )
            case m.CatalogRequest():
                yield (self._ledger.page(ident, INST, -1, request.cursor),)
            case m.ChunksRequest():
                self.requests.append(request)
                for n in request.n:
                    [run] = self.source.chunks(request.path, request.etag, [n])
                    yield (
                        m.Chunks(
                            id=ident, n=(n,), sizes=(len(run.payload),),
                            digests=(zlib.crc32(run.payload),), last=n == request.n[-1],
                        ),
                        run.payload,
                    )  # fmt: skip
            case m.BlocksRequest():
                self.requests.append(request)
                for part in request.blocks:
                    cut = self.source.blocks(request.path, request.etag, part.n, part.ids)
                    yield (
                        m.Blocks(
                            id=ident, n=part.n, ids=cut.ids, sizes=cut.sizes,
                            digest=zlib.crc32(cut.payload), last=part is request.blocks[-1],
                        ),
                        cut.payload,
                    )  # fmt: skip
            case m.BytesRequest():
                self.requests.append(request)
                data = TEXT[request.start : request.stop]
                yield (
                    m.Bytes(id=ident, start=request.start, digest=zlib.crc32(data), last=True),
                    data,
                )


def fetched(directory: Path, path: str, credit: m.Credit, selection: Any = None) -> list[Any]:
    """The requests with which all of a dataset, or a selection of it, was fetched."""

    async def run() -> list[Any]:
        with zmq_context() as context:
            publisher = Publisher(context, credit)
            store = Store(directory / "cache")
            root = RemoteRoot(
                ROOT, context, store, directory, lambda *_: None, lambda _: RootOffline("away"),
                PublishedRights(directory / "rights.json"),
            )  # fmt: skip
            root.move(publisher.place)
            try:
                await root.subscribe()
                info = publisher.source.info(publisher.source.scan()[path].path)  # type: ignore[index]
                replica = store.replica(ROOT, info)
                ids = np.arange(info.nchunks)
                blocks = None if selection is None else touched(selection, info)
                await asyncio.wait_for(root.ensure(replica, ids, blocks), LIMIT)
                _check(replica, info, selection is None)
                return publisher.requests
            finally:
                await root.close()
                publisher.router.close()
                store.close()

    return asyncio.run(run())


def _check(replica: Replica, info: DatasetInfo, whole: bool) -> None:
    assert replica.complete == whole
    if not whole:
        assert all(replica.held_blocks(n)[0] for n in range(info.nchunks))


@pytest.mark.parametrize(
    ("credit", "count"),
    [
        (m.Credit(), 40),
        (m.Credit(chunks=3), 3),
        (m.Credit(bytes=7 * CHUNK + 1), 7),
        (m.Credit(chunks=5, bytes=6 * CHUNK), 5),
        (m.Credit(bytes=1), 1),
    ],
)
def test_a_request_names_no_more_chunks_than_the_publisher_allows(
    tmp_path: Path, credit: m.Credit, count: int
) -> None:
    requests = fetched(tmp_path, "a.b2nd", credit)
    assert max(len(request.n) for request in requests) == count
    assert len(requests) == -(-40 // count)


@pytest.mark.parametrize(
    ("credit", "count"), [(m.Credit(), 4), (m.Credit(chunks=2), 2), (m.Credit(bytes=1), 1)]
)
def test_a_request_names_no_more_bytes_of_a_file_than_the_publisher_allows(
    tmp_path: Path, credit: m.Credit, count: int
) -> None:
    requests = fetched(tmp_path, "t.txt", credit)
    assert max(request.stop - request.start for request in requests) == count * 2**20


@pytest.mark.parametrize(
    ("credit", "count"), [(m.Credit(), 2), (m.Credit(chunks=1), 1), (m.Credit(bytes=1), 1)]
)
def test_a_request_names_blocks_of_no_more_chunks_than_the_publisher_allows(
    tmp_path: Path, credit: m.Credit, count: int
) -> None:
    requests = fetched(tmp_path, "large.b2nd", credit, CORNER)
    assert [len(request.blocks) for request in requests] == [count] * (2 // count)
    assert sum(len(part.ids) for request in requests for part in request.blocks) == 4


def test_another_publisher_has_the_default_credit_until_its_hello() -> None:
    fetcher = Fetcher(lambda: pytest.fail("nothing is fetched"))
    fetcher.credit = m.Credit(chunks=1)
    fetcher.reset()
    assert fetcher.credit == m.Credit()
