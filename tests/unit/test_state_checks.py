"""Checks of state directories: every damage is found, and nothing is changed."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import shutil
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import replicas
from specialworld import World

from caterva2.accounts.identity import Email
from caterva2.accounts.store import AccountStore
from caterva2.broker.roots_log import RootsLog
from caterva2.cache.store import Store
from caterva2.errors import StartError
from caterva2.model import Entry
from caterva2.names import DatasetPath, Place, RootName
from caterva2.publisher.lease import LeaseFile, SavedLease
from caterva2.runtime.statedir import StateDir
from caterva2.sources.directory.seen import Seen
from caterva2.special import marker
from caterva2.state import checks
from caterva2.state.findings import Finding, looking
from caterva2.state.subscriber_checks import subscriber
from caterva2.subscriber.catalog import saved
from caterva2.subscriber.publishers.rights import PublishedRights
from caterva2.subscriber.subscriptions import Subscriptions
from caterva2.wire.auth import keys

FOO = RootName("foo")


def everything(directory: Path) -> dict[str, tuple[bytes, float]]:
    return {
        str(path): (path.read_bytes(), path.stat().st_mtime)
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state directories of all services, with something in each file."""
    top = tmp_path_factory.mktemp("sound")
    for name in ("bro", "pub", "sub"):
        StateDir(top / name).close()
    RootsLog(top / "bro").write([])
    LeaseFile(top / "pub/lease.json", FOO).write(SavedLease("i", 7))
    keys.read_or_make(top / "pub/key")
    statedir = top / "sub"
    asyncio.run(Subscriptions(statedir).save([FOO]))
    (statedir / "catalogs").mkdir()
    entries = [Entry(DatasetPath("a"), "file", "e", 1, 0.0)]
    saved.write(statedir / "catalogs/foo", "i", 1, entries)
    with closing(AccountStore(statedir / "accounts.sqlite")) as store:
        ann = store.add(Email("ann@example.com"), "hash", False, 9)
        bob = store.add(Email("bob@example.com"), "hash", False, 9)

    async def main() -> None:
        async with World.running(statedir / "spaces") as world:
            for user in (ann, bob):
                await world.upload(user, "@personal/x.b2nd", np.arange(3))
                await world.upload(user, f"@public/{user.email[:3]}.b2nd", np.arange(3))
            await world.view(bob).remove(Place.parse("@public/bob.b2nd"))
            await world.express(ann, "@shared/e.b2nd", "a + 1", a="@public/ann.b2nd")

    asyncio.run(main())
    return top


@pytest.fixture
def state(sound: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sound, tmp_path / "state")


def found(state: Path, service: str, in_use: bool = False) -> list[Finding]:
    looks: dict[str, Callable[[], Iterator[Finding]]] = {
        "bro": lambda: checks.broker(state / "bro"),
        "pub": lambda: checks.publisher(state / "pub", FOO),
        "sub": lambda: subscriber(state / "sub", in_use),
    }
    before = everything(state)
    results = list(looks[service]())
    assert everything(state) == before
    return results


@pytest.mark.parametrize("service", ["bro", "pub", "sub"])
def test_nothing_is_found_where_nothing_is_wrong(state: Path, service: str) -> None:
    assert found(state, service) == []


def delete_bob(sub: Path) -> None:
    with closing(sqlite3.connect(sub / "accounts.sqlite", isolation_level=None)) as db:
        db.execute("DELETE FROM users WHERE email = 'bob@example.com'")


def killed_while_deleting(sub: Path) -> None:
    with closing(AccountStore(sub / "accounts.sqlite")) as store:
        store.delete(Email("bob@example.com"))


def killed_after_a_change(sub: Path) -> None:
    with closing(AccountStore(sub / "accounts.sqlite")) as store:
        store.add(Email("eve@example.com"), "hash", False, 9)
        copies = [shutil.copy(path, f"{path}.copy") for path in sub.glob("accounts.sqlite*")]
    for copy in copies:
        os.replace(copy, copy.removesuffix(".copy"))
    assert (sub / "accounts.sqlite-wal").stat().st_size > 0


def without_accounts(sub: Path) -> None:
    killed_after_a_change(sub)
    (sub / "accounts.sqlite").unlink()


def newer_accounts(sub: Path) -> None:
    with closing(sqlite3.connect(sub / "accounts.sqlite", isolation_level=None)) as db:
        db.execute("PRAGMA user_version = 99")


def write(path: str, content: bytes = b"") -> Callable[[Path], None]:
    def damage(statedir: Path) -> None:
        (statedir / path).parent.mkdir(parents=True, exist_ok=True)
        (statedir / path).write_bytes(content)

    return damage


def remove(path: str) -> Callable[[Path], None]:
    return lambda statedir: shutil.rmtree(statedir / path)


def newer(path: str) -> Callable[[Path], None]:
    return write(path, json.dumps({"format": 99}).encode())


def half(path: str) -> Callable[[Path], None]:
    def damage(statedir: Path) -> None:
        data = (statedir / path).read_bytes()
        (statedir / path).write_bytes(data[: len(data) // 2])

    return damage


def newer_log(bro: Path) -> None:
    content = b'{"format": 99}'
    (bro / "roots.log").write_bytes(b"%08x %s\n" % (zlib.crc32(content), content))


def newer_first_log(bro: Path) -> None:
    (bro / "roots.log").unlink()
    newer("roots.json")(bro)


CASES = [
    ("bro", write("roots.log"), r"at a start: .*roots\.log is damaged \(it is empty\)"),
    ("bro", newer("roots.json"), None),
    ("bro", write("roots.log.bad"), r"roots\.log\.bad: was set aside"),
    ("pub", half("lease.json"), r"at a start: .*/pub/lease\.json is damaged .*the fence"),
    ("pub", newer("lease.json"), r"lease\.json has format 99, .* start the version that wrote it"),
    ("pub", newer("key"), "key has format 99"),
    ("pub", half("key"), "key .* is damaged: restore it from a backup"),
    ("pub", lambda pub: (pub / "key").chmod(0o644), "key .* has mode 0644"),
    ("pub", write("allowed", b"ann nokey read foo\n"), r"allowed: line 1: "),
    ("pub", write("listing"), r"listing: can't be used \(.*: all files are opened"),
    ("pub", write(".lease.json.a2"), "is left of a process that was killed"),
    ("sub", half("subscribed.json"), r"subscribed\.json is damaged .*the subscriptions"),
    ("sub", newer("subscribed.json"), r"subscribed\.json has format 99"),
    ("sub", half("catalogs/foo"), "the saved catalog of foo is lost"),
    ("sub", write("catalogs/foo", b"\x94\x63\x01\x01\x01"), "catalogs/foo has format 99"),
    ("sub", newer("spaces.json"), r"spaces\.json has format 99"),
    ("sub", write("accounts.sqlite"), "is empty: restore the accounts"),
    ("sub", half("accounts.sqlite"), r"accounts\.sqlite .*malformed|damaged"),
    ("sub", newer_accounts, r"sub/accounts\.sqlite has format 99"),
    ("sub", delete_bob, "personal/.*: is of no user: restore"),
    ("sub", killed_while_deleting, "of a user who was deleted: the next start"),
    ("sub", killed_after_a_change, None),
    ("sub", without_accounts, "is missing: restore the accounts"),
    ("sub", write("catalogs/.foo.a2"), None),
    ("sub", newer("rights.json"), r"rights\.json has format 99"),
    ("sub", write("rights.json"), r"rights\.json is damaged"),
    ("sub", newer("mirrors.json"), r"mirrors\.json has format 99"),
    ("sub", write("mirrors.json"), r"mirrors\.json is damaged"),
    ("sub", write("restoring"), "restoring: a backup was restored in part"),
    ("sub", write(".restored.partial/key"), "is left of a process that was killed"),
    ("sub", remove("spaces/shared"), "shared is missing, which held special roots"),
    ("sub", half("spaces/public/ann.b2nd"), r"spaces/public/ann\.b2nd: .* restore it, or remove"),
    ("sub", half("spaces/shared/e.b2nd"), r"shared/e\.b2nd: its expression can't be read"),
    ("sub", write("spaces/incoming/x"), "incoming/x: is left of a process that was killed"),
    ("sub", write("spaces/unfinished/x/about.json"), "unfinished/x: is left of a process"),
    ("sub", write("cache/aa/bb/cc.index", b"x"), r"cc\.index: belongs to nothing"),
    ("sub", lambda sub: (sub / "spaces/public/l").symlink_to("/etc"), "a symbolic link is not"),
]  # fmt: skip


@pytest.mark.parametrize(("service", "damage", "says"), CASES)
def test_each_damage_is_found(
    state: Path, service: str, damage: Callable[[Path], None], says: str | None
) -> None:
    damage(state / service)
    results = found(state, service)
    if says is None:
        assert results == []
        return
    assert len(results) == 1, results
    assert re.search(says, str(results[0])), results[0]
    assert not ("/tmp" in str(results[0]) and str(state) not in str(results[0]))


NEWER = [
    ("bro", newer_log, lambda bro: RootsLog(bro).read()),
    ("bro", newer_first_log, lambda bro: RootsLog(bro).read()),
    ("pub", newer("key"), lambda pub: keys.read_or_make(pub / "key")),
    ("pub", newer("lease.json"), lambda pub: LeaseFile(pub / "lease.json", FOO).read()),
    ("pub", write("listing", b"\x92\x63\x01"), lambda pub: Seen(pub, pub / "listing")),
    ("sub", newer("subscribed.json"), lambda sub: Subscriptions(sub).read()),
    ("sub", write("catalogs/foo", b"\x91\x63"), lambda sub: saved.refuse_newer(sub / "catalogs")),
    ("sub", newer("rights.json"), lambda sub: PublishedRights(sub / "rights.json")),
    ("sub", newer("spaces.json"), lambda sub: marker.check(sub / "spaces")),
    ("sub", newer_accounts, lambda sub: AccountStore(sub / "accounts.sqlite")),
]  # fmt: skip


@pytest.mark.parametrize(("service", "make_newer", "start"), NEWER)
def test_a_downgrade_is_refused_with_a_sentence_and_keeps_the_file(
    state: Path,
    service: str,
    make_newer: Callable[[Path], None],
    start: Callable[[Path], object],
) -> None:
    make_newer(state / service)
    before = everything(state / service)
    with pytest.raises(StartError, match=r"has format 99, and this version of caterva2 reads up"):
        start(state / service)
    assert everything(state / service) == before


def test_damaged_chunks_of_the_cache_are_found(state: Path) -> None:
    store = Store(state / "sub/cache")
    replica = store.replica(replicas.ROOT, replicas.INFO)
    sizes, digests = [len(raw) for raw in replicas.RAW], [zlib.crc32(raw) for raw in replicas.RAW]
    replica.add(range(9), sizes[:9], digests[:9], b"".join(replicas.RAW[:9]))
    assert found(state, "sub") == []
    replicas.damage(replica, 3)
    file = replica.file
    assert file is not None
    os.truncate(file, file.stat().st_size - 1)  # the last chunk is cut off
    store.close()
    [finding] = found(state, "sub")
    assert f"foo/{replicas.INFO.path}: 2 chunks are damaged or cut off" in str(finding)
    assert found(state, "sub", in_use=True) == []


def test_a_lock_of_a_directory_that_is_replaced_meanwhile_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, first = fcntl.flock, tmp_path / "first"

    def late(file: int, how: int) -> None:
        first.rename(tmp_path / "before")
        monkeypatch.undo()
        StateDir(first).close()
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(StartError, match="in use"):
        StateDir(first)
    StateDir(first).close()


def test_a_check_says_whether_the_directory_is_in_use_and_makes_none(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="no state directory"), looking(tmp_path / "x"):
        pass
    with looking(tmp_path) as in_use:
        assert not in_use
    assert not list(tmp_path.iterdir())
    with StateDir(tmp_path), looking(tmp_path) as in_use:
        assert in_use
    with looking(tmp_path), pytest.raises(StartError, match="in use"):
        StateDir(tmp_path)
