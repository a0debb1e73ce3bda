"""Ranges of shards that are answered early are those that the routes answer"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
import pytest
import samples

from caterva2.errors import NotFound
from caterva2.frames import blocks
from caterva2.frames.shards.shard import shard
from caterva2.model import Entry
from caterva2.names import DatasetPath
from caterva2.web.app import make_app
from caterva2.web.server.http import HttpServer

VALUES = np.random.default_rng(3).random((40, 30))
VALUES[20:, :10] = 0
FRAME = samples.array_frame(VALUES, chunks=(40, 30), blocks=(20, 10))
INFO = samples.describe(FRAME)
RAW = samples.raw_chunks(FRAME)[0]
SHARD = shard(RAW)
PATH = DatasetPath("a.b2nd")
TARGET = "/zarr/foo/a/c/0/0"
PINNED = f"/zarr/foo@{INFO.etag}/a/c/0/0"


class Dataset:
    """A dataset whose chunk is in memory, or not."""

    info = INFO
    offline = False
    expression = None

    def __init__(self, there: bool) -> None:
        self._there = there

    async def chunk(self, n: int) -> bytes:
        return RAW

    async def blocks(self, n: int, ids: Sequence[int]) -> list[bytes]:
        return blocks.singles(RAW, ids)

    def try_block(self, n: int, block: int) -> bytearray | None:
        return bytearray(blocks.singles(RAW, [block])[0]) if self._there else None


class Reader:
    def __init__(self, there: bool) -> None:
        self.found = Dataset(there)
        self.passed = 0

    def for_user(self, _: object) -> Reader:
        return self

    def answered(self, error: Exception) -> None:
        """Do nothing."""

    def try_dataset(self, root: str, path: str) -> Any:
        if path != PATH:
            raise NotFound("it is not there")
        return self.found

    async def entries(self, root: str) -> dict[DatasetPath, Entry]:
        return {PATH: Entry(PATH, "array", INFO.etag, 1, 0.0)}

    async def dataset(self, *_: Any) -> Any:
        self.passed += 1
        return self.found

    async def version(self, *_: Any) -> Any:
        return await self.dataset()


def ask(
    there: bool, wanted: str, target: str = TARGET, **headers: str
) -> tuple[httpx.Response, int]:
    """The second answer of an application, which knows the index then, and how it was made."""
    reader: Any = Reader(there)
    app = make_app(reader)

    async def send() -> httpx.Response:
        async with (
            HttpServer(app, "127.0.0.1:0", early=app.state.early) as server,
            httpx.AsyncClient(base_url=server.url, timeout=60, verify=False) as client,
        ):
            await client.get(TARGET)
            reader.passed = 0
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.get(target, headers={"Range": wanted, **given})

    answer = asyncio.run(send())
    assert (app.state.web.outputs.used, app.state.web.small_outputs.used) == (0, 0)
    return answer, reader.passed


INDEX = len(SHARD) - 6 * 16 - 4


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [("bytes=-100", -100, None), ("bytes=0-99", 0, 100), (f"bytes={INDEX - 9}-{INDEX + 3}",
     INDEX - 9, INDEX + 4), ("bytes=0-", 0, None), (f"bytes={INDEX}-", INDEX, None)],
)  # fmt: skip
def test_an_answer_at_once_is_that_of_the_routes(wanted: str, start: int, stop: int | None) -> None:
    quick, never = ask(True, wanted, PINNED)
    slow, once = ask(False, wanted, PINNED, If_None_Match='"x"')
    assert (never, once) == (0, 1)
    assert quick.status_code == slow.status_code == 206
    assert quick.content == slow.content == SHARD[start:stop]
    assert {**quick.headers, "date": ""} == {**slow.headers, "date": ""}


def test_the_tag_of_the_index_may_be_demanded_for_a_block() -> None:
    tag = ask(True, "bytes=-100")[0].headers["etag"]
    assert ask(True, "bytes=0-9", If_Match=tag)[1] == 0
    answer, passed = ask(True, "bytes=0-9", If_Match='"other"')
    assert (answer.status_code, passed) == (412, 1)


@pytest.mark.parametrize(
    ("target", "wanted", "status"),
    [("/zarr/foo/a/c/0/1", "bytes=0-9", 400), (TARGET, "bytes=99999-", 416),
     (PINNED, "bytes=0-9,20-29", 206), (TARGET, "bytes=x", 200),
     ("/zarr/foo/b/c/0", "bytes=0-", 410),
     (TARGET, "bytes=0-9", 400), (PINNED.replace("/a/", "/a.b2nd/"), "bytes=0-9", 206),
     (TARGET + "?x=1", "bytes=0-9", 400),
     ("/zarr/foo@other/a/c/0/0", "bytes=0-9", 206)],
)  # fmt: skip
def test_what_is_not_that_easy_is_left_to_the_routes(target: str, wanted: str, status: int) -> None:
    assert ask(True, wanted, target)[0].status_code == status


def test_a_pinned_version_is_answered_at_once() -> None:
    answer, passed = ask(True, "bytes=0-9", PINNED)
    assert (answer.status_code, passed, answer.content) == (206, 0, SHARD[:10])


def test_whole_inner_chunks_of_any_version_are_answered_at_once() -> None:
    for start, stop in ((INDEX, len(SHARD)), (0, INDEX)):
        answer, passed = ask(True, f"bytes={start}-{stop - 1}")
        assert (answer.status_code, passed, answer.content) == (206, 0, SHARD[start:stop])
