"""A chunk that can't be decoded, although its digest is right, is 502 on every route."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest

import caterva2
from caterva2.rest import stream
from tests.conftest import Stack, eventually
from tests.web.asking import ask

BAD = 2
"""The number of the chunk that is damaged."""
ROUTES = {
    "frame": "api/fetch/foo/{}",
    "slice": "api/fetch/foo/{}?slice_=250",
    "aligned slice": "api/fetch/foo/{}?slice_=200:300",
    "strided slice": "api/fetch/foo/{}?slice_=::7",
    "points": "api/fetch/foo/{}?indices=[[1,222,-1]]",
    "chunk": "api/chunk/foo/{}?nchunk=2",
    "download": "api/download/foo/{}",
    "range": "api/download/foo/{}",
}


def _damage(path: Path) -> None:
    """Overwrite what follows the header of one chunk of a frame."""
    array = blosc2.open(str(path))
    chunk = array.schunk.get_chunk(BAD) if hasattr(array, "schunk") else array.get_chunk(BAD)
    del array
    data = bytearray(path.read_bytes())
    at = data.index(chunk) + 32
    size = len(chunk) - 32
    data[at : at + size] = np.random.default_rng(1).bytes(size)
    path.write_bytes(data)


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    source = tmp_path_factory.mktemp("damaged")
    values = np.cumsum(np.random.default_rng(2).integers(0, 9, 1000))
    for name in [*ROUTES, "stream", "values", "cached"]:
        path = source / f"{name.replace(' ', '-')}.b2nd"
        blosc2.asarray(values, chunks=(100,), blocks=(50,), urlpath=str(path))
        _damage(path)
    path = source / "large.b2nd"
    large = np.cumsum(np.random.default_rng(3).integers(0, 2**40, 20_000))
    blosc2.asarray(large, chunks=(4000,), blocks=(500,), urlpath=str(path))
    _damage(path)
    path = source / "bytes.b2frame"
    made = blosc2.SChunk(chunksize=800, data=values.tobytes(), urlpath=str(path), contiguous=True)
    del made
    _damage(path)
    stack = Stack(tmp_path_factory.mktemp("undecodable"))
    try:
        stack.start(foo=source)
        yield stack
    finally:
        stack.stop_all()


@pytest.mark.parametrize("kind", ROUTES)
def test_route_names_dataset_and_chunk(damaged: Stack, kind: str) -> None:
    name = f"{kind.replace(' ', '-')}.b2nd"
    given = {"Range": "bytes=0-9"} if kind == "range" else {}
    for _ in range(2):
        before = damaged.metric("fetched_chunks_total")
        answer = ask(damaged, ROUTES[kind].format(name), **given)
        assert (answer.status, answer.json["name"]) == (502, "source-corrupt"), answer.body[:99]
        assert answer.json["detail"].startswith(f"foo/{name}: chunk {BAD} can't be decoded")
        fetched = damaged.metric("fetched_chunks_total") - before
        assert fetched >= 2  # dropped from the cache, and asked for once more
    good = ask(damaged, f"api/fetch/foo/{name}?slice_=500")
    assert good.status == 200


def test_byte_string_too(damaged: Stack) -> None:
    for target in ("api/fetch/foo/bytes.b2frame?slice_=1700", "api/download/foo/bytes.b2frame"):
        answer = ask(damaged, target)
        assert answer.status == 502
        assert answer.json["detail"].startswith(f"foo/bytes.b2frame: chunk {BAD} can't be")


@pytest.mark.parametrize("query", ["", "?slice_=200:300", "?slice_=250"])
def test_stream_ends_with_the_error(damaged: Stack, query: str) -> None:
    name = "stream.b2nd" if not query else "values.b2nd"
    answer = ask(damaged, f"api/fetch/foo/{name}{query}", Accept=stream.MEDIA_TYPE)
    detail = f"foo/{name}: chunk {BAD} can't be decoded".encode()
    assert answer.status == 502
    assert detail in answer.body


@pytest.mark.parametrize("key", [(), slice(5000, None)], ids=["whole", "part"])
def test_chunk_that_the_client_decodes_is_fetched_once_more(damaged: Stack, key: Any) -> None:
    raw = ask(damaged, "api/fetch/foo/large.b2nd", Accept=stream.MEDIA_TYPE)
    assert raw.status == 200  # chunks of a stream are not decoded by the subscriber
    before = damaged.metric("fetched_chunks_total")
    with caterva2.Client(damaged.url) as client:
        with pytest.raises(caterva2.HttpError, match=f"foo/large.b2nd: chunk {BAD} can't be") as of:
            client.get("foo/large.b2nd")[key]
        assert (of.value.status_code, of.value.kind) == (502, "source-corrupt")
        assert client.fetch("foo/large.b2nd", slice(12000, None)).shape == (8000,)
    assert damaged.metric("fetched_chunks_total") > before  # it was dropped from the cache


@pytest.mark.parametrize(
    "target", ["api/fetch/foo/cached.b2nd?slice_=250:252", "api/download/foo/cached.b2nd"]
)
def test_cache_that_was_filled_without_decoding(damaged: Stack, target: str) -> None:
    job = "api/prefetch/foo/cached.b2nd"
    assert ask(damaged, job, "POST").status == 202
    eventually(lambda: ask(damaged, job).json["state"] == "done")
    answer = ask(damaged, target)
    assert answer.status == 502
    assert answer.json["detail"].startswith(f"foo/cached.b2nd: chunk {BAD} can't be decoded")
