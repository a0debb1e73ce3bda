"""Trees and tables of python-blosc2 in a directory, through all services"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import blosc2
import numpy as np
import pytest

import caterva2
from tests.conftest import Stack, eventually
from tests.unit import b2trees

VALUES = b2trees.VALUES["g/x"]
ROOTS = ("tree.b2z", "tree.b2d", "all.b2e", "sparse.b2nd")
"""Those of the root ``foo`` that are roots themselves, too."""


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    place = tmp_path_factory.mktemp("root")
    for suffix in ("b2z", "b2d"):
        b2trees.tree(place / f"tree.{suffix}")
        b2trees.table(place / f"table.{suffix}")
    b2trees.embedded(place / "all.b2e")
    b2trees.sparse(place / "sparse.b2nd", VALUES)
    stack = Stack(tmp_path_factory.mktemp("services"))
    stack.place = place  # type: ignore[attr-defined]
    try:
        stack.start(foo=place, **{name.replace(".", ""): place / name for name in ROOTS})
        yield stack
    finally:
        stack.stop_all()


@pytest.fixture
def place(services: Stack) -> Path:
    found: Path = services.place  # type: ignore[attr-defined]
    return found


@pytest.mark.parametrize("name", ["tree.b2z", "tree.b2d", "all.b2e"])
def test_leaves_are_datasets_of_a_client(name: str, services: Stack) -> None:
    found = services.client.get(f"foo/{name}/g/x.b2nd")
    assert isinstance(found, caterva2.Dataset)
    np.testing.assert_array_equal(found[:], VALUES)
    np.testing.assert_array_equal(found[50:52, 7], VALUES[50:52, 7])
    assert services.client.get(f"foo/{name}/bytes.b2frame")[:] == b"hello" * 1000


@pytest.mark.parametrize("name", ROOTS)
def test_each_is_a_root_by_itself(name: str, services: Stack, place: Path) -> None:
    root = services.client.get(name.replace(".", ""))
    stored = blosc2.open(str(place / name), mode="r")
    if name == "sparse.b2nd":
        np.testing.assert_array_equal(root[name][:], stored[:])
        return
    for leaf in b2trees.VALUES:
        np.testing.assert_array_equal(root[f"{leaf}.b2nd"][:], stored[f"/{leaf}"][:])


def test_a_tree_that_is_downloaded_is_the_same_file(
    services: Stack, place: Path, tmp_path: Path
) -> None:
    services.client.download("foo/tree.b2z", tmp_path / "got.b2z")
    assert (tmp_path / "got.b2z").read_bytes() == (place / "tree.b2z").read_bytes()
    np.testing.assert_array_equal(
        blosc2.open(str(tmp_path / "got.b2z"), mode="r")["/g/x"][:], VALUES
    )


def test_groups_and_files_have_attributes(services: Stack) -> None:
    for name in ("tree.b2z", "tree.b2d"):
        assert services.client.get(f"foo/{name}").attrs["title"] == "A tree"
        assert services.client.get(f"foo/{name}/g").attrs["range"] == [1, 2.5]


def test_a_table_says_its_columns(services: Stack) -> None:
    columns = ["number", "score", "name"]
    found = services.client.get("foo/table.b2d")
    assert isinstance(found, caterva2.Group)
    assert (found.meta["kind"], found.meta["nrows"]) == ("table", 50)
    assert found.columns == tuple(columns)
    zipped = services.client.get_info("foo/table.b2z")
    assert (zipped["kind"], zipped["columns"], zipped["nrows"]) == ("file", columns, 50)
    for name in ("table.b2d", "table.b2z"):
        assert services.client.get_list(f"foo/{name}") == sorted(f"{each}.b2nd" for each in columns)
        np.testing.assert_array_equal(
            services.client.fetch(f"foo/{name}/score.b2nd"), np.arange(50) / 2
        )


def test_changes_of_a_tree_are_seen(services: Stack, place: Path) -> None:
    client = services.client
    new = place / "tree.b2d" / "g" / "new.b2nd"
    blosc2.asarray(np.arange(7), urlpath=str(place / "tree.b2d" / "g" / ".new"), mode="w")
    (place / "tree.b2d" / "g" / ".new").rename(new)
    assert eventually(lambda: "g/new.b2nd" in client.get_list("foo/tree.b2d"))
    np.testing.assert_array_equal(client.fetch("foo/tree.b2d/g/new.b2nd"), np.arange(7))
    b2trees.tree(place / ".next.b2z", values={"g/only": VALUES}).rename(place / "tree.b2z")
    assert eventually(lambda: "g/only.b2nd" in client.get_list("foo/tree.b2z"))
    np.testing.assert_array_equal(client.fetch("foo/tree.b2z/g/only.b2nd"), VALUES)


def test_a_sparse_frame_is_one_dataset_and_follows_its_files(
    services: Stack, place: Path, tmp_path: Path
) -> None:
    client, stored = services.client, place / "sparse.b2nd"
    np.testing.assert_array_equal(client.fetch("foo/sparse.b2nd"), VALUES)
    client.download("foo/sparse.b2nd", tmp_path / "got.b2nd")
    np.testing.assert_array_equal(blosc2.open(str(tmp_path / "got.b2nd"), mode="r")[:], VALUES)
    assert [p for p in client.get_list("foo") if "sparse" in p] == ["sparse.b2nd"]
    blosc2.open(str(stored), mode="a")[50:60] = 7
    assert eventually(lambda: bool((client.fetch("foo/sparse.b2nd", slice(50, 60)) == 7).all()))
    np.testing.assert_array_equal(
        client.fetch("foo/sparse.b2nd"), blosc2.open(str(stored), mode="r")[:]
    )
