"""Who may read a root, as its publisher says: at every subscriber, and from the first moment on"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from keyedworld import FOO, MARKED, World, bound, content, is_up
from tapping import tapped
from wiretools import LIMIT, until, zmq_context

from caterva2.accounts import readers
from caterva2.accounts.readers import EVERYBODY, NOBODY
from caterva2.broker.leases import Registry
from caterva2.errors import Busy, ConfigError, NotAllowed, StartError, VersionMismatch
from caterva2.names import RootName
from caterva2.publisher.readers import RootReaders
from caterva2.publisher.service import Publisher
from caterva2.subscriber.publishers.rights import FILE, PublishedRights
from caterva2.subscriber.service import Subscriber
from caterva2.wire import codec
from caterva2.wire import messages as m
from caterva2.wire.requester import Requester

ANNS = frozenset({"ann@example.com", "group:lab"})
ASKED: tuple[m.RootRequest, ...] = (
    m.CatalogRequest(),
    m.InfoRequest(path=MARKED),
    m.InfosRequest(paths=(MARKED,)),
    m.ChunksRequest(path=MARKED, etag="x", n=(0,), deadline_ms=1000),
    m.BlocksRequest(
        path=MARKED, etag="x", blocks=(m.ChunkBlocks(n=0, ids=(0,)),), deadline_ms=1000
    ),
    m.BytesRequest(path=MARKED, etag="x", start=0, stop=1, deadline_ms=1000),
)
"""Every request by which something of a root is had."""


@contextlib.asynccontextmanager
async def both(world: World) -> AsyncIterator[tuple[Publisher, Subscriber]]:
    """Run all three services, until the root is announced."""
    async with (
        world.broker() as broker,
        world.publisher(broker) as publisher,
        world.subscriber(broker) as subscriber,
    ):
        await until(lambda: is_up(subscriber))
        yield publisher, subscriber


def known(subscriber: Subscriber) -> frozenset[str]:
    return subscriber.rights.readers(FOO)


def test_every_request_for_data_says_whom_the_requester_lets_read() -> None:
    assert {type(one) for one in ASKED} == set(m.RootRequest.__subclasses__())
    assert set(m.DataRequest.__args__) - {type(one) for one in ASKED} == {m.Hello, m.Cancel}  # type: ignore[attr-defined]


def test_a_subscriber_that_does_not_know_who_may_read_gets_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        world = World(tmp_path, keyed=False)
        world.readers["pub"] = RootReaders(ANNS)
        async with world.broker() as broker, world.publisher(broker) as publisher:
            with zmq_context() as context:
                at = bound(publisher).endpoint
                older: Requester[Any] = Requester(context, at, codec.data_replies, "it")
                try:
                    hello = await older.ask(m.Hello(), LIMIT)
                    assert (hello.rights, set(hello.readers)) == (publisher._readers.rights, ANNS)
                    for request in ASKED:
                        with pytest.raises(NotAllowed, match="newer version"):
                            await older.ask(request, LIMIT)
                        for rights in ("", "0" * 24):
                            with pytest.raises(Busy, match="has changed"):
                                publisher._readers.check(
                                    request.model_copy(update={"rights": rights})
                                )
                    world.readers["pub"].replace(EVERYBODY)
                    page = await older.ask(m.CatalogRequest(), LIMIT)
                    assert [entry.path for entry in page.entries] == [MARKED]
                finally:
                    older.close()

    asyncio.run(run())


def test_readers_are_known_before_a_root_is_shown_and_change_while_it_is_read(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        world = World(tmp_path, keyed=False)
        world.readers["pub"] = RootReaders(ANNS)
        async with both(world) as (publisher, subscriber):
            loop = asyncio.get_running_loop()
            assert known(subscriber) in (NOBODY, ANNS)  # never all
            await until(lambda: known(subscriber) == ANNS)
            assert await content(subscriber)
            for given in (frozenset({"users"}), EVERYBODY, NOBODY, ANNS):
                began = loop.time()
                await asyncio.to_thread(publisher._readers.replace, given)
                while known(subscriber) != given:  # noqa: ASYNC110 - what is measured
                    await asyncio.sleep(0.01)
                assert loop.time() - began < 5  # 0.05 s where nothing else runs
                subscriber._roots[FOO]._store.forget(FOO, MARKED, "")
                assert await content(subscriber)

    asyncio.run(run())


def test_without_a_broker_a_publisher_says_itself_who_may_read_from_now_on(tmp_path: Path) -> None:
    async def run() -> None:
        world = World(tmp_path, keyed=False)
        users = frozenset({"users"})
        async with contextlib.AsyncExitStack() as stack, tapped() as tap:
            brokers = await stack.enter_async_context(contextlib.AsyncExitStack())
            broker = await brokers.enter_async_context(world.broker())
            async with world.publisher(broker, tap=tap) as publisher:
                tap.target = bound(publisher)
                subscriber = await stack.enter_async_context(world.subscriber(broker))
                await until(lambda: is_up(subscriber))
                assert await content(subscriber)
                await brokers.aclose()
                world.readers["pub"].replace(ANNS)
                await until(lambda: known(subscriber) == ANNS)
            world.readers["pub"] = RootReaders(users)
            root = subscriber._roots[FOO]
            async with world.publisher(broker, tap=tap) as publisher:
                tap.target = bound(publisher)
                await until(lambda: root.providers.rights == publisher._readers.rights)
                await until(lambda: known(subscriber) == users)  # and not those of the former run
                assert await content(subscriber)

    asyncio.run(run())


def test_what_is_cached_keeps_its_readers_when_all_others_are_gone(tmp_path: Path) -> None:
    async def run() -> None:
        world = World(tmp_path, keyed=False)
        world.readers["pub"] = RootReaders(ANNS)
        async with world.broker() as broker:
            async with world.publisher(broker), world.subscriber(broker) as subscriber:
                await until(lambda: known(subscriber) == ANNS)
                await content(subscriber)
                await until(lambda: written(tmp_path) == ANNS)
            async with world.subscriber(broker) as subscriber:
                assert known(subscriber) == ANNS
                assert await content(subscriber)
            # Another one gets the name, lets everybody read, and answers nothing.
            root = subscriber.rights
            assert root.announced(FOO, "") and root.readers(FOO) == NOBODY
            (tmp_path / "sub" / FILE).write_text("{")
            async with world.subscriber(broker) as subscriber:
                assert known(subscriber) == NOBODY  # not all, since the file is lost
                world.readers["pub"] = RootReaders()
                async with world.publisher(broker):
                    await until(lambda: known(subscriber) == EVERYBODY)

    asyncio.run(run())


def written(directory: Path) -> frozenset[str]:
    try:
        return frozenset(json.loads((directory / "sub" / FILE).read_text())["roots"][FOO][1])
    except (OSError, KeyError):
        return NOBODY


def test_a_key_may_be_named_and_then_its_subscriber_shows_the_root_to_all(tmp_path: Path) -> None:
    async def run() -> None:
        world = World(tmp_path)
        world.allow("pub", "publish", "foo")
        world.allow("site-b", "read", key=world.pair("sub").public)
        world.allow("other", "read", key=world.pair("sub2").public)
        world.readers["pub"] = RootReaders(frozenset({"key:site-b", "users"}))
        async with (
            world.broker() as broker,
            world.publisher(broker) as publisher,
            world.subscriber(broker) as named,
            world.subscriber(broker, "sub2") as other,
        ):
            await until(lambda: known(named) == EVERYBODY)
            await until(lambda: known(other) == {"users"})
            before = publisher._readers.rights
            world.allow("site-b", "read", key=world.pair("sub3").public)
            await until(lambda: publisher._readers.rights != before)
            await until(lambda: known(named) == EVERYBODY)

    asyncio.run(run())


def test_a_broker_that_does_not_announce_readers_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        world = World(tmp_path, keyed=False)
        world.readers["pub"] = RootReaders(ANNS)
        granted = Registry._registered

        def older(self: Registry, request_id: int, info: Any) -> m.Registered:
            return granted(self, request_id, info).model_copy(update={"rights": ""})

        monkeypatch.setattr(Registry, "_registered", older)
        async with world.broker() as broker:
            with pytest.raises(VersionMismatch, match="newer version"):
                async with world.publisher(broker) as publisher, asyncio.timeout(LIMIT):
                    await publisher.failed()

    asyncio.run(run())


@pytest.mark.parametrize("wrong", ["", "ann", "group:", "key:a b", "@", "*", ["users", ""]])
def test_words_that_name_no_reader_are_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="names no reader"):
        readers.parse(wrong, "read")
    with pytest.raises(ConfigError, match="READERS"):
        readers.parse(["users"] * 1001, "read")


def test_rights_of_a_newer_format_are_kept(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"format": 2}')
    with pytest.raises(StartError, match="format 2"):
        PublishedRights(tmp_path / FILE, lambda _: None)


def test_readers_that_are_unknown_stay_so_over_restarts(tmp_path: Path) -> None:
    async def run() -> None:
        file = tmp_path / FILE
        file.write_text("[]")
        rights = PublishedRights(file, lambda _: None)
        assert rights.readers(FOO) == NOBODY
        assert PublishedRights(file, lambda _: None).readers(FOO) == NOBODY
        writing = asyncio.create_task(rights.keep())
        assert rights.announced(FOO, "") and rights.announced(FOO, "")
        rights.learned(FOO, "", ())
        assert rights.readers(FOO) == EVERYBODY
        await until(lambda: file.exists() and FOO in file.read_text())
        writing.cancel()
        again = PublishedRights(file, lambda _: None)
        assert (again.readers(FOO), again.readers(RootName("bar"))) == (EVERYBODY, NOBODY)

    asyncio.run(run())


def test_rights_are_written_again_where_that_failed_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        monkeypatch.setattr("caterva2.subscriber.publishers.rights.RETRY_S", 0.01)
        file = tmp_path / "sub" / FILE
        rights = PublishedRights(file)
        writing = asyncio.create_task(rights.keep())
        rights.learned(FOO, "a", ANNS)
        await until(lambda: "can't be written" in caplog.text)  # for want of its directory
        file.parent.mkdir()
        await until(lambda: written(tmp_path) == ANNS)
        rights.learned(FOO, "b", {"users"})
        writing.cancel()
        await asyncio.wait([writing])
        assert written(tmp_path) == {"users"}

    asyncio.run(run())


def test_rights_of_roots_of_which_nothing_is_saved_are_forgotten(tmp_path: Path) -> None:
    async def run() -> None:
        file, bar = tmp_path / FILE, RootName("bar")
        rights = PublishedRights(file)
        for root in (FOO, bar):
            rights.learned(root, "a", ANNS)
        writing = asyncio.create_task(rights.keep())
        await until(lambda: file.exists() and bar in file.read_text())
        writing.cancel()
        again = PublishedRights(file, kept=lambda root: root == FOO)
        assert (again.readers(FOO), again.readers(bar)) == (ANNS, EVERYBODY)
        assert again.announced(bar, "a") and again.readers(bar) == NOBODY  # until it is asked
        writing = asyncio.create_task(again.keep())
        await until(lambda: FOO in file.read_text() and bar in file.read_text())
        writing.cancel()

    asyncio.run(run())
