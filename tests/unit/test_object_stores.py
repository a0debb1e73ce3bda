"""Buckets and web servers as roots: one version is read, whatever happens to object and server"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import pytest
import samples
import zarrstores
from objectstores import CONTENTS, LARGE, OTHER, QUICK, VALUES, etag_of, opened, put_zarr
from sourcereads import path_of, values_of
from zarrstores import put

from caterva2.errors import (
    BadRequest,
    NotFound,
    SourceCorrupt,
    StaleVersion,
    StartError,
)
from caterva2.names import DatasetPath
from caterva2.sources.base import Source
from caterva2.stores.objects import ObjectSource
from caterva2.stores.opening import open_remote
from caterva2.stores.remote import RemoteStore
from caterva2.stores.zarr.source import ZarrSource
from tests.s3server import Bucket, S3Server


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    server = S3Server()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def environment(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)


def filled(server: S3Server) -> Bucket:
    bucket = server.bucket()
    for key, content in CONTENTS.items():
        bucket.put(key, content)
    bucket.put("index.txt", "".join(f"{key}\n" for key in [*CONTENTS, "gone"]).encode())
    return bucket


@pytest.fixture(scope="module")
def kept(server: S3Server) -> Bucket:
    """A bucket that no test changes."""
    return filled(server)


@pytest.fixture
def bucket(server: S3Server) -> Bucket:
    """A bucket of one test."""
    return filled(server)


def served(bucket: Bucket, kind: str) -> Source:
    """The same objects in a bucket, and on a web server that has a list of their keys."""
    return opened(bucket.s3) if kind == "s3" else opened(bucket.http, index="index.txt")


@pytest.fixture(scope="module", params=["s3", "http"])
def source(request: pytest.FixtureRequest, kept: Bucket, server: S3Server) -> Iterator[Source]:
    """A source of objects that no test changes."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        made = served(kept, request.param)
    with contextlib.closing(made):
        yield made


@pytest.fixture(params=["s3", "http"])
def changing(request: pytest.FixtureRequest, bucket: Bucket) -> Iterator[Source]:
    """A source of the objects of one test."""
    with contextlib.closing(served(bucket, request.param)) as made:
        yield made


def read(source: Source, path: str, start: int, stop: int, etag: str) -> bytes:
    return b"".join(source.read_bytes(DatasetPath(path), etag, start, stop))


# --- what is served ---


def test_objects_are_listed_by_their_keys(source: Source) -> None:
    found = {p: (e.kind, e.size) for p, e in source.scan().items() if p != "index.txt"}
    kinds = {"md": "file", "b2nd": "array", "b2frame": "frame"}
    assert found == {
        key: (kinds[key.rpartition(".")[2]], len(content)) for key, content in CONTENTS.items()
    }
    assert sorted(source.scan("d")) == ["d/e/b.b2nd", "d/h.b2frame"]


def test_info_is_of_the_version_that_is_listed(source: Source) -> None:
    listed = source.scan()
    for path in CONTENTS:
        entry, info = listed[DatasetPath(path)], source.info(DatasetPath(path))
        assert (info.path, info.etag, info.kind, info.mtime) == (
            entry.path, entry.etag, entry.kind, entry.mtime,
        )  # fmt: skip


def test_values_are_those_of_the_frames(source: Source) -> None:
    np.testing.assert_array_equal(values_of(source, "a"), np.arange(100))
    np.testing.assert_array_equal(values_of(source, "large"), LARGE)


def test_stored_chunks_and_blocks_are_passed_on(source: Source) -> None:
    raw, etag = samples.raw_chunks(CONTENTS["large.b2nd"]), etag_of(source, "large.b2nd")
    runs = source.chunks(path_of("large"), etag, [3, 0])
    assert b"".join(run.payload for run in runs) == raw[3] + raw[0]
    assert source.blocks(path_of("large"), etag, 2, [4]).ids == (4,)


def test_bytes_of_a_file(source: Source) -> None:
    etag = etag_of(source, "README.md")
    assert read(source, "README.md", 1, 4, etag) == b" Hi"
    with pytest.raises(BadRequest):
        read(source, "README.md", 0, 6, etag)
    with pytest.raises(BadRequest):
        next(source.chunks(DatasetPath("README.md"), etag, [0]))


def test_what_does_not_exist(source: Source) -> None:
    for path in ("x.b2nd", "d/x", "a.b2nd/x.b2nd", ".hidden"):
        with pytest.raises(NotFound):
            source.info(DatasetPath(path))


def test_a_small_slice_needs_few_bytes(kept: Bucket) -> None:
    store, count = RemoteStore(kept.s3, QUICK), []
    plain = store.read

    def counted(*given: Any, **named: Any) -> Any:
        found = plain(*given, **named)
        count.append(len(found[0]) if found else 0)
        return found

    store.read = counted  # type: ignore[method-assign]
    source = ObjectSource(store, QUICK)
    etag = source.scan()[path_of("large")].etag
    source.blocks(path_of("large"), etag, 1, [3])
    assert len(count) <= 5
    assert sum(count) < 2 * 64 * 1024 + 60_000 < len(CONTENTS["large.b2nd"]) / 5
    source.close()


# --- changes ---


def test_a_replaced_object_is_another_version(changing: Source, bucket: Bucket) -> None:
    source = changing
    old, text = etag_of(source, "a.b2nd"), etag_of(source, "README.md")
    list(source.chunks(path_of("a"), old, [0]))
    bucket.put("a.b2nd", OTHER)
    bucket.put("README.md", b"# Ho\n")
    for attempt in (
        lambda: list(source.chunks(path_of("a"), old, [9])),
        lambda: source.blocks(path_of("a"), etag_of(source, "a.b2nd") and old, 0, [0]),
    ):
        with pytest.raises(StaleVersion) as caught:
            source.scan()
            attempt()
        assert caught.value.info == {"etag": etag_of(source, "a.b2nd")}
    with pytest.raises(StaleVersion):
        read(source, "README.md", 0, 5, text)
    np.testing.assert_array_equal(values_of(source, "a"), np.arange(100) + 1)


def test_an_object_that_is_replaced_between_two_reads_is_not_mixed(
    changing: Source, bucket: Bucket
) -> None:
    etag = etag_of(changing, "large.b2nd")
    runs = changing.chunks(path_of("large"), etag, [0, 1, 2, 3])
    next(runs)
    bucket.put("large.b2nd", samples.array_frame(LARGE + 1, chunks=(150_000,), blocks=(5_000,)))
    with pytest.raises(StaleVersion):
        list(runs)


def test_of_another_version_only_the_stamp_is_sent(bucket: Bucket) -> None:
    store = RemoteStore(bucket.s3, QUICK)
    old = store.children("")[0]["README.md"]
    assert store.read("README.md", 10, 0, 4, old) == (b"# Hi", old)
    bucket.put("README.md", b"# Ho\n")
    new = store.children("")[0]["README.md"]
    assert store.read("README.md", 10, 0, 4, old) == (b"", new)
    store.close()


def test_an_object_that_is_deleted_is_gone(changing: Source, bucket: Bucket) -> None:
    etag = etag_of(changing, "large.b2nd")
    bucket.delete("large.b2nd")
    with pytest.raises(NotFound):
        list(changing.chunks(path_of("large"), etag, [0, 1, 2, 3]))
    assert "large.b2nd" not in changing.scan()


def test_a_change_is_hinted_at(source: Source) -> None:
    stop = threading.Event()
    hints = source.changes(stop)
    assert next(hints) == {""}
    stop.set()
    assert list(hints) == []


def test_a_zarr_store_in_a_bucket(server: S3Server) -> None:
    bucket = server.bucket()
    put_zarr(bucket, "", "g/a")
    source = opened(bucket.s3)
    assert isinstance(source, ZarrSource)
    np.testing.assert_array_equal(values_of(source, "g/a"), VALUES)
    assert (source.passed, source.converted) == (4, 0)
    source.close()


def test_a_zarr_store_among_other_objects(bucket: Bucket) -> None:
    put_zarr(bucket, "d/s.zarr", "g/a")
    source = opened(bucket.s3)
    assert {"a.b2nd", "d/e/b.b2nd", "d/s.zarr/g/a.b2nd"} < source.scan().keys()
    np.testing.assert_array_equal(values_of(source, "d/s.zarr/g/a"), VALUES)
    etag = etag_of(source, "d/s.zarr/g/a.b2nd")
    assert etag == source.scan()[path_of("d/s.zarr/g/a")].etag
    put_zarr(bucket, "d/s.zarr", "g/a", VALUES + 1)
    with pytest.raises(StaleVersion) as caught:
        list(source.chunks(path_of("d/s.zarr/g/a"), etag, [0]))
    assert caught.value.detail.startswith("d/s.zarr/g/a.b2nd")
    np.testing.assert_array_equal(values_of(source, "d/s.zarr/g/a"), VALUES + 1)
    source.close()


def test_a_chunk_that_is_deleted_is_not_taken_for_the_fill_value(server: S3Server) -> None:
    bucket = server.bucket()
    put_zarr(bucket, "", "a")
    source = opened(bucket.s3)
    etag = etag_of(source, "a.b2nd")
    bucket.delete("a/c/0/0")
    with pytest.raises(StaleVersion):
        list(source.chunks(path_of("a"), etag, [0]))
    source.close()


def test_the_index_of_a_web_server_is_fetched_once_a_scan(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, names = server.bucket(), [f"{group}/{name}" for group in "pqr" for name in "ab"]
    for name in names:
        put(tmp_path, name)
    keys = [str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()]
    for key in keys:
        bucket.put(key, (tmp_path / key).read_bytes())
    bucket.put("index.txt", "\n".join(keys).encode())
    limits = dataclasses.replace(QUICK, poll=60.0)
    source, fetched = open_remote(bucket.http, limits, {"index": "index.txt"}), list[str]()
    get = obstore.get_async

    def counted(store: Any, key: str, **given: Any) -> Any:
        fetched.append(key)
        return get(store, key, **given)

    monkeypatch.setattr(obstore, "get_async", counted)
    assert list(source.scan()) == [f"{name}.b2nd" for name in names]
    assert fetched.count("index.txt") == 1
    bucket.put("index.txt", "\n".join(key for key in keys if not key.startswith("p/a/")).encode())
    assert list(source.scan()) == [f"{name}.b2nd" for name in names[1:]]
    np.testing.assert_array_equal(values_of(source, "r/b"), zarrstores.VALUES)
    source.close()


# --- what does not start ---


@pytest.mark.parametrize(
    ("url", "given"),
    [
        ("http://ann:secret-word@127.0.0.1/x", {}),
        ("http://127.0.0.1/x?token=secret-word", {}),
        ("s3://bucket-that-is-not-there/x", {}),
        ("http://127.0.0.1:1/x", {"index": "i"}),
        ("s3://bucket/x", {"index": "i"}),
        ("http://127.0.0.1:1/x", {"colour": "red"}),
    ],
)
def test_what_cannot_be_used_does_not_start(url: str, given: dict[str, str]) -> None:
    with pytest.raises(StartError) as caught:
        open_remote(url, QUICK, given)
    assert "secret-word" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_web_server_without_a_list_needs_an_index(kept: Bucket) -> None:
    with pytest.raises(StartError, match="index=KEY"):
        open_remote(kept.http, QUICK)


def test_objects_are_bounded(kept: Bucket) -> None:
    limits = dataclasses.replace(QUICK, listed_objects=4)
    source = ObjectSource(RemoteStore(kept.s3, limits), limits)
    with pytest.raises(SourceCorrupt, match="LISTED_OBJECTS"):
        source.scan()
    source.close()


def test_damaged_frames_are_named_and_the_others_are_served(bucket: Bucket) -> None:
    bucket.put("bad.b2nd", b"no frame")
    bucket.put("empty.b2nd", b"")
    bucket.put("cut.b2nd", CONTENTS["large.b2nd"][:200_000])
    source = opened(bucket.s3)
    for name in ("bad", "empty", "cut"):
        with pytest.raises(SourceCorrupt, match=name):
            source.info(path_of(name))
    np.testing.assert_array_equal(values_of(source, "a"), np.arange(100))
    source.close()
