"""Trees and sparse frames that are roots themselves: listed, read, followed, and damaged ones"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import b2trees
import blosc2
import numpy as np
import pytest
from b2trees import VALUES, names
from sourcereads import values_of

from caterva2.cli.cat2pub import open_source
from caterva2.errors import ConfigError
from caterva2.names import GROUP
from caterva2.sources.base import Source
from tests.conftest import eventually

WRITERS: dict[str, Callable[..., object]] = {
    "t.b2z": b2trees.tree, "t.b2d": b2trees.tree, "t.b2e": b2trees.embedded
}  # fmt: skip
LEAVES = {*(f"{name}.b2nd" for name in VALUES), "bytes.b2frame"}


@contextmanager
def opened(path: Path, watch: bool = True) -> Iterator[Source]:
    source = open_source(path, path.parent / "state", watch=watch)
    try:
        yield source
    finally:
        source.close()


@pytest.mark.parametrize("name", WRITERS)
def test_a_tree_is_a_root_of_its_leaves(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    store = blosc2.open(str(tmp_path / name), mode="r")
    with opened(tmp_path / name) as source:
        assert names(source) == LEAVES
        assert names(source, "g") == {"g/x.b2nd", "g/deep/y.b2nd"}
        for leaf in VALUES:
            np.testing.assert_array_equal(values_of(source, leaf), store[f"/{leaf}"][:])
        if name != "t.b2e":
            assert {GROUP, f"g/{GROUP}"} <= set(source.scan())


@pytest.mark.parametrize("name", ["data.bin", "data"])
def test_a_tree_is_recognised_by_its_content(name: str, tmp_path: Path) -> None:
    b2trees.tree(tmp_path / "t.b2z").rename(tmp_path / name)
    with opened(tmp_path / name) as source:
        assert names(source) == LEAVES


def test_a_table_is_a_root_of_its_columns(tmp_path: Path) -> None:
    b2trees.table(tmp_path / "t.b2z")
    with opened(tmp_path / "t.b2z") as source:
        assert names(source) == {"number.b2nd", "score.b2nd", "name.b2nd"}


def test_a_sparse_frame_is_a_root_of_one_dataset(tmp_path: Path) -> None:
    b2trees.sparse(tmp_path / "a.b2nd", VALUES["g/x"])
    with opened(tmp_path / "a.b2nd") as source:
        assert names(source) == {"a.b2nd"}
        np.testing.assert_array_equal(values_of(source, "a"), VALUES["g/x"])


@pytest.mark.parametrize("watch", [True, False])
@pytest.mark.parametrize("name", ["t.b2z", "t.b2d"])
def test_changes_are_followed(name: str, watch: bool, tmp_path: Path) -> None:
    b2trees.tree(tmp_path / name)
    hints, stop = list[set[str]](), threading.Event()
    with opened(tmp_path / name, watch) as source:
        source.scan()
        follow = threading.Thread(target=lambda: hints.extend(source.changes(stop)), daemon=True)
        follow.start()
        try:
            if name == "t.b2d":
                blosc2.asarray(np.arange(5), urlpath=str(tmp_path / name / "g/new.b2nd"), mode="w")
            else:
                b2trees.tree(tmp_path / "next.b2z", values={"g/new": np.arange(5)}).rename(
                    tmp_path / name
                )
            assert eventually(lambda: bool(hints) and "g/new.b2nd" in source.scan())
        finally:
            stop.set()
            follow.join(10)
        assert not follow.is_alive()
        np.testing.assert_array_equal(values_of(source, "g/new"), np.arange(5))


def test_one_that_is_gone_is_empty_and_one_that_breaks_keeps_its_list(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = b2trees.tree(tmp_path / "t.b2z")
    with opened(path) as source:
        known = source.scan()
        whole = path.read_bytes()
        path.write_bytes(whole[:-30])
        assert source.scan() == source.scan() == known
        assert caplog.text.count("t.b2z can't be listed: ") == 1
        path.unlink()
        assert source.scan() == {}
        path.write_bytes(whole)
        assert source.scan().keys() == known.keys()
    directory = b2trees.tree(tmp_path / "t.b2d")
    with opened(directory) as source:
        assert source.scan()
        shutil.rmtree(directory)
        assert source.scan() == {}


def test_what_only_has_the_name_of_a_tree_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.b2z").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(ConfigError, match=r"t\.b2z is neither .* tree of Blosc2"):
        open_source(tmp_path / "t.b2z", tmp_path / "state")
