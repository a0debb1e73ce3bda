"""Chunks as they are stored, and python-blosc2's proxy over them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import blosc2
import numpy as np
import pytest

import caterva2
from tests.conftest import Stack, eventually
from tests.memorytransport import CountingTransport

PATHS = ["ds-1d.b2nd", "ds-1d-b.b2nd", "ds-1d-fields.b2nd", "dir1/ds-3d.b2nd", "dir2/ds-4d.b2nd"]


@pytest.mark.parametrize("path", PATHS)
def test_proxy_has_the_values_and_the_stored_chunks(shared_stack: Stack, path: str) -> None:
    dataset = shared_stack.client[f"foo/{path}"]
    proxy = blosc2.Proxy(dataset)
    np.testing.assert_array_equal(proxy[...], dataset[...])
    assert proxy.schunk.get_chunk(0) == dataset.get_chunk(0)
    assert dataset.cparams.clevel == proxy.cparams.clevel
    assert dataset.cparams.filters[: len(proxy.cparams.filters)] == proxy.cparams.filters


def test_proxy_requests_a_chunk_once(shared_stack: Stack) -> None:
    transport = CountingTransport(shared_stack.client.transport)
    proxy = blosc2.Proxy(caterva2.Client.over(transport)["foo/ds-1d.b2nd"])
    transport.paths.clear()
    for _ in range(2):
        assert proxy[150:250].tolist() == list(range(150, 250))
    assert transport.paths == ["api/chunk/foo/ds-1d.b2nd"] * 2


def test_chunks_are_awaited(shared_stack: Stack) -> None:
    async def work() -> list[bytes]:
        async with caterva2.AsyncClient(shared_stack.url) as client:
            dataset = await client["foo/ds-1d.b2nd"]
            assert isinstance(dataset, caterva2.AsyncDataset)
            blocking = shared_stack.client["foo/ds-1d.b2nd"]
            return [await dataset.get_chunk(3), await blocking.aget_chunk(3)]

    first, second = asyncio.run(work())
    assert first == second
    with pytest.raises(caterva2.Missing):
        shared_stack.client["foo/ds-1d.b2nd"].get_chunk(10)


def test_chunks_are_of_the_known_version(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "r/x.b2nd"
    file.parent.mkdir()
    blosc2.asarray(np.arange(10), urlpath=str(file), mode="w")
    client = stack.start(r=file.parent)
    dataset = client["r/x.b2nd"]
    cache = str(tmp_path / "cache.b2nd")
    assert blosc2.Proxy(dataset, urlpath=cache)[3] == 3
    new = tmp_path / "new"
    blosc2.asarray(np.arange(10) * 2, urlpath=str(new), mode="w")
    new.rename(file)
    eventually(lambda: client.get_info("r/x.b2nd")["etag"] != dataset.stamp)
    with pytest.raises(caterva2.StaleVersion, match="refresh"):
        dataset.get_chunk(0)
    dataset.refresh()
    with pytest.raises(ValueError, match=r"stamp|different|changed"):
        blosc2.Proxy(dataset, urlpath=cache)
    assert blosc2.Proxy(dataset)[3] == 6
