"""How datasets are stored comes back: filters, grids, order, and names of one dataset."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import blosc2
import h5py
import hdf5plugin
import numpy as np
import pytest

from caterva2.conversion.exporter import export_directory
from caterva2.conversion.importer import import_file
from caterva2.frames import metadata
from tests.conftest import run

VALUES = np.random.default_rng(0).integers(0, 9, (40, 30))
GZIP, SHUFFLE, FLETCHER32, LZF, BLOSC2 = 1, 2, 3, 32000, 32026


def filters(dataset: h5py.Dataset) -> list[tuple[int, Any]]:
    """The filters of a dataset with their first value."""
    plist = dataset.id.get_create_plist()
    found = [plist.get_filter(n) for n in range(plist.get_nfilters())]
    return [(code, values[0] if code == GZIP else None) for code, _, values, _ in found]


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """An imported file with a dataset for each filter."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, given in {
            "gzip": {"compression": "gzip", "compression_opts": 7, "shuffle": True},
            "fletcher32": {"compression": "gzip", "fletcher32": True},
            "lzf": {"compression": "lzf"},
            "szip": {"compression": "szip"},
            "plain": {},
            "blosc2": dict(hdf5plugin.Blosc2()),
            "zstd": dict(hdf5plugin.Zstd()),
        }.items():
            file.create_dataset(name, data=VALUES, chunks=(20, 20), **given)
        file["contiguous"] = VALUES
    imported = import_file(tmp_path / "a.h5", tmp_path / "d")
    assert [left.path for left in imported.left] == ["szip", "zstd"]
    assert imported.skipped == []
    return tmp_path


def test_filters_are_those_of_the_imported_file(packed: Path) -> None:
    exported = export_directory(packed / "d", packed / "b.h5")
    assert {moved.path: moved.kept for moved in exported.moved if moved.kept} == {
        "blosc2.b2nd": 4, "zstd.b2nd": 4
    }  # fmt: skip
    with h5py.File(packed / "b.h5") as file:
        assert {name: filters(dataset) for name, dataset in file.items()} == {
            "gzip": [(SHUFFLE, None), (GZIP, 7)],
            "fletcher32": [(GZIP, 4), (FLETCHER32, None)],
            "lzf": [(LZF, None)],
            "szip": [(GZIP, 4)],
            "plain": [],
            "blosc2": [(BLOSC2, None)],
            "zstd": [(BLOSC2, None)],
            "contiguous": [],
        }
        for name, dataset in file.items():
            assert dataset.chunks == (None if name == "contiguous" else (20, 20))
            np.testing.assert_array_equal(dataset[()], VALUES, name)


def test_blosc2_for_everything_keeps_all_chunks(packed: Path) -> None:
    done = run("cat2export", "d", "b.h5", "--compression", "blosc2", cwd=packed)
    assert done.returncode == 0, done
    assert "28 chunks unchanged, 1 converted" in done.stdout
    with h5py.File(packed / "b.h5") as file:
        for name in file.keys() - {"contiguous"}:
            assert filters(file[name]) == [(BLOSC2, None)]
            np.testing.assert_array_equal(file[name][()], VALUES, name)


def test_arrays_that_were_not_imported_get_the_filter_of_blosc2(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    blosc2.asarray(VALUES, chunks=(20, 20), urlpath=str(tmp_path / "d" / "x.b2nd"))
    [moved] = export_directory(tmp_path / "d", tmp_path / "b.h5").moved
    assert (moved.kept, moved.converted) == (4, 0)


def test_names_of_one_dataset_stay_names_of_one(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["g/x"] = VALUES
        file["g/x"].attrs["units"] = "K"
        file["hard"] = file["g/x"]
        file["soft"] = h5py.SoftLink("/g/x")
        file["other"] = VALUES
    assert import_file(tmp_path / "a.h5", tmp_path / "d").skipped == []
    assert os.path.samefile(tmp_path / "d" / "g" / "x.b2nd", tmp_path / "d" / "hard.b2nd")
    assert export_directory(tmp_path / "d", tmp_path / "b.h5").skipped == []
    with h5py.File(tmp_path / "b.h5") as file:
        assert file["hard"] == file["g/x"] == file["soft"]
        assert file["other"] != file["g/x"]
        assert file["soft"].attrs["units"] == "K"


@pytest.mark.parametrize("tracked", [False, True])
def test_order_of_links_and_attributes_is_kept_if_the_file_has_one(
    tmp_path: Path, tracked: bool
) -> None:
    with h5py.File(tmp_path / "a.h5", "w", track_order=tracked) as file:
        for owner in (file, file.create_group("z", track_order=tracked)):
            owner.create_dataset("y", data=1, track_order=tracked)
            owner.create_group("x", track_order=tracked)
            owner.create_dataset("a", data=1, track_order=tracked)
        for owner in (file, file["z"], file["z/y"]):
            owner.attrs["second"], owner.attrs["first"] = 2, 1
    import_file(tmp_path / "a.h5", tmp_path / "d")
    export_directory(tmp_path / "d", tmp_path / "b.h5")
    with h5py.File(tmp_path / "b.h5") as file:
        assert list(file) == (["z", "y", "x", "a"] if tracked else ["a", "x", "y", "z"])
        assert list(file["z"]) == (["y", "x", "a"] if tracked else ["a", "x", "y"])
        for owner in (file, file["z"], file["z/y"]):
            assert list(owner.attrs) == (["second", "first"] if tracked else ["first", "second"])


def test_types_with_names_are_kept_with_them(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["types/colour"] = h5py.enum_dtype({"RED": 0, "GREEN": 1}, "i2")
        file.create_dataset("x", (3,), file["types/colour"])
    assert import_file(tmp_path / "a.h5", tmp_path / "d").skipped == []
    assert export_directory(tmp_path / "d", tmp_path / "b.h5").skipped == []
    with h5py.File(tmp_path / "b.h5") as file:
        assert h5py.check_enum_dtype(file["types/colour"].dtype) == {"RED": 0, "GREEN": 1}
        assert h5py.h5i.get_name(file["x"].id.get_type()) == b"/types/colour"


@pytest.mark.parametrize(
    "forged",
    [
        {"type": ["string", 3]}, {"type": "<f4", "fill": b"x"}, {"type": 7}, {"chunks": [2**40]},
        {"filters": [["evil"]]}, {"filters": [["gzip", "x"]]}, {"maxshape": [1]}, {"chunks": "x"},
        {"type": ["array", [7], "<i8"]}, {"type": ["compound", 8, [["a", 0, "<i8"]]]}, {"fill": 1},
        {"types": 3, "type": "x"},
    ],
)  # fmt: skip
def test_notes_that_no_import_wrote_are_refused_by_name(tmp_path: Path, forged: Any) -> None:
    (tmp_path / "d").mkdir()
    array = blosc2.asarray(np.arange(5), urlpath=str(tmp_path / "d" / "x.b2nd"))
    array.schunk.vlmeta[".hdf5"] = forged
    del array
    blosc2.asarray(np.arange(5), urlpath=str(tmp_path / "d" / "y.b2nd"))
    report = export_directory(tmp_path / "d", tmp_path / "b.h5")
    assert [skipped.path for skipped in report.skipped] == ["x.b2nd"]
    with h5py.File(tmp_path / "b.h5") as file:
        assert list(file) == ["y"]


@pytest.mark.parametrize(
    "forged",
    [
        {}, {"values": 1}, {"values": {}, "attrs": {"a": b"x"}}, {"values": {}, "named": [1]},
        {"values": {}, "named": {"t": ["string"], "a/b": "<i4"}}, {"values": {}, "types": "x"},
        {"values": {}, "order": [[1], "x"], "ordered": "yes"}, {"values": {}, "order": 1},
    ],
)  # fmt: skip
def test_notes_of_groups_that_no_import_wrote_spoil_nothing_else(
    tmp_path: Path, forged: Any
) -> None:
    for group in ("d", "d/g"):
        (tmp_path / group).mkdir()
        blosc2.asarray(np.arange(5), urlpath=str(tmp_path / group / "x.b2nd"))
        (tmp_path / group / ".hdf5-attributes").write_bytes(metadata.encode(forged))
    export_directory(tmp_path / "d", tmp_path / "b.h5")
    with h5py.File(tmp_path / "b.h5") as file:
        assert file["x"][()].tolist() == file["g/x"][()].tolist() == [0, 1, 2, 3, 4]


def test_order_of_links_alone_is_kept(tmp_path: Path) -> None:
    plist = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    plist.set_link_creation_order(h5py.h5p.CRT_ORDER_TRACKED | h5py.h5p.CRT_ORDER_INDEXED)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = h5py.Group(h5py.h5g.create(file.id, b"g", gcpl=plist))
        group["b"], group["a"] = 1, 2
    import_file(tmp_path / "a.h5", tmp_path / "d")
    export_directory(tmp_path / "d", tmp_path / "b.h5")
    with h5py.File(tmp_path / "b.h5") as file:
        assert list(file["g"]) == ["b", "a"]
