"""What an upstream is asked with, its events, who reads its roots here, and catalogs passed on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest

from caterva2.access.exchange import Exchange, Exchanges
from caterva2.config import SubscriberSettings
from caterva2.errors import BadMessage, ConfigError, Gone, StartError
from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.model import Entry, Origin, RootInfo
from caterva2.names import DatasetPath, RootName
from caterva2.runtime.fair_shares import FairShares
from caterva2.subscriber.catalog.copy import CatalogCopy
from caterva2.subscriber.catalog.order import check_hello
from caterva2.subscriber.catalog.serving import CatalogPages
from caterva2.subscriber.monitoring.monitor import Monitor
from caterva2.subscriber.publishers.choice import Behind
from caterva2.subscriber.upstream.events import EventLines, Seen
from caterva2.subscriber.upstream.options import UpstreamOptions
from caterva2.subscriber.upstream.roots import UpstreamRoots
from caterva2.subscriber.upstream.shown import Shown
from caterva2.wire import codec
from caterva2.wire import messages as m

ROOT = RootName("foo")
STREAM = b"""retry: 2000

: still here

event: roots
data: {"root": "foo", "state": "up", "http": "x"}

event: change
data: {"root": "bar", "path": "a", "op": "put", "etag": "e"}

event: change
data: {"root": 7}

event: lost
data: no JSON
"""


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_events_are_read_however_they_are_cut(step: int) -> None:
    lines, seen = EventLines(), []
    for at in range(0, len(STREAM), step):
        seen += lines.feed(STREAM[at : at + step])
    assert seen == [Seen("roots", RootName("foo")), Seen("change", RootName("bar"))]


def test_a_line_without_an_end_is_refused() -> None:
    lines = EventLines()
    with pytest.raises(BadMessage, match="a line of more than"):
        for _ in range(100):
            list(lines.feed(b"data: " + 1000 * b"x"))


def options(**given: Any) -> UpstreamOptions | None:
    return UpstreamOptions.of(SubscriberSettings(**given))


def test_a_token_travels_by_tls_or_within_the_machine() -> None:
    token = {"upstream_token_file": "token"}
    assert options() is None
    for url in ("https://lab.example/x/", "http://127.0.0.1:8002", "http://[::1]:1"):
        found = options(upstream=url, **token)
        assert found is not None
        assert found.url == url.rstrip("/")
    assert options(upstream="http://lab.example") is not None
    with pytest.raises(ConfigError, match="use https"):
        options(upstream="http://lab.example", **token)


@pytest.mark.parametrize("url", ["lab", "ftp://lab", "https://ann:word@lab", "https://lab?x"])
def test_what_is_no_url_of_an_upstream_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="upstream"):
        SubscriberSettings(upstream=url)


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [("c2_x\n", 0o644, "chmod 600"), ("", 0o600, "no token"), ("a b", 0o600, "no token"),
     ("c2\u00e9", 0o600, "no token"), (None, 0, "can't be read")],
)  # fmt: skip
def test_a_file_without_a_usable_token_is_refused(
    tmp_path: Path, content: str | None, mode: int, words: str
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
    with pytest.raises(StartError, match=words):
        UpstreamOptions("https://lab.example", file).token()


def test_a_fifo_is_no_file_with_a_token(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "token", 0o600)
    with pytest.raises(StartError, match="holds no token"):
        UpstreamOptions("https://lab.example", tmp_path / "token").token()


def test_no_certificate_is_believed_where_none_is_needed() -> None:
    made = UpstreamOptions("http://127.0.0.1:8002").certificates()
    assert (made.verify_mode, made.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert made.cert_store_stats()["x509_ca"] == 0


def test_certificates_come_from_a_file_that_has_some(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("none")
    with pytest.raises(StartError, match="upstream_ca_file"):
        UpstreamOptions("https://lab.example", ca_file=str(tmp_path / "ca")).certificates()


def hello(rights: str) -> m.PublisherHello:
    named = ("ann@example.com",) if rights else ()
    return m.PublisherHello(id=1, inst="i", fence=1, root=ROOT, rev=3, rights=rights, readers=named)


def test_readers_of_the_settings_stand_for_those_that_the_upstream_names() -> None:
    shown = Shown(frozenset({"users"}))
    assert shown.of(hello("")) == hello("")
    said = shown.of(hello("r1"))
    assert (said.readers, said.rights not in ("", "r1")) == (("users",), True)
    request = m.InfoRequest(path="a", rights=said.rights)
    assert shown.translated(ROOT, request) == m.InfoRequest(path="a", rights="r1")
    assert Shown(frozenset({"public"})).of(hello("r1")).rights == ""


def test_without_them_all_stays_as_it_is() -> None:
    shown, request = Shown(), m.InfoRequest(path="a", rights="r0")
    assert shown.of(hello("r1")) == hello("r1")
    assert shown.translated(ROOT, request) == request


def test_roots_of_an_upstream_are_those_of_a_mirror_and_no_more_are_kept_than_there_are() -> None:
    def said(name: str, *path: str) -> m.PublisherHello:
        origin = Origin(inst="i", fence=1, rev=3, path=path, as_of=0.0)
        return hello("").model_copy(update={"root": RootName(name), "origin": origin})

    async def work() -> None:
        session = Mock(url="https://lab.example", options=Mock(readers=None))
        roots = UpstreamRoots(session, Mock(), Mock(), Mock(), name_of=lambda _: "me")
        for n in range(3):
            found = [said(f"r{n}", "lab"), said(f"ring{n}", "me", "lab")]
            roots._take({one.root: one for one in found})
            assert {name: info.mirror for name, info in roots.roots.items()} == {f"r{n}": "lab"}
            assert roots._shown._named.keys() == {f"r{n}"}
            assert roots._looping == {f"ring{n}"}
        roots._see(hello(""))  # it leaves out where the data is from: what it sends is checked, too
        assert roots.roots[ROOT].mirror

        note, known = Mock(), said("r0", "lab")
        roots = UpstreamRoots(session, Mock(), note)
        roots.listen(RootName("r0"))
        for away in (False, True, True, False):
            origin = (known.origin or Mock()).model_copy(update={"away": away})
            roots._see(known.model_copy(update={"origin": origin}))
        seen = [call.args[0].rev - known.rev for call in note.call_args_list]
        assert seen == [0, 1, 0, 1]  # greeted anew, since what it says of the origin has changed

    asyncio.run(work())


@pytest.mark.parametrize(
    ("inst", "rev", "fence", "away", "taken"),
    [("i", 5, 3, False, True), ("i", 4, 3, False, False), ("j", 1, 3, True, True),
     ("j", 1, 2, True, False), ("j", 1, 1, False, True)],
)  # fmt: skip
def test_an_older_catalog_of_an_upstream_counts_only_of_a_run_that_it_reaches(
    inst: str, rev: int, fence: int, away: bool, taken: bool
) -> None:
    given = {"root": ROOT, "inst": inst, "fence": fence}
    where = RootInfo.model_construct(**given, endpoints=("https://lab.example",), mirror="lab")
    origin = Origin(inst=inst, fence=fence, rev=rev, path=("lab",), as_of=0.0, away=away)
    said = m.PublisherHello(id=1, rev=rev, origin=origin, **given)
    copy = CatalogCopy(inst="i", rev=5, complete=True, fence=3)
    with contextlib.nullcontext() if taken else pytest.raises(Behind):
        check_hello(said, where, copy)


def test_an_exchange_ends_once_its_user_may_not_read_the_root_any_more() -> None:
    may, request = [True], m.BytesRequest(path="a", etag="e", start=0, stop=8, deadline_ms=1000)

    class Answers:
        async def to(self, _: Any) -> AsyncIterator[tuple[m.Bytes, bytes]]:
            for last in (False, True):
                yield m.Bytes(id=1, start=0, digest=0, last=last), b"data"

    async def work() -> None:
        policy: Any = Mock(may_read=lambda *_: may[0])
        exchange = Exchange(Mock(), FairShares(2**30, 2**30), policy, None, DEFAULTS)
        answers: Any = Answers()
        pieces = exchange._pieces(ROOT, answers, request, "share")
        assert await anext(pieces)
        assert await anext(pieces) == b"data"
        may[0] = False
        rest = b"".join([piece async for piece in pieces])
        assert b"data" not in rest
        assert b"not-found" in rest

    asyncio.run(work())


def test_requests_of_a_version_that_is_not_known_ask_for_the_catalog_once() -> None:
    request = m.BytesRequest(path="a", etag="e", start=0, stop=8, deadline_ms=1000)

    async def work() -> None:
        begun, go_on = 0, asyncio.Event()

        async def sync() -> None:
            nonlocal begun
            begun += 1
            await go_on.wait()

        root = Mock(offline=False, sync=sync, entry=lambda _: None)
        subscriber: Any = Mock(
            followed=AsyncMock(return_value=root), version=AsyncMock(side_effect=Gone("it is old"))
        )
        exchanges, policy = Exchanges(subscriber), Mock()
        body = bytes(codec.encode(request)[1])
        asked = [await exchanges.of(policy, None).answer(ROOT, body, "share") for _ in range(3)]
        answers = asyncio.gather(*(anext(one) for one in asked))
        for _ in range(50):
            await asyncio.sleep(0)
        assert begun == 1
        go_on.set()
        assert all(b"not-found" in one for one in await answers)

    asyncio.run(work())


def test_thousands_of_roots_are_described_without_holding_up_others() -> None:
    some = [SimpleNamespace(name=RootName(f"r{n}")) for n in range(1000)]
    subscriber: Any = Mock(roots=lambda: some)
    exchange = Exchanges(subscriber).of(Mock(), None)
    exchange._hello = lambda *_: hello("")  # type: ignore[method-assign]

    async def work() -> None:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        found = [piece async for piece in exchange.hellos()]
        task.cancel()
        assert turns >= len(found) == 20

    asyncio.run(work())


def test_a_subscriber_that_waits_for_its_upstream_says_so() -> None:
    for connected, waits in ((True, "upstream"), (False, "broker")):
        broker: Any = Mock(known=False, connected=connected)
        monitor: Any = Mock(_has_broker=True, broker=broker)
        assert asyncio.run(Monitor.unready(monitor)) == f"{waits}: none was heard yet"


class Passing:
    """A copy of a catalog, and another one that takes its pages."""

    def __init__(self, seed: int, history: int) -> None:
        self.random = random.Random(seed)
        self.copy = CatalogCopy(inst="i", rev=0, complete=True)
        self.pages = CatalogPages(PublisherLimits(catalog_history=history, catalog_page=5))
        self.pages.history.note("i", 0, ())
        self.taken = CatalogCopy()

    def change(self) -> None:
        """Change some paths at once, as a copy does that missed notes."""
        paths = {DatasetPath(self.random.choice("abcdefghijklm")) for _ in range(4)}
        self.copy.rev += 4
        for path in paths:
            if self.random.random() < 0.3:
                self.copy.entries.pop(path, None)
            else:
                etag = f"e{self.copy.rev}"
                self.copy.entries[path] = Entry(path, "array", etag, 1, 0.0)
        self.pages.history.note("i", self.copy.rev, paths)

    def take(self) -> bool:
        """Take the pages; return whether it was the whole catalog."""
        pages: list[m.Catalog] = []
        while not pages or pages[-1].cursor:
            asked = m.CatalogRequest(
                inst=self.taken.inst, since_rev=self.taken.since("i"), groups=True,
                cursor=pages[-1].cursor if pages else "",
            )  # fmt: skip
            pages.append(asyncio.run(self.pages.page(self.copy, asked)))
        self.taken.take(pages)
        return pages[0].full


@pytest.mark.parametrize(("seed", "history"), [(1, 1000), (2, 6), (3, 1)])
def test_a_catalog_that_is_passed_on_is_the_one_that_was_taken(seed: int, history: int) -> None:
    world = Passing(seed, history)
    wholes = []
    for _ in range(40):
        for _ in range(world.random.randrange(4)):
            world.change()
        wholes.append(world.take())
        assert world.taken.entries == world.copy.entries
        assert world.taken.rev == world.copy.rev
    assert not all(wholes)
    assert history < 1000 or wholes[0]


def test_the_pages_of_a_catalog_are_of_one_revision_though_it_changes_between_them() -> None:
    """A reader would go back with the notes that follow, if some entries were newer."""
    world = Passing(1, 0)
    for _ in range(20):
        world.change()
    pages, before = [], dict(world.copy.entries)
    while not pages or pages[-1].cursor:
        cursor = pages[-1].cursor if pages else ""
        request = m.CatalogRequest(groups=True, cursor=cursor)
        pages.append(asyncio.run(world.pages.page(world.copy, request)))
        world.change()
    assert len(pages) > 1
    assert {page.rev for page in pages} == {80}
    assert {entry.path: entry for page in pages for entry in page.entries} == before


def test_a_catalog_of_another_run_is_passed_on_as_a_whole() -> None:
    world = Passing(1, 1000)
    world.change()
    world.take()
    world.copy.inst, world.copy.rev = "j", 9
    world.pages.history.note("j", 9, ())
    asked = m.CatalogRequest(inst="i", since_rev=world.taken.rev, groups=True)
    page = asyncio.run(world.pages.page(world.copy, asked))
    assert (page.full, page.inst, page.rev) == (True, "j", 9)
