"""Uploads that go on: offsets, restarts, quota, bounds, conditions, and what is left of them."""

from __future__ import annotations

import asyncio
import functools
import io
import json
import threading
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from samples import array_frame
from specialworld import ANN, BOB, World

from caterva2.accounts.scopes import Scope, TokenUser
from caterva2.errors import (
    BadUpload,
    Busy,
    NotAllowed,
    NotFound,
    QuotaExceeded,
    SlowDown,
    StaleVersion,
)
from caterva2.limits import DEFAULTS
from caterva2.model import Check, Entry, User, any_version
from caterva2.names import PERSONAL, SHARED, DatasetPath, Place
from caterva2.special import commit
from caterva2.special.quota import SpecialQuota
from caterva2.special.uploads.unfinished import Plan, Unfinished, UnfinishedUploads

Work = Callable[[Path], Awaitable[None]]
DATA = np.random.default_rng(5).bytes(100_000)


def in_loop(work: Work) -> Callable[[Path], None]:
    @functools.wraps(work)
    def test(tmp_path: Path) -> None:
        asyncio.run(asyncio.wait_for(work(tmp_path), 60))

    del test.__wrapped__  # type: ignore[attr-defined]
    return test


async def pieces(*given: bytes | Exception) -> AsyncIterator[bytes]:
    for one in given:
        if isinstance(one, Exception):
            raise one
        yield one


async def begin(
    world: World, path: str, size: int = len(DATA), tag: str = "t", user: User = ANN,
    check: Check = any_version, name: str = "", *, unpack: bool = False,
) -> Unfinished:  # fmt: skip
    found = await world.view(user).uploads.begin(
        Place.parse(path), name, size, tag, unpack=unpack, conditions={}, check=check
    )
    assert isinstance(found, Unfinished)
    return found


async def send(
    world: World, upload: Unfinished, at: int, *given: bytes | Exception,
    check: Check = any_version, user: User = ANN,
) -> None:  # fmt: skip
    await world.view(user).uploads.send(upload.ident, at, pieces(*given), check)


def left(directory: Path) -> list[str]:
    return [path.name for path in (directory / "unfinished").iterdir()]


@in_loop
async def test_an_upload_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    async with World.running(tmp_path) as world:
        upload = await begin(world, "@shared/d/x.bin")
        with pytest.raises(ConnectionError):
            await send(world, upload, 0, DATA[:1000], DATA[1000:4000], ConnectionError())
        assert (upload.offset, world.special.quota.used) == (4000, 4000)
        for wrong in (0, 3999, 4001):
            with pytest.raises(StaleVersion) as refused:
                await send(world, upload, wrong, DATA[wrong:])
            assert refused.value.info == {"offset": 4000}
        assert await begin(world, "@shared/d/x.bin") is upload
        await send(world, upload, 4000, DATA[4000:])
        assert upload.complete
        assert (tmp_path / "shared/d/x.bin").read_bytes() == DATA
        assert (left(tmp_path), world.special.quota.used) == ([], len(DATA))
        await send(world, upload, len(DATA))  # the answer was lost, and the client asks again


@in_loop
async def test_another_file_path_user_or_condition_is_another_upload(tmp_path: Path) -> None:
    async with World.running(tmp_path) as world:
        first = await begin(world, "@shared/x.bin")
        others = [
            await begin(world, "@shared/x.bin", 99),
            await begin(world, "@shared/x.bin", tag="u"),
            await begin(world, "@shared/y.bin"),
            await begin(world, "@shared/x.bin", user=BOB),
            await begin(world, "@shared/x.bin", tag=""),
            await begin(world, "@shared/x.bin", tag=""),
        ]
        assert len({first, *others}) == 7
        for ident in (first.ident, "0" * 24, ""):
            with pytest.raises(NotFound):
                await send(world, first, 0, DATA, user=BOB)
            with pytest.raises(NotFound):
                world.view(BOB).uploads.get(ident)


@in_loop
async def test_a_restart_keeps_what_arrived_and_drops_what_is_no_upload(tmp_path: Path) -> None:
    async with World.running(tmp_path) as world:
        upload = await begin(world, "@personal/x.bin")
        await send(world, upload, 0, DATA[:5000])
        with pytest.raises(ConnectionError):
            await send(world, upload, 5000, DATA[5000:7000], ConnectionError())
        powerless = await begin(world, "@personal/y.bin")
        await send(world, powerless, 0, DATA[:5000])
    about = tmp_path / "unfinished" / powerless.ident / "about.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "boot": "another"}))
    with (about.parent / "content").open("ab") as file:
        file.write(bytes(1000))  # which no flush made sure of, so that it may be lost
    (tmp_path / "unfinished" / ("f" * 24)).mkdir()
    (tmp_path / "unfinished" / "stray").write_text("")
    async with World.running(tmp_path) as world:
        assert {one.offset for one in await world.view(ANN).uploads.all()} == {7000, 5000}
        assert world.special.quota.used == 12_000
        again = await begin(world, "@personal/x.bin")
        assert (again.ident, again.offset) == (upload.ident, 7000)
        await send(world, again, 7000, DATA[7000:])
        assert (tmp_path / "personal/1/x.bin").read_bytes() == DATA
        assert left(tmp_path) == [powerless.ident]


@in_loop
async def test_the_quota_ends_an_upload_which_goes_on_when_there_is_room(tmp_path: Path) -> None:
    async with World.running(tmp_path, quota=120_000) as world:
        upload = await begin(world, "@shared/x.bin")
        await world.upload(ANN, "@shared/other.b2nd", np.frombuffer(DATA[:40_000], "u1"))
        steps = [DATA[:60_000], DATA[60_000:90_000], DATA[90_000:]]
        await send(world, upload, 0, steps[0])
        with pytest.raises(QuotaExceeded):
            await send(world, upload, 60_000, steps[1])
        assert upload.offset == 60_000
        with pytest.raises(QuotaExceeded):
            await begin(world, "@shared/too-much.bin")
        await world.view(ANN).remove(Place.parse("@shared/other.b2nd"))
        await send(world, upload, 60_000, *steps[1:])
        assert (tmp_path / "shared/x.bin").read_bytes() == DATA
        assert world.special.quota.used == len(DATA)


@in_loop
async def test_the_unfinished_uploads_of_a_user_have_one_quota(tmp_path: Path) -> None:
    async with World.running(tmp_path, quotas=(150_000, 0)) as world:
        upload = await begin(world, "@personal/x.bin")
        with pytest.raises(QuotaExceeded, match="quota of @personal"):
            await begin(world, "@personal/y.bin")
        assert await begin(world, "@personal/x.bin") is upload
        await begin(world, "@personal/y.bin", user=BOB)
        await begin(world, "@shared/y.bin")


@in_loop
async def test_a_second_request_for_an_upload_waits_for_the_first(tmp_path: Path) -> None:
    async with World.running(tmp_path) as world:
        upload = await begin(world, "@shared/x.bin")
        begun, more = asyncio.Event(), asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            begun.set()
            yield DATA[:10]
            await more.wait()
            yield DATA[10:]

        first = asyncio.create_task(
            world.view(ANN).uploads.send(upload.ident, 0, slowly(), any_version)
        )
        await begun.wait()
        with pytest.raises(Busy):
            await send(world, upload, 0, DATA)
        assert await begin(world, "@shared/x.bin") is upload
        await world.view(ANN).uploads.cancel(upload.ident)
        more.set()
        await first
        assert not (tmp_path / "shared/x.bin").exists()
        assert upload.ident not in left(tmp_path)
        assert world.special.quota.used == 0


@in_loop
async def test_what_is_sent_is_checked_as_any_upload(tmp_path: Path) -> None:
    async with World.running(tmp_path) as world:
        frame = array_frame(np.arange(9))
        upload = await begin(world, "@shared/x.b2nd", len(frame))
        await send(world, upload, 0, frame[:40])
        await send(world, upload, 40, frame[40:])
        for bad, size, error in (
            (b"no frame at all", 15, BadUpload),
            (b"longer than announced", 5, BadUpload),
        ):
            upload = await begin(world, "@shared/x.b2nd", size)
            with pytest.raises(error):
                await send(world, upload, 0, bad)
        root = await world.special.get(SHARED, ANN)
        assert list(root.entries) == ["x.b2nd"]
        with pytest.raises(BadUpload, match="Only uploading to"):
            await begin(world, "foo/x.bin")

        def another_one(present: Entry | None) -> None:
            if present is not None:
                raise StaleVersion("is not the one")

        upload = await begin(world, "@shared/y.bin", 3, check=another_one)
        (tmp_path / "shared/y.bin").write_bytes(b"quicker")
        with pytest.raises(StaleVersion):
            await send(world, upload, 0, b"abc", check=another_one)
        assert (tmp_path / "shared/y.bin").read_bytes() == b"quicker"
        with pytest.raises(StaleVersion):
            await begin(world, "@shared/y.bin", 3, check=another_one)


@in_loop
async def test_an_archive_in_several_parts_becomes_a_directory(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a/b.txt", "content")
    body = packed.getvalue()
    async with World.running(tmp_path) as world:
        upload = await begin(world, "@shared/", len(body), name="many.zip", unpack=True)
        await send(world, upload, 0, body[:30])
        await send(world, upload, 30, body[30:])
        assert (tmp_path / "shared/many/a/b.txt").read_text() == "content"
        assert (left(tmp_path), upload.place) == ([], "@shared/many")


@in_loop
async def test_uploads_are_bounded_and_those_of_deleted_users_removed(tmp_path: Path) -> None:
    special = replace(DEFAULTS.special, user_unfinished=2, unfinished=3)
    async with World.running(tmp_path, limits=replace(DEFAULTS, special=special)) as world:
        for n in range(2):
            await begin(world, f"@shared/{n}")
        with pytest.raises(SlowDown, match="USER_UNFINISHED=2"):
            await begin(world, "@shared/more")
        await begin(world, "@shared/bobs", user=BOB)
        with pytest.raises(SlowDown, match="UNFINISHED=3"):
            await begin(world, "@shared/more", user=BOB)
        await world.special.forget(ANN)
        assert len(left(tmp_path)) == 1


def test_an_upload_of_which_nothing_arrives_expires(tmp_path: Path) -> None:
    now = [1000.0]
    quota = SpecialQuota(0)
    uploads = UnfinishedUploads(tmp_path, quota, clock=lambda: now[0])
    upload = uploads.begin("1", Plan("@shared", "x", 10))
    upload.staged.path.write_bytes(b"12345")
    now[0] += 6 * 86400
    upload.settle(now[0])
    now[0] += 6 * 86400
    assert uploads.of("1") == [upload]
    assert quota.used == 5
    now[0] += 86400
    assert uploads.of("1") == []
    assert (list(tmp_path.iterdir()), quota.used) == ([], 0)


def test_uploads_are_found_while_the_files_of_others_are_made_or_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads = UnfinishedUploads(tmp_path, SpecialQuota(0))
    known = uploads.begin("1", Plan("@shared", "x", 10))
    at_work, go_on = threading.Semaphore(0), threading.Event()

    def slowly(_: Unfinished) -> None:
        at_work.release()
        assert go_on.wait(60)

    monkeypatch.setattr(Unfinished, "make", slowly)
    monkeypatch.setattr(Unfinished, "discard", slowly)
    with ThreadPoolExecutor(3) as pool:
        made = pool.submit(uploads.begin, "1", Plan("@shared", "y", 10, "t"))
        pool.submit(uploads.drop, uploads.get(known.ident, "1"))
        assert at_work.acquire(timeout=60)
        assert at_work.acquire(timeout=60)
        try:  # neither what is removed nor what is not there yet
            assert pool.submit(uploads.of, "1").result(20) == []
        finally:
            go_on.set()
        assert uploads.begin("1", Plan("@shared", "y", 10, "t")) is made.result(60)


@in_loop
async def test_a_root_that_is_opened_while_its_user_is_deleted_is_removed(tmp_path: Path) -> None:
    async with World.running(tmp_path) as world:
        opened = asyncio.create_task(world.special.get(PERSONAL, BOB))
        await asyncio.sleep(0)  # it is on its way
        await world.special.forget(BOB)
        with pytest.raises(NotFound):
            await opened
        assert not (tmp_path / "personal/2").exists()


@in_loop
async def test_nothing_is_put_into_a_root_after_its_user_is_deleted(tmp_path: Path) -> None:
    async with World.running(tmp_path) as world:
        root = await world.special.get(PERSONAL, ANN)
        with world.special.incoming.file() as file:
            file.path.write_bytes(DATA)
            async with root.changing:
                forgotten = asyncio.create_task(world.special.forget(ANN))
                while len(list((tmp_path / "incoming").iterdir())) < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
                await asyncio.sleep(0.001)
                put = asyncio.create_task(commit.put(root, file, DatasetPath("x.bin")))
                await asyncio.sleep(0.001)  # both wait for their turn now
            results = await asyncio.gather(forgotten, put, return_exceptions=True)
        assert results[0] is None
        assert isinstance(results[1], NotFound)
        assert not (tmp_path / "personal/1").exists()


@in_loop
async def test_a_token_sends_to_the_roots_that_it_is_for(tmp_path: Path) -> None:
    shared = TokenUser(ANN.ident, ANN.email, False, Scope((SHARED,), write=True))
    reading = TokenUser(ANN.ident, ANN.email, False, Scope())
    async with World.running(tmp_path) as world:
        own = await begin(world, "@personal/x.bin")
        upload = await begin(world, "@shared/x.bin", user=shared)
        await send(world, upload, 0, DATA, user=shared)
        assert (tmp_path / "shared/x.bin").read_bytes() == DATA
        with pytest.raises(NotFound):
            await begin(world, "@personal/y.bin", user=shared)
        with pytest.raises(NotFound):
            await send(world, own, 0, DATA, user=shared)
        assert own.offset == 0
        assert await world.view(shared).uploads.all() == []
        assert await world.view(ANN).uploads.all() == [own]
        with pytest.raises(NotAllowed):
            await begin(world, "@shared/y.bin", user=reading)
