"""Starts of a broker and a publisher that fail half-way: nothing of them is left."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from wiretools import ANY

from caterva2.broker.service import Broker, BrokerOptions
from caterva2.errors import StartError
from caterva2.model import Entry
from caterva2.names import DatasetPath, RootName
from caterva2.publisher.lease import LEASE_FILE
from caterva2.publisher.service import Publisher, PublisherOptions
from caterva2.runtime import service
from caterva2.runtime.statedir import StateDir
from caterva2.sources.base import ALL
from caterva2.sources.memory import MemorySource
from caterva2.wire.auth.curve import PLAIN
from caterva2.wire.auth.service_keys import KeyOptions, refuse_open
from caterva2.wire.sockets import Address

FOO = RootName("foo")


class Closing(MemorySource):
    closed = False

    def close(self) -> None:
        self.closed = True
        super().close()


def publisher_options(directory: Path, endpoint: Address = ANY) -> PublisherOptions:
    return PublisherOptions(FOO, ANY, endpoint, None, directory)


NEWER = '{"format": 99, "fences": {}, "roots": []}'


def nothing_is_left(directory: Path) -> bool:
    """Whether the state directory is free, and no thread of ours runs."""
    StateDir(directory).close()
    return not [t for t in threading.enumerate() if t.name in ("watch", "the broker")]


def test_a_state_directory_that_is_made_is_closed_to_others(tmp_path: Path) -> None:
    StateDir(tmp_path / "new").close()
    assert (tmp_path / "new").stat().st_mode & 0o007 == 0


def test_a_broker_whose_last_address_is_taken_releases_the_others(tmp_path: Path) -> None:
    async def run() -> None:
        async with Broker.serving(BrokerOptions(ANY, ANY, ANY, tmp_path / "one")) as one:
            free = BrokerOptions(ANY, ANY, one.endpoint, tmp_path / "two")
            with pytest.raises(StartError, match="xpub: can't listen on"):
                async with Broker.serving(free):
                    pytest.fail("it started")
            assert nothing_is_left(tmp_path / "two")

    asyncio.run(run())


@pytest.mark.parametrize("name", ["roots.log", "roots.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", '{"fences": {"foo": -1}, "roots": []}'])
def test_a_broker_with_a_damaged_file_starts_anew_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content)

    async def run() -> None:
        async with Broker.serving(BrokerOptions(ANY, ANY, ANY, tmp_path)):
            pass

    asyncio.run(run())
    assert f"{name} is damaged" in caplog.text
    assert "leases and fences in it are lost" in caplog.text
    assert (tmp_path / f"{name}.bad").read_text() == content


def test_a_broker_with_a_newer_file_releases_its_directory(tmp_path: Path) -> None:
    (tmp_path / "roots.json").write_text(NEWER)

    async def run() -> None:
        with pytest.raises(StartError, match=r"roots\.json has format 99, .* reads up to 1"):
            async with Broker.serving(BrokerOptions(ANY, ANY, ANY, tmp_path)):
                pytest.fail("it started")
        assert nothing_is_left(tmp_path)

    asyncio.run(run())


def test_a_publisher_whose_source_can_not_be_scanned_releases_everything(tmp_path: Path) -> None:
    class Failing(Closing):
        def scan(self, scope: str = ALL) -> dict[DatasetPath, Entry]:
            raise StartError("there is nothing to scan with")

    source = Failing()

    async def run() -> None:
        with pytest.raises(StartError, match="nothing to scan with"):
            async with Publisher.serving(publisher_options(tmp_path), lambda: source):
                pytest.fail("it started")

    asyncio.run(run())
    assert source.closed
    assert nothing_is_left(tmp_path)


def test_a_publisher_of_nothing_is_ready_and_says_so(tmp_path: Path) -> None:
    async def run() -> None:
        options = publisher_options(tmp_path)
        async with Publisher.serving(options, MemorySource) as publisher:
            assert "root foo with 0 datasets ready" in publisher.ready

    asyncio.run(run())


def test_a_publisher_with_a_newer_file_closes_its_source(tmp_path: Path) -> None:
    (tmp_path / LEASE_FILE).write_text('{"format": 9}')
    source = Closing()

    async def run() -> None:
        with pytest.raises(StartError, match=r"lease\.json has format 9"):
            async with Publisher.serving(publisher_options(tmp_path), lambda: source):
                pytest.fail("it started")

    asyncio.run(run())
    assert source.closed
    assert nothing_is_left(tmp_path)


def test_a_publisher_whose_source_can_not_be_opened_releases_its_directory(tmp_path: Path) -> None:
    def refuse() -> Any:
        raise StartError("there is nothing")

    async def run() -> None:
        with pytest.raises(StartError, match="there is nothing"):
            async with Publisher.serving(publisher_options(tmp_path), refuse):
                pytest.fail("it started")

    asyncio.run(run())
    assert nothing_is_left(tmp_path)


def test_a_publisher_on_all_addresses_has_to_be_told_which_to_register(tmp_path: Path) -> None:
    async def run() -> None:
        options = publisher_options(tmp_path, Address("*", 0))
        with pytest.raises(StartError, match="needs --advertise"):
            async with Publisher.serving(options, MemorySource):
                pytest.fail("it started")

    asyncio.run(run())


def test_a_publisher_that_ends_releases_everything(tmp_path: Path) -> None:
    source = Closing()
    source.put("f", b"content")

    async def run() -> None:
        async with Broker.serving(BrokerOptions(ANY, ANY, ANY, tmp_path / "bro")) as bro:
            options = PublisherOptions(FOO, bro.endpoint, ANY, None, tmp_path / "pub")
            async with Publisher.serving(options, lambda: source) as pub:
                assert "root foo with 1 datasets ready at 127.0.0.1:" in pub.ready
                assert pub.ready.endswith(f", broker {bro.endpoint}")
        assert source.closed

    asyncio.run(run())
    assert nothing_is_left(tmp_path / "bro")
    assert nothing_is_left(tmp_path / "pub")


def test_the_exit_code_tells_of_a_failed_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "roots.json").write_text(NEWER)
    options = BrokerOptions(ANY, ANY, ANY, tmp_path)
    assert service.run("cat2bro", lambda: Broker.serving(options)) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("cat2bro: ")
    assert captured.err.count("\n") == 1


def test_a_publisher_without_keys_listens_to_this_machine_only(tmp_path: Path) -> None:
    async def start(keys: KeyOptions) -> None:
        options = PublisherOptions(FOO, ANY, Address("0.0.0.0", 0), ANY, tmp_path, keys)
        async with Publisher.serving(options, MemorySource):
            pass

    for keys in (KeyOptions(), KeyOptions(curve="off")):
        with pytest.raises(StartError, match=r"data at 0\.0\.0\.0:0 would be open"):
            asyncio.run(start(keys))
    asyncio.run(start(KeyOptions(insecure=True)))


@pytest.mark.parametrize(
    "host", ["*", "0", "0.0.0.0", "[::]", "[::ffff:0.0.0.0]", "127.1", "eth0", "localhost.lan"]
)
def test_an_address_that_is_not_surely_of_this_machine_is_refused(host: str) -> None:
    with pytest.raises(StartError, match="would be open"):
        refuse_open("data", Address(host, 1), PLAIN, KeyOptions())
    refuse_open("data", Address(host, 1), PLAIN, KeyOptions(insecure=True))
    refuse_open("data", Address("127.0.0.1", 1), PLAIN, KeyOptions())


@pytest.mark.parametrize("named", [True, False])
def test_a_list_that_is_not_there_opens_nothing(tmp_path: Path, named: bool) -> None:
    """A list that the settings name, or a link in the state directory."""
    (tmp_path / "allowed").symlink_to(tmp_path / "nowhere")
    keys = KeyOptions(allowed=tmp_path / "nowhere" if named else None)

    async def start() -> None:
        async with Broker.serving(BrokerOptions(ANY, ANY, ANY, tmp_path, keys)):
            pytest.fail("it started")

    with pytest.raises(StartError, match="is not there: cat2keys allow"):
        asyncio.run(start())
