"""The store of replicas: which are open, known, and forgotten."""

from __future__ import annotations

import contextlib
import errno
import gc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import samples
from replicas import EVERYTHING, INFO, RAW, ROOT, VALUES, sliced

from caterva2.cache.index import Index
from caterva2.cache.replica import Replica
from caterva2.cache.store import Store
from caterva2.limits import DEFAULTS
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath, RootName


def test_the_store_opens_a_replica_once(store: Store) -> None:
    replica = store.replica(ROOT, INFO)
    assert store.replica(ROOT, INFO) is replica
    assert store.opened(ROOT, INFO) is replica


def _keeping_one(directory: Path) -> Store:
    return Store(directory, limits=replace(DEFAULTS.cache, open_replicas=1))


def test_not_even_one_that_fell_out_of_the_recent(tmp_path: Path) -> None:
    store = _keeping_one(tmp_path)
    replica = store.replica(ROOT, INFO)
    store.replica(ROOT, _other("b.b2nd"))
    assert store.replica(ROOT, INFO) is replica


def test_one_that_nobody_reads_is_let_go(tmp_path: Path) -> None:
    gc.freeze()  # what is old can hold no replica
    store = _keeping_one(tmp_path)
    store.replica(ROOT, INFO)
    store.replica(ROOT, _other("b.b2nd"))
    gc.collect()
    assert store.opened(ROOT, INFO) is None


def _other(path: str = "a.b2nd", etag: str = "v1") -> DatasetInfo:
    return INFO.model_copy(update={"path": DatasetPath(path), "etag": etag})


def test_versions_datasets_and_roots_are_apart(store: Store) -> None:
    replicas = [
        store.replica(ROOT, INFO),
        store.replica(ROOT, _other(etag="v2")),
        store.replica(ROOT, _other("b.b2nd")),
        store.replica(RootName("bar"), INFO),
    ]
    assert len({replica.file for replica in replicas}) == 4


def test_a_replica_of_another_kind_is_not_taken_for_one_of_its_etag(store: Store) -> None:
    store.replica(ROOT, INFO)
    store.close()
    other = INFO.model_copy(update={"kind": "file"})
    assert store.replica(ROOT, other).info.kind == "file"


def test_names_of_files_are_never_input(store: Store, tmp_path: Path) -> None:
    store.replica(ROOT, _other("Secret/Name.b2nd", etag="../../x"))
    files = [str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*")]
    assert not any("Secret" in file or "Name" in file or ".." in file for file in files)


def test_known_versions(store: Store) -> None:
    path = DatasetPath("a.b2nd")
    assert store.known_versions(ROOT, path) == []
    store.replica(ROOT, INFO)
    store.replica(ROOT, _other(etag="v2"))
    assert {info.etag for info in store.known_versions(ROOT, path)} == {"v1", "v2"}


def test_known_versions_pass_over_what_is_damaged(store: Store) -> None:
    replica = store.replica(ROOT, INFO)
    index = replica.file.with_suffix(".index")
    content = index.read_bytes()
    index.with_name("x.index").write_bytes(content.replace(b"\xa3foo", b"\xa3f/o"))
    found = store.known_versions(ROOT, DatasetPath("a.b2nd"))
    assert [info.etag for info in found] == ["v1"]


def test_forget_keeps_one_version(store: Store) -> None:
    kept = store.replica(ROOT, INFO)
    store.replica(ROOT, _other(etag="v2"))
    store.forget(ROOT, INFO.path, keep_etag="v1")
    assert [info.etag for info in store.known_versions(ROOT, INFO.path)] == ["v1"]
    assert store.replica(ROOT, INFO) is kept


def test_forget_removes_all_files(store: Store, sealed: Replica, tmp_path: Path) -> None:
    store.forget(ROOT, INFO.path)
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []
    assert store.opened(ROOT, INFO) is None


@pytest.mark.parametrize("complete", [False, True])
def test_who_reads_a_forgotten_replica_is_not_disturbed(
    store: Store, replica: Replica, complete: bool
) -> None:
    samples.fill(replica, RAW, range(10 if complete else 5))
    replica.seal()
    store.forget(ROOT, INFO.path)
    assert replica.read(EVERYTHING[:5]) == RAW[:5]
    np.testing.assert_array_equal(sliced(replica, 3, 44), VALUES[3:44])
    assert store.replica(ROOT, INFO).cached_chunks == 0


def test_a_forgotten_replica_does_not_touch_the_files_of_the_next(
    store: Store, replica: Replica
) -> None:
    samples.fill(replica, RAW, range(10))
    replica.seal()
    store.forget(ROOT, INFO.path)
    following = store.replica(ROOT, INFO)
    samples.fill(following, RAW, [0])
    with contextlib.suppress(OSError):
        replica.keep()
    assert not following.file.with_suffix(".b2nd").exists()
    assert following.read(EVERYTHING[:1]) == RAW[:1]


def test_a_description_without_chunks_is_kept_once(store: Store, tmp_path: Path) -> None:
    assert not store.keeps_description(ROOT, INFO)
    store.keep_description(ROOT, INFO)
    assert store.keeps_description(ROOT, INFO)
    assert store.known_versions(ROOT, INFO.path) == [INFO]
    store.forget(ROOT, INFO.path)
    assert not store.keeps_description(ROOT, INFO)
    store.keep_description(ROOT, INFO)
    again = Store(tmp_path / "cache")
    again.keep_description(ROOT, INFO)
    assert again.keeps_description(ROOT, INFO)


def test_a_description_that_could_not_be_kept_is_not_taken_for_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(Index, "create", refuse)
        store.keep_description(ROOT, INFO)
    assert not store.keeps_description(ROOT, INFO)
    store.keep_description(ROOT, INFO)
    assert store.known_versions(ROOT, INFO.path) == [INFO]
