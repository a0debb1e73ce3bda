"""The client's own cache: local reads, only what is missing is fetched, and no network at all."""

from __future__ import annotations

import asyncio
import errno
import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import caterva2
from caterva2.client.errors import HttpError, Missing, OfflineWarning, Unreachable
from tests.client.arrays import GRID, MANY, write
from tests.client.line import Line, cached
from tests.conftest import Stack, eventually

PATH = "foo/grid.b2nd"


def _chunks(line: Line) -> list[str]:
    return [one.query for one in line.requests if one.path.startswith("api/chunks/")]


def test_only_missing_chunks_are_fetched_and_the_rest_makes_no_request(
    line: Line, tmp_path: Path
) -> None:
    dataset = cached(line, tmp_path)[PATH]
    assert (dataset[0:10, 0:40] == GRID[0:10, 0:40]).all()
    assert (dataset[5:12, 30:50] == GRID[5:12, 30:50]).all()
    assert _chunks(line) == ["ids=0:2", "ids=2,4:6"]
    again = cached(line, tmp_path)[PATH]
    before = len(line.requests)
    assert (again[0:12, 20:60] == GRID[0:12, 20:60]).all()
    assert again[3, 3] == GRID[3, 3]
    assert (again[[1, 4, 9], [2, 50, 59]] == GRID[[1, 4, 9], [2, 50, 59]]).all()
    assert again.get_chunk(4) == caterva2.Client(line.urlbase)[PATH].get_chunk(4)
    assert len(line.requests) == before


def opened(client: caterva2.Client, path: str) -> Any:
    """Open a dataset that was just made."""
    eventually(lambda: path.partition("/")[2] in client["foo"])
    return client[path]


KEYS: dict[str, Any] = {
    "grid.b2nd": (slice(None, None, -3), 5), "ds-1d-fields.b2nd": [5, 900, 5],
    "README.md": slice(3, 40), "ds-hello.b2frame": slice(90, 110), "ds-sc-attr.b2nd": (),
    "dir2/ds-4d.b2nd": (..., 2), "dir1/ds-3d.b2nd": (1, slice(None), [0, 3]),
}  # fmt: skip


@pytest.mark.parametrize("name", KEYS)
def test_cached_values_are_those_of_the_subscriber(line: Line, tmp_path: Path, name: str) -> None:
    plain, key = caterva2.Client(line.urlbase)["foo"][name], KEYS[name]
    for client in (cached(line, tmp_path), cached(line, tmp_path)):
        dataset = client["foo"][name]
        for wanted in (key, ..., key):  # of a part, of all that was completed, and of a frame
            assert np.array_equal(dataset[wanted], plain[wanted])
            assert np.asarray(dataset[wanted]).dtype == np.asarray(plain[wanted]).dtype
    line.cut = True
    with pytest.warns(OfflineWarning):
        assert np.array_equal(client.fetch(f"foo/{name}", key), plain[key])


def test_fields_and_whole_frames_come_from_the_cache(line: Line, tmp_path: Path) -> None:
    dataset = cached(line, tmp_path)["foo/ds-1d-fields.b2nd"]
    whole = dataset[:]
    before = len(line.requests)
    assert (dataset.fields["a"][5:9] == whole["a"][5:9]).all()
    assert (dataset.slice(slice(5, 9))[:] == whole[5:9]).all()
    assert len(line.requests) == before


def test_without_network_what_is_there_is_shown_with_one_warning(
    line: Line, tmp_path: Path
) -> None:
    online = cached(line, tmp_path)
    names, attrs = list(online["foo"]), dict(online["foo/ds-sc-attr.b2nd"].attrs)
    assert online[PATH][:10].shape == (10, 60)
    line.cut = True
    client = cached(line, tmp_path)
    with pytest.warns(OfflineWarning, match="line is cut") as seen:
        assert list(client["foo"]) == names
        dataset = client[PATH]
        assert (dataset[:10] == GRID[:10]).all()
        assert dict(client["foo/ds-sc-attr.b2nd"].attrs) == attrs
        assert PATH.split("/")[0] in client["foo"].name
        with pytest.raises(Unreachable, match=r"grid\.b2nd: 3 chunks are not in the cache"):
            dataset[10:20]
    assert [one.category for one in seen] == [OfflineWarning]
    assert dataset.as_of is not None
    assert abs(dataset.as_of.timestamp() - os.stat(tmp_path).st_mtime) < 600
    with pytest.raises(Unreachable, match=r"README\.md is not in the cache, and the line is cut"):
        client["foo/README.md"]


def test_it_comes_back_by_itself(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caterva2.depot.transport.RETRY", 0.0)
    client = cached(line, tmp_path)
    dataset = client[PATH]
    line.cut = True
    with pytest.warns(OfflineWarning):
        dataset.refresh()
    line.cut = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset.refresh()
    assert (dataset[:] == GRID).all()


def test_a_new_version_is_read_after_refresh_or_as_soon_as_a_chunk_is_missing(
    lab: Stack, line: Line, tmp_path: Path
) -> None:
    file = lab.directory / "source" / "changing.b2nd"
    write(file, GRID)
    path = "foo/changing.b2nd"
    client = cached(line, tmp_path)
    dataset = opened(client, path)
    old = dataset.pinned()
    assert (dataset[:10] == GRID[:10]).all()
    version = dataset.meta["etag"]
    write(file, GRID + 1)
    eventually(lambda: client.get_info(path)["etag"] != version)
    assert (dataset[:10] == GRID[:10]).all()  # as of its opening
    assert (dataset[30:] == GRID[30:] + 1).all()  # what is missing is of the new version only
    assert (dataset[:10] == GRID[:10] + 1).all()
    assert (old[:10] == GRID[:10]).all()
    with pytest.raises(caterva2.StaleVersion):
        old[30:]


def test_events_refresh_what_has_changed(lab: Stack, line: Line, tmp_path: Path) -> None:
    file = lab.directory / "source" / "followed.b2nd"
    write(file, GRID)
    client = cached(line, tmp_path, follow=True)
    try:
        dataset = opened(client, "foo/followed.b2nd")
        assert (dataset[:] == GRID).all()
        write(file, GRID + 2)
        eventually(lambda: (dataset[:] == GRID + 2).all())
        before = len(line.requests)
        assert (dataset[5:25] == GRID[5:25] + 2).all()
        assert len(line.requests) == before
    finally:
        client.close()


@pytest.mark.parametrize("damage", [lambda data: data[:-9] + b"\0\1\2" + data[-6:], lambda _: b""])
def test_damaged_files_are_fetched_again(line: Line, tmp_path: Path, damage: Any) -> None:
    first = cached(line, tmp_path)[PATH]
    assert (first[:] == GRID).all()
    files = [*tmp_path.glob("*/replicas/*/*/*.b2nd")]
    for file in files:
        chunk = first.get_chunk(7)
        data = file.read_bytes()
        at = data.index(chunk) + len(chunk)
        file.write_bytes(damage(data[:at]) + data[at:])
    assert len(files) == 1
    again = cached(line, tmp_path)[PATH]
    line.requests.clear()
    assert (again[:] == GRID).all()
    assert _chunks(line)
    line.cut = True
    assert (again[:] == GRID).all()


def test_chunks_damaged_on_their_way_are_requested_again(line: Line, tmp_path: Path) -> None:
    def flip(body: bytearray) -> None:
        body[-5] ^= 16
        line.damage = None

    dataset = cached(line, tmp_path)[PATH]
    line.damage = flip
    assert (dataset[:] == GRID).all()
    assert _chunks(line) == ["ids=0:12", "ids=0:12"]

    def always(body: bytearray) -> None:
        body[-5] ^= 16

    line.damage = always
    with pytest.raises(Unreachable, match="damaged on its way"):
        cached(line, tmp_path / "other")[PATH][:]


@pytest.mark.parametrize("target", ["/api/info/foo/", "/api/list/foo"])
def test_what_is_refused_is_removed(line: Line, tmp_path: Path, target: str) -> None:
    client = cached(line, tmp_path)
    assert client[PATH][:].shape == (40, 60)
    assert list(client["foo"])
    line.missing = target
    with pytest.raises(Missing):
        client[PATH] if "info" in target else list(client["foo"])
    assert not [*tmp_path.glob("*/replicas/*/*/*")]
    line.cut = True
    with pytest.raises(Unreachable):
        cached(line, tmp_path)[PATH]


def test_users_and_subscribers_share_nothing(lab: Stack, tmp_path: Path) -> None:
    url, token = lab.url, "c2_" + "x" * 40
    given: list[dict[str, Any]] = [
        {}, {"auth": ("ann", "secret-word")}, {"auth": ("bob", "secret-word")}, {"token": token},
    ]  # fmt: skip
    for one in given:
        caterva2.Client(url, cache=tmp_path, **one)
    caterva2.Client(url.replace("127.0.0.1", "localhost"), cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 5
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or b"secret-word" not in file.read_bytes()
        assert not file.is_file() or token.encode() not in file.read_bytes()
    assert {oct(one.stat().st_mode & 0o777) for one in tmp_path.iterdir()} == {"0o700"}
    for one in tmp_path.iterdir():
        one.chmod(0o770)
    with pytest.raises(caterva2.BadRequest, match="other users may write"):
        caterva2.Client(url, cache=tmp_path)


def test_the_least_recently_read_is_evicted(line: Line, tmp_path: Path) -> None:
    names = ["dir1/ds-2d.b2nd", "dir1/ds-3d.b2nd", "dir2/ds-4d.b2nd", "ds-1d.b2nd"]
    client = cached(line, tmp_path, quota=18_000)
    for name in names:
        assert client["foo"][name][...].size
        for age, file in enumerate(tmp_path.glob("*/replicas/*/*/*.index")):
            os.utime(file, (1e9 + age, 1e9 + age)) if name != names[-1] else None
    left = [*tmp_path.glob("*/replicas/*/*/*.index")]
    assert 0 < len(left) < len(names)
    line.cut = True
    with pytest.warns(OfflineWarning):
        assert client["foo"][names[-1]][...].size


def test_the_environment_asks_for_a_cache(
    lab: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert not caterva2.Client(lab.url).transport.kept.active
    for value, where in (("1", "xdg/caterva2"), (str(tmp_path / "there"), "there")):
        monkeypatch.setenv("CATERVA2_CACHE", value)
        client = caterva2.Client(lab.url)
        assert client[PATH][3, 3] == GRID[3, 3]
        assert [*(tmp_path / where).glob("*/replicas/*/*/*.index")]
        restored = pickle.loads(pickle.dumps(client[PATH]))
        assert restored._client.transport.kept.active
    assert not caterva2.Client(lab.url, cache=False).transport.kept.active
    with pytest.raises(caterva2.BadRequest, match="cache_quota"):
        caterva2.Client(lab.url, cache=tmp_path, cache_quota="much")


def test_the_asynchronous_client_has_a_cache_too(lab: Stack, tmp_path: Path) -> None:
    async def read() -> None:
        async with caterva2.AsyncClient(lab.url, cache=tmp_path) as client:
            dataset: Any = await client.get(PATH)
            assert (await dataset[:5] == GRID[:5]).all()
            assert dataset.as_of is not None
            report = await client.take("foo/dir1")
            assert len(report.taken) == 2

    asyncio.run(read())
    assert [*tmp_path.glob("*/replicas/*/*/*.index")]


@pytest.mark.parametrize("full", ["os.posix_fallocate", "caterva2.runtime.durable.pwrite"])
def test_a_full_disk_leaves_values_right(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: str
) -> None:
    dataset = cached(line, tmp_path)[PATH]

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patched:
        patched.setattr(full, refuse)
        assert (dataset[:20] == GRID[:20]).all()
        assert (dataset[:] == GRID).all()
    again = cached(line, tmp_path)[PATH]
    assert (again[:] == GRID).all()
    line.cut = True
    assert (again[5:25] == GRID[5:25]).all()


def test_a_subscriber_that_sends_no_chunks_by_number_sends_values(
    line: Line, tmp_path: Path
) -> None:
    line.missing = "/api/chunks/"
    dataset = cached(line, tmp_path)[PATH]
    assert (dataset[3:33] == GRID[3:33]).all()
    assert dataset.get_chunk(2) == caterva2.Client(line.urlbase)[PATH].get_chunk(2)
    assert not [*tmp_path.glob("*/replicas/*/*/*")]


def test_much_more_than_the_values_is_not_fetched(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caterva2.depot.replicas.FEW_BYTES", 1000)
    dataset = cached(line, tmp_path)[PATH]
    assert (dataset[:, 7] == GRID[:, 7]).all()
    assert not _chunks(line)
    assert (dataset[:, :20] == GRID[:, :20]).all()
    assert _chunks(line) == ["ids=0,3,6,9"]


def test_what_is_larger_than_the_quota_is_read_all_the_same(line: Line, tmp_path: Path) -> None:
    client = cached(line, tmp_path, quota=50_000)
    assert (client["foo/many.b2nd"][:] == MANY).all()
    assert sum(file.stat().st_size for file in tmp_path.glob("*/replicas/*/*/*")) < 60_000


@pytest.mark.parametrize(("kind", "left"), [("not-allowed", 0), ("http", 1)])
def test_only_what_the_subscriber_itself_refuses_is_removed(
    line: Line, tmp_path: Path, kind: str, left: int
) -> None:
    client = cached(line, tmp_path)
    dataset = client[PATH]
    assert (dataset[:10] == GRID[:10]).all()
    with pytest.raises(Missing):
        dataset.get_chunk(99)
    with pytest.raises(Missing):
        client.subscribe(PATH)
    assert [*tmp_path.glob("*/replicas/*/*/*.index")]
    line.missing, line.refusal = "/api/info", HttpError(503, "", "away", "root-offline")
    with pytest.warns(OfflineWarning, match="away"):
        dataset.refresh()
    line.missing, line.refusal = "/api/", HttpError(403, "Forbidden", "no", kind)
    with pytest.raises(HttpError, match="no"):
        dataset[30:]
    assert len([*tmp_path.glob("*/replicas/*/*/*.index")]) == left
