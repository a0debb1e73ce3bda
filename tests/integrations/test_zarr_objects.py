"""Arrays and groups of zarr-python over the connections of a client."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest
import zarr

import caterva2
from tests.conftest import Stack, eventually, example_root
from tests.scenario.accounts import ANN, WORD


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("source")
    shutil.copytree(example_root(), made, dirs_exist_ok=True)
    return made


@pytest.fixture(scope="module")
def served(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A subscriber where only users may read."""
    stack = Stack(tmp_path_factory.mktemp("stack"))
    stack.secret = "keeps sessions"
    stack.configure(f'[subscriber.roots.foo]\nread = ["{ANN}"]\n')
    try:
        stack.add_user(ANN, WORD)
        stack.start_services(foo=source)
        yield stack
    finally:
        stack.stop_all()


@pytest.fixture
def client(served: Stack) -> Any:
    made = caterva2.Client(served.url, auth=(ANN, WORD))
    eventually(lambda: made.get("foo"))
    return made


def test_arrays_groups_and_roots_are_those_of_zarr(client: Any) -> None:
    array = client.get("foo/dir1/ds-3d.b2nd")
    found = array.zarr()
    assert isinstance(found, zarr.Array)
    np.testing.assert_array_equal(found[1:, 2], array[1:, 2])
    np.testing.assert_array_equal(
        found.oindex[[0, 2], :, [1, 3]], array[np.ix_([0, 2], range(4), [1, 3])]
    )
    root = client.get("foo").zarr()
    assert {"dir1", "dir2", "ds-1d"} <= set(root)
    np.testing.assert_array_equal(root["dir2/ds-4d"][...], client.get("foo/dir2/ds-4d.b2nd")[...])
    assert set(client.get("foo/dir1").zarr()) == {"ds-2d", "ds-3d"}


def test_array_is_pickled_without_the_password(
    client: Any, served: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = client.get("foo/dir1/ds-2d.b2nd").zarr()
    packed = pickle.dumps(found)
    assert WORD.encode() not in packed
    for name, value in (("URL", served.url), ("USERNAME", ANN), ("PASSWORD", WORD)):
        monkeypatch.setenv(f"CATERVA2_{name}", value)
    other = pickle.loads(packed)
    assert other.store == found.store
    np.testing.assert_array_equal(other[2:4, 5], [45, 65])


def test_version_that_is_gone_is_an_error_and_no_fill_value(client: Any, source: Path) -> None:
    place = str(source / "changing.b2nd")
    blosc2.asarray(np.ones((20, 20)), chunks=(10, 10), urlpath=place)
    array = eventually(lambda: client.get("foo/changing.b2nd"))
    found = array.zarr()
    blosc2.asarray(np.full((20, 20), 2.0), chunks=(10, 10), urlpath=place, mode="w")
    eventually(lambda: client.get_info("foo/changing.b2nd")["etag"] != array.meta["etag"])
    with pytest.raises(caterva2.HttpError) as failure:
        found[...]
    assert failure.value.status_code == 410
    with pytest.raises(caterva2.StaleVersion, match=r"foo/changing\.b2nd has changed"):
        array.zarr()


def test_it_is_read_only(client: Any) -> None:
    found = client.get("foo/dir1/ds-2d.b2nd").zarr()
    with pytest.raises(NotImplementedError, match="is read only"):
        found[0] = 1
    store = found.store
    for work in (lambda: store.list_dir(""), lambda: store.list(), lambda: store.list_prefix("")):
        with pytest.raises(NotImplementedError, match="are not listed"):
            work()
