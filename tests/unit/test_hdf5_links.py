"""Groups of an HDF5 file that have several names, and circles of links."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hdf5reads import read

from caterva2.hdf5 import links
from caterva2.hdf5.source import Hdf5Source
from caterva2.isolation.hdf5 import isolated_hdf5


def served(path: Path) -> tuple[list[str], dict[str, str]]:
    """The datasets of a file, and why the rest is left out."""
    source = Hdf5Source(path)
    try:
        return sorted(source.scan()), source.file().contents().refused
    finally:
        source.close()


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_group_is_served_under_all_of_its_names(tmp_path: Path, kind: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["instrument/beam/x"] = np.arange(3)
        target = "/instrument/beam"
        file["sample/beam"] = file[target] if kind == "hard" else h5py.SoftLink(target)
    source = Hdf5Source(tmp_path / "a.h5")
    assert sorted(source.scan()) == ["instrument/beam/x.b2nd", "sample/beam/x.b2nd"]
    assert read(source, "sample/beam/x.b2nd").tolist() == [0, 1, 2]
    groups = ["", "instrument", "instrument/beam", "sample", "sample/beam"]
    assert sorted(source.file().contents().groups) == groups
    source.close()


def test_group_above_itself_is_left_out(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a/b/x"] = 1
        file["a/b/up"] = file["a"]
        file["a/b/top"] = h5py.SoftLink("/")
        file["a/own"] = h5py.SoftLink(".")
    names, refused = served(tmp_path / "a.h5")
    assert names == ["a/b/x.b2nd"]
    assert refused == {
        "a/b/up": "is another name of the group /a above it",
        "a/b/top": "is another name of the group / above it",
        "a/own": "is another name of the group /a above it",
    }


def test_groups_that_hold_each_other_end_where_they_meet(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a/x"] = 1
        file["b/y"] = 2
        file["a/b"], file["b/a"] = file["b"], file["a"]
    names, refused = served(tmp_path / "a.h5")
    assert names == ["a/b/y.b2nd", "a/x.b2nd", "b/a/x.b2nd", "b/y.b2nd"]
    assert set(refused) == {"a/b/a", "b/a/b"}


def test_tower_of_double_links_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "SECOND_NAMES", 100)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file
        for _ in range(30):  # 2**30 names
            group = group.create_group("0")
            group.parent["1"] = group
        group["x"] = 1
    names, refused = served(tmp_path / "a.h5")
    assert "0/" * 30 + "x.b2nd" in names
    assert len(names) < 100
    assert {reason for reason in refused.values() if "more than 100 links" not in reason} == set()
    assert refused


def test_other_names_of_wide_groups_count_all_that_is_in_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "SECOND_NAMES", 25)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for n in range(10):
            file[f"a/{n}"] = n
        for name in ("b", "c", "d"):
            file[name] = file["a"]
    names, refused = served(tmp_path / "a.h5")
    assert len(names) == 30
    assert list(refused) == ["d"]


def test_second_name_is_served_by_a_process_of_its_own(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a/x"] = np.arange(3)
        file["b"] = file["a"]
    source = isolated_hdf5(tmp_path / "a.h5")
    assert sorted(source.scan()) == ["a/x.b2nd", "b/x.b2nd"]
    source.close()
