"""State directories of older versions: opened by the version of today, and nothing is lost.

``states/DATE.tar.xz`` is what the version of that day left, made by ``states/make.py`` with it.
"""

from __future__ import annotations

import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import caterva2
from caterva2.accounts.store import MIGRATIONS
from caterva2.broker.roots_log import RootsLog
from caterva2.cache import check as cache
from caterva2.names import RootName
from caterva2.publisher.lease import LeaseFile
from caterva2.state.checks import broker, publisher
from caterva2.state.subscriber_checks import subscriber
from caterva2.subscriber.catalog import saved
from tests.conftest import Stack
from tests.fault.states.make import WORD

STATES = sorted(Path(__file__).with_name("states").glob("*.tar.xz"))
FOO = RootName("foo")


@pytest.fixture(params=STATES, ids=lambda path: path.name.partition(".")[0])
def stack(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stack]:
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    stack = Stack(tmp_path)
    stack.secret = "keeps sessions"
    try:
        yield stack
    finally:
        stack.stop_all()


def test_the_state_of_an_older_version_is_read_and_nothing_is_lost(stack: Stack) -> None:
    bro, pub, sub = (stack.directory / name for name in ("bro", "pub", "sub"))
    found = [*broker(bro), *publisher(pub, FOO), *subscriber(sub, in_use=False)]
    assert [finding for finding in found if finding.fault] == []
    [record] = RootsLog(bro).read()
    assert (record.root, record.fence) == (FOO, 1)
    assert LeaseFile(pub / "lease.json", FOO).read().fence == 1

    [catalog] = (sub / "catalogs").iterdir()
    assert [*saved.read(catalog, FOO).entries] == ["a.b2nd"]
    assert cache.look(sub / "cache").complete == 1
    stack.start_broker()
    stack.start_subscriber()  # there is no publisher: what it answers is what it had
    client = caterva2.Client(stack.url, ("ann@example.com", WORD))
    assert client.get_roots()["foo"]["subscribed"]
    for root in ("public", "shared", "personal"):
        assert client.fetch(f"@{root}/dir/up.b2nd").tolist() == list(range(8))
    assert client.fetch("@personal/sum.b2nd").tolist() == list(range(1, 9))
    if (sub / "spaces/trash").exists() and any((sub / "spaces/trash").iterdir()):
        [item] = client.trash()
        assert str(client.restore(item["id"])) == "@public/gone.b2nd"
    administrator = caterva2.Client(stack.url, ("super@example.com", WORD))
    assert len(administrator.listusers()) == 2
    stack.kill("sub")
    with closing(sqlite3.connect(sub / "accounts.sqlite")) as accounts:
        assert accounts.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert [finding for finding in subscriber(sub, in_use=False) if finding.fault] == []
