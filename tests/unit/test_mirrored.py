"""What is served again, where its data is from, and what is not evicted for it"""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from caterva2.cache.quota import Quota
from caterva2.config import load
from caterva2.config.settings import SubscriberSettings
from caterva2.errors import Busy, ConfigError, Loop, RootTaken
from caterva2.limits.constants import FENCE, MIRROR_HOPS
from caterva2.mirror.filling import Filling
from caterva2.mirror.options import MirrorOptions, Patterns
from caterva2.mirror.provenance import Provenance, refuse_loop
from caterva2.mirror.registration import AtAnotherSite, MirrorLease
from caterva2.mirror.root import MirroredRoot
from caterva2.mirror.service import Mirrors
from caterva2.model import MirrorInfo, Origin
from caterva2.names import DatasetPath, RootName
from caterva2.publisher.lease import SavedLease
from caterva2.runtime.tasks import Tasks
from caterva2.subscriber.catalog import sync
from caterva2.subscriber.options import SubscriberOptions
from caterva2.subscriber.remote_root import RemoteRoot
from caterva2.wire.messages import Mirror
from caterva2.wire.sockets import Address

FOO = RootName("foo")


def origin(*path: str, **fields: Any) -> Origin:
    return Origin(inst="i1", fence=3, rev=7, path=path, as_of=10.0, **fields)


def remote(source: Origin | None, *, heard: float = 20.0, **fields: Any) -> RemoteRoot:
    """A root that was greeted, by its publisher or by a mirror of it."""
    hello = SimpleNamespace(inst="i1", fence=3, origin=source, rights="", all_readers=())
    catalog = SimpleNamespace(
        inst="i1", known=True, revision=7, heard=heard, greeting=hello, of_this_run=True
    )
    made = SimpleNamespace(name=FOO, catalog=catalog, revision=7, offline=False)
    vars(catalog).update(fields)
    return cast("RemoteRoot", made)


@pytest.mark.parametrize(
    ("patterns", "root", "path", "named"),
    [
        (["foo"], "foo", "a/b.b2nd", True), (["foo/**"], "foo", "a/b.b2nd", True),
        (["foo"], "food", "a", False), (["foo*"], "food", "a", True),
        (["foo/a/*"], "foo", "b/c", False), (["foo/a/*", "*/b/*"], "foo", "b/c", True),
        (["*"], "@public", "a", False),
    ],
)  # fmt: skip
def test_patterns_name_roots_and_parts(
    patterns: list[str], root: str, path: str, named: bool
) -> None:
    made = Patterns.of(patterns, "publish")
    name = RootName(root)
    assert (made.cover(name) and made.name(name, DatasetPath(path))) is named


@pytest.mark.parametrize(
    "given",
    [
        {"publish": ["@public"]}, {"publish": ["/a"]}, {"publish": ["a" * 2000]},
        {"publish": ["foo"], "publish_endpoint": "nowhere"}, {"publish": ["foo"], "pin": [""]},
        {"publish_to": "127.0.0.1:1"}, {"follow": True}, {"mirror": "some"},
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        MirrorOptions.of(load(SubscriberSettings, None, given))


def test_all_that_is_published_is_fetched_ahead_if_so_asked() -> None:
    made = MirrorOptions.of(SubscriberSettings(publish=["foo/a/*"], mirror="all"))
    assert made is not None
    assert made.fills == made.publish
    assert MirrorOptions.of(SubscriberSettings()) is None


def test_a_way_grows_by_a_mirror_and_ends(tmp_path: Path) -> None:
    made = Provenance(tmp_path, "here")
    first = made.of(remote(None))
    assert first is not None
    assert (first.origin.path, first.origin.as_of) == ((made.name,), 20.0)
    later = made.of(remote(origin("m1", away=True)))
    assert later is not None
    assert (later.origin.path, later.origin.as_of) == (("m1", made.name), 10.0)
    assert later.origin.away
    most = [f"m{n}" for n in range(MIRROR_HOPS)]
    refuse_loop(origin(*most[1:]), "another", FOO)
    for way, mirror in ((most, "another"), (most[:2], "m1")):
        with pytest.raises(Loop, match="m0 > m1"):
            refuse_loop(origin(*way), mirror, FOO)


def test_the_way_outlives_a_restart_and_a_copy_gets_another_name(tmp_path: Path) -> None:
    made = Provenance(tmp_path, "here")
    made.of(remote(origin("m1")))
    made.write()
    again, copy = Provenance(tmp_path, "here"), Provenance(tmp_path, "there")
    assert again.name == made.name != copy.name
    saved = again.of(remote(None, greeting=None))
    assert saved is not None
    assert saved.origin.path == ("m1", made.name)
    assert again.of(remote(None, greeting=None, inst="i2")) is None
    assert not saved.origin.away
    old = again.of(remote(None, greeting=None, of_this_run=False))
    assert old is not None
    assert old.origin.away  # so that a reader of the present run does not take it


def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "mirrors.json").write_text('{"format": 1, "roots": 5}')
    made = Provenance(tmp_path, "here")
    assert made.name
    assert (tmp_path / "mirrors.json.bad").exists()


def test_what_is_kept_is_not_evicted(tmp_path: Path) -> None:
    quota = Quota(tmp_path, 100)
    a, b = tmp_path / "a" / "1", tmp_path / "b" / "1"
    for base in (a, b):
        quota.take(base, 40)
    quota.kept = frozenset({tmp_path / "a"})
    assert quota.to_evict(40, tmp_path / "c" / "1") == [b]


def served(place: Path, root: RemoteRoot, rights: str) -> MirroredRoot:
    """A mirror of a root whose readers have a name, as its subscriber knows."""
    known = SimpleNamespace(knows=lambda _, name: name == rights)
    subscriber: Any = SimpleNamespace(rights=known)
    responder: Any = SimpleNamespace(handle=lambda *_: None)
    patterns = Patterns.of(["*"], "publish")
    at = Address("127.0.0.1", 1)
    return MirroredRoot(subscriber, root, responder, at, Provenance(place, ""), patterns)


def test_a_mirror_that_crashed_does_not_go_on_with_the_readers_of_before(tmp_path: Path) -> None:
    """Its origin is away, its subscriber knows of other rights, and it had not saved them."""
    saved = Provenance(tmp_path, "")
    saved.of(remote(None))
    saved.write()
    for rights, ready in (("", True), ("restricted", False)):
        root: Any = remote(None, greeting=None)
        root.where, root.offline = None, True
        mirror = served(tmp_path, root, rights)
        mirror.review()
        assert (not mirror.unready) is ready


def test_a_mirror_without_the_right_serves_nothing_and_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root: Any = remote(None)
    root.where = SimpleNamespace(rights="r1")
    root.catalog.greeting.rights = "r1"
    mirror = served(tmp_path, root, "r1")
    mirror.review()
    assert "not served again now: its origin does not say who may read it" in caplog.text
    root.catalog.greeting.all_readers = ("ann@x.org",)
    mirror.review()
    assert not mirror.unready
    root.catalog.greeting.all_readers = ()  # its role was revoked
    mirror.review()
    assert "of the role mirror" in mirror.unready


def test_an_origin_that_is_away_is_so_before_anything_is_known_of_it(tmp_path: Path) -> None:
    """What is cached of it is not evicted."""
    for offline, of_this_run, away in (
        (True, True, True),
        (False, False, True),
        (False, True, False),
    ):
        root: Any = remote(None, greeting=None, of_this_run=of_this_run)
        root.offline = offline
        assert served(tmp_path, root, "").away is away


def test_only_what_lasts_is_to_be_saved_soon(tmp_path: Path) -> None:
    made = Provenance(tmp_path, "")
    assert made.urgent
    made.of(remote(origin("m1")))
    made.write()
    made.of(remote(origin("m1"), heard=30.0))
    assert not made.urgent
    made.of(remote(origin("m2")))
    assert made.urgent


def test_a_mirror_does_not_take_the_name_of_its_origin(tmp_path: Path) -> None:
    at = Address("127.0.0.1", 8000)
    options = MirrorOptions(Patterns.of(["foo"], "publish"), to=at)
    of = SubscriberOptions(at, tmp_path)

    async def run() -> None:
        none: Any = None
        async with Mirrors.serving(none, options, of):
            pass

    with pytest.raises(ConfigError, match="own broker"):
        asyncio.run(run())


@pytest.mark.parametrize(
    "info", [{"inst": "i2", "fence": 4}, {"inst": "i1"}, {"inst": "i1", "fence": "4"},
             {"inst": "i1", "fence": -1}, {"inst": "i1", "fence": FENCE}],
    ids=str,
)  # fmt: skip
def test_a_refusal_that_names_no_lease_to_join_is_the_answer(info: dict[str, object]) -> None:
    one: Any = SimpleNamespace(_lease=SimpleNamespace(inst="i1"), _joined=0)
    refused = RootTaken("taken", info=info)
    assert asyncio.run(AtAnotherSite._join(one, refused)) is refused


def test_the_announcement_beside_another_mirror_lasts_as_long_as_may_be() -> None:
    sent: list[Mirror] = []

    async def mirror(request: Mirror) -> None:
        sent.append(request)

    lease = MirrorLease(FOO, "i1", "tcp://h:1", 3600.0, SavedLease())
    about = MirrorInfo(mirror="ab" * 8, endpoint="tcp://h:1")
    one: Any = SimpleNamespace(
        _lease=lease, _joined=0, _link=SimpleNamespace(mirror=mirror),
        _mirror=SimpleNamespace(described=lambda _key: about),
    )  # fmt: skip
    refused = RootTaken("taken", info={"inst": "i1", "fence": 4})
    assert asyncio.run(AtAnotherSite._join(one, refused)) is None
    assert [(each.fence, each.ttl_ms) for each in sent] == [(4, 3_600_000)]


def test_a_mirror_stays_complete_while_new_versions_are_fetched(tmp_path: Path) -> None:
    """Else each change would be announced twice; what is not fetched ahead, or fails, ends that."""

    async def run() -> None:
        path, failing = DatasetPath("a"), Busy("too many requests")
        mirror: Any = SimpleNamespace(complete=True, root=SimpleNamespace(entries={path: None}))

        async def dataset(*_: Any) -> Any:
            raise failing

        options = MirrorOptions(
            Patterns.of(["foo"], "publish"), fills=Patterns.of(["foo/a*"], "mirror")
        )
        subscriber: Any = SimpleNamespace(dataset=dataset)
        filling = Filling(subscriber, options, {FOO: mirror})
        filling.step(FOO, {path})
        assert mirror.complete
        assert not await filling._fetch(FOO, path)
        assert not mirror.complete
        mirror.complete = True
        filling.step(FOO, {DatasetPath("b")})
        assert not mirror.complete

    asyncio.run(run())


def test_a_source_that_stays_behind_is_logged_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "PAUSE", (0.0, 0.0))

    async def run() -> None:
        root: Any = SimpleNamespace(name=FOO, offline=False)
        tries = iter(["older", "older", "older", "other"])

        async def keep_up() -> None:
            text = next(tries, "")
            root.offline = not text
            raise Busy(text or "older")

        root.keep_up = keep_up
        async with Tasks() as tasks:
            sync.CatalogSync(tasks).request(root)
            while not root.offline:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0)

    asyncio.run(run())
    said = [record.getMessage() for record in caplog.records]
    assert said[:2] == ["the catalog of foo: older", "the catalog of foo: other"]
