"""The asynchronous client does what the other one does, and holds no event loop up."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import caterva2
from tests.conftest import Stack
from tests.httpscript import Received, Reply, serving


def test_everything_can_be_awaited(shared_stack: Stack, tmp_path: Path) -> None:
    async def work() -> None:
        async with caterva2.AsyncClient(shared_stack.url) as client:
            assert "foo" in await client.get_roots()
            assert await client.subscribe("foo") == "Ok"
            root = await client.get("foo")
            assert isinstance(root, caterva2.AsyncRoot)
            assert [name async for name in root] == await root.file_list()
            array = await root["dir1/ds-2d.b2nd"]
            assert isinstance(array, caterva2.AsyncDataset)
            assert (array.shape, array.dtype) == ((10, 20), np.dtype("u2"))
            assert "foo/dir1/ds-2d.b2nd" in repr(array)
            assert (await array[2:4, 5]).tolist() == [45, 65]
            assert (await array.fetch()).shape == (10, 20)
            assert (await array.slice(0)).shape == (20,)
            assert [row[0] async for row in array] == list(range(0, 200, 20))
            assert await client.fetch("foo/ds-1d.b2nd", 7) == 7
            frame = await client.get("foo/ds-hello.b2frame")
            assert isinstance(frame, caterva2.AsyncFile)
            assert await frame[:5] == b"Hello"
            assert await frame.download(tmp_path / "hello") == tmp_path / "hello"

    asyncio.run(work())


def test_many_requests_run_at_once(shared_stack: Stack) -> None:
    async def work() -> list[int]:
        async with caterva2.AsyncClient(shared_stack.url, connections=4) as client:
            reads = [client.fetch("foo/ds-1d.b2nd", n) for n in range(100)]
            return [int(value) for value in await asyncio.gather(*reads)]

    assert asyncio.run(work()) == list(range(100))


def test_errors_are_the_same(shared_stack: Stack) -> None:
    async def work() -> None:
        async with caterva2.AsyncClient(shared_stack.url) as client:
            with pytest.raises(caterva2.Missing):
                await client.get("foo/nope")
            array = await client.get("foo/ds-1d.b2nd")
            with pytest.raises(IndexError):
                await array[1000]  # type: ignore[index]

    asyncio.run(work())


def test_cancelled_read_is_given_up_at_once() -> None:
    def slow(_: Received) -> Reply:
        time.sleep(1)
        return Reply()

    async def work() -> float:
        async with caterva2.AsyncClient(script.url, connections=1) as client:
            start = time.monotonic()
            waiting = [asyncio.create_task(client.get_roots()) for _ in range(3)]
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.gather(*waiting), 0.2)
            return time.monotonic() - start

    with serving(slow) as script:
        assert asyncio.run(work()) < 0.9
        assert len(script.asked) == 1  # those that had not begun were never made


def test_plain_iteration_over_what_is_remote_is_a_type_error(shared_stack: Stack) -> None:
    async def main() -> None:
        async with caterva2.AsyncClient(shared_stack.url) as client:
            for path in ("foo", "foo/ds-1d.b2nd", "foo/README.md"):
                found: Any = await client.get(path)
                with pytest.raises(TypeError):
                    iter(found)
                with pytest.raises(TypeError):
                    "x" in found  # noqa: B015 - the question is the test

    asyncio.run(main())


def test_fields_and_lengths_are_those_of_the_blocking_client(shared_stack: Stack) -> None:
    async def main() -> None:
        async with caterva2.AsyncClient(shared_stack.url) as client:
            found: Any = await client.get("foo/ds-1d-fields.b2nd")
            assert len(found) == 1000
            assert list(found.fields) == ["a", "b", "c", "d"]
            np.testing.assert_array_equal(await found.fields["a"][5:8], [5, 6, 7])

    asyncio.run(main())


def test_closed_client_is_told_as_unreachable(shared_stack: Stack) -> None:
    async def main() -> None:
        client = caterva2.AsyncClient(shared_stack.url)
        await client.close()
        with pytest.raises(caterva2.Unreachable, match="closed"):
            await client.get_roots()

    asyncio.run(main())
