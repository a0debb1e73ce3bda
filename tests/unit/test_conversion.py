"""`cat2import` and `cat2export`: whole hierarchies there and back, nothing lost unsaid."""

from __future__ import annotations

import json
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
from caterva2.errors import BadRequest
from caterva2.examples import exampleroot, hdf5root
from tests import hdf5files
from tests.conftest import run


def same(one: Path, other: Path) -> None:
    """Compare two files: values, dtypes, grids, attributes of all that is in the first."""
    with h5py.File(one) as first, h5py.File(other) as second:
        names: list[str] = []
        first.visit(names.append)
        for name in ["/", *names]:
            a, b = first[name], second[name]
            assert set(a.attrs) == set(b.attrs), name
            for key in a.attrs:
                same_attribute(a, b, key)
            if isinstance(a, h5py.Dataset):
                assert (a.dtype, a.shape, a.chunks) == (b.dtype, b.shape, b.chunks), name
                assert a.maxshape == b.maxshape, name
                np.testing.assert_array_equal(a.fillvalue, b.fillvalue, name)
                np.testing.assert_array_equal(a[()], b[()], name)


def same_attribute(a: h5py.HLObject, b: h5py.HLObject, key: str) -> None:
    one, other = a.attrs.get_id(key), b.attrs.get_id(key)
    assert (one.dtype, one.shape) == (other.dtype, other.shape), key
    if one.shape is not None:
        np.testing.assert_array_equal(a.attrs[key], b.attrs[key], key)


def test_attributes_of_datasets_and_groups_come_back_with_their_types(tmp_path: Path) -> None:
    attributes: dict[str, Any] = {
        "int": np.int16(42), "array": np.array([[0, 1], [2, 3]], ">u2"), "text": "größe",
        "texts": ["a", "bc"], "bytes": np.bytes_(b"foo"), "opaque": np.void(b"a\0b"),
        "empty": h5py.Empty("f4"), "complex": np.complex64(1 + 2j), "bool": True,
        "record": np.array((1, 2.0), "i4,f8"), "half": np.float16(1.5), "nan": np.nan,
        "fixed": np.array("ä".encode(), h5py.string_dtype("utf-8", 4)),
    }  # fmt: skip
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["g/x"] = 1
        file.create_group("g/empty")
        for owner in (file, file["g"], file["g/x"], file["g/empty"]):
            for name, value in attributes.items():
                owner.attrs[name] = value
    assert import_file(tmp_path / "a.h5", tmp_path / "d").skipped == []
    assert export_directory(tmp_path / "d", tmp_path / "b.h5").skipped == []
    same(tmp_path / "a.h5", tmp_path / "b.h5")


def test_large_items_of_several_dimensions_can_be_read_after_the_export(tmp_path: Path) -> None:
    values = np.zeros((9, 9), "S300,S300")
    values["f0"][:5] = b"x"
    blosc2.asarray(values, chunks=(5, 3), urlpath=str(tmp_path / "a.b2nd"), contiguous=True)
    export_directory(tmp_path, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["a"][()], values)


def test_all_that_is_supported_comes_back_the_same_from_arrays_that_blosc2_opens(
    tmp_path: Path,
) -> None:
    written = hdf5files.write(tmp_path / "a.h5")
    imported = import_file(tmp_path / "a.h5", tmp_path / "d")
    exported = export_directory(tmp_path / "d", tmp_path / "b.h5")
    assert imported.skipped == exported.skipped == []
    same(tmp_path / "a.h5", tmp_path / "b.h5")
    for name in ("group/filter-gzip", "group/filter-blosc2", "group/scalar", "sparse/blosc2"):
        array = blosc2.open(str(tmp_path / "d" / f"{name}.b2nd"))
        np.testing.assert_array_equal(array[()], written[name])


def test_chunks_are_not_recompressed_where_both_can_hold_them(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 99, (100, 100))
    packing = hdf5plugin.Blosc2(cname="lz4", clevel=7, filters=hdf5plugin.Blosc2.BITSHUFFLE)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=values, chunks=(40, 50), **packing)
    (moved,) = import_file(tmp_path / "a.h5", tmp_path / "d").moved
    assert (moved.kept, moved.converted) == (6, 0)
    (back,) = export_directory(tmp_path / "d", tmp_path / "b.h5").moved
    assert (back.kept, back.converted) == (6, 0)


def test_example_root_is_exported_but_for_what_hdf5_has_not(tmp_path: Path) -> None:
    exampleroot.make(tmp_path / "d")
    report = export_directory(tmp_path / "d", tmp_path / "a.h5")
    assert report.skipped == []
    assert [left.path for left in report.left] == ["README.md", "ds-hello.b2frame"]
    with h5py.File(tmp_path / "a.h5") as file:
        for moved in report.moved:
            array = blosc2.open(str(tmp_path / "d" / moved.path))
            stored = file[moved.path.removesuffix(".b2nd")]
            text = array.dtype.kind == "U"
            np.testing.assert_array_equal(stored.asstr()[()] if text else stored[()], array[()])
            assert stored.chunks == (array.chunks or None)


def test_what_is_no_array_is_named_without_an_error(tmp_path: Path) -> None:
    exampleroot.make(tmp_path / "d")
    done = run("cat2export", "d", "a.h5", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 left out:\n  README.md: is not an array\n" in done.stdout


@pytest.mark.parametrize(
    "values",
    [["", "aé", "語" * 5, "🙂x"], [["a", "b"], ["ç", ""]], "größe", ["x" * 100, "ü" * 100]],
)
def test_text_is_exported_as_utf_8_and_back_as_bytes(tmp_path: Path, values: object) -> None:
    array = np.array(values)
    (tmp_path / "d").mkdir()
    blosc2.asarray(array, urlpath=str(tmp_path / "d" / "x.b2nd"))
    assert export_directory(tmp_path / "d", tmp_path / "a.h5").skipped == []
    with h5py.File(tmp_path / "a.h5") as file:
        assert h5py.check_string_dtype(file["x"].dtype).encoding == "utf-8"
        np.testing.assert_array_equal(file["x"].asstr()[()], array)
    assert import_file(tmp_path / "a.h5", tmp_path / "back").skipped == []
    back = blosc2.open(str(tmp_path / "back" / "x.b2nd"))[()]
    np.testing.assert_array_equal(np.char.decode(back, "utf-8"), array)


def test_suffixes_in_any_letter_case_are_of_arrays(tmp_path: Path) -> None:
    (tmp_path / "d" / "group.B2nd").mkdir(parents=True)
    for name in ("X.B2ND", "X.b2nd", "y.B2nd"):
        blosc2.asarray(np.arange(3), urlpath=str(tmp_path / name.lower()), mode="w")
        (tmp_path / name.lower()).rename(tmp_path / "d" / name)
    report = export_directory(tmp_path / "d", tmp_path / "a.h5")
    assert [moved.path for moved in report.moved] == ["X.B2ND", "y.B2nd"]
    assert [skipped.path for skipped in report.skipped] == ["X.b2nd"]
    assert "another array" in report.skipped[0].reason
    with h5py.File(tmp_path / "a.h5") as file:
        assert sorted(file) == ["X", "y"]


def test_text_that_is_not_unicode_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    blosc2.asarray(np.array(["\ud800"]), urlpath=str(tmp_path / "d" / "x.b2nd"))
    [skipped] = export_directory(tmp_path / "d", tmp_path / "a.h5").skipped
    assert "not Unicode" in skipped.reason
    with h5py.File(tmp_path / "a.h5") as file:
        assert list(file) == []


def test_report_names_what_was_skipped_and_the_exit_code_tells(tmp_path: Path) -> None:
    hdf5root.make(tmp_path / "a.h5")
    done = run("cat2import", "a.h5", "d", "--json", cwd=tmp_path)
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert {item["path"] for item in report["skipped"]} == {
        f"unsupported/{name}" for name in ("empty", "hard-link", "too-many-dimensions", "vlarrays")
    }
    assert all(item["reason"] for item in report["skipped"])
    assert len(report["moved"]) == 11
    lenient = run("cat2import", "a.h5", "e", "--lenient", cwd=tmp_path)
    assert (lenient.returncode, lenient.stderr) == (0, "")
    assert "4 skipped:" in lenient.stdout
    back = run("cat2export", "e", "b.h5", cwd=tmp_path)
    assert back.returncode == 0, back


@pytest.mark.parametrize(
    ("command", "source"), [("cat2import", "a.h5"), ("cat2export", "d")], ids=["import", "export"]
)
def test_target_that_exists_is_refused_unless_forced(
    tmp_path: Path, command: str, source: str
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.arange(5)
    import_file(tmp_path / "a.h5", tmp_path / "d")
    target = "target"
    assert run(command, source, target, cwd=tmp_path).returncode == 0
    refused = run(command, source, target, cwd=tmp_path)
    assert refused.returncode == 1
    assert "exists" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert run(command, source, target, "--force", cwd=tmp_path).returncode == 0
    assert sorted(os.listdir(tmp_path)) == ["a.h5", "d", "target"]


def test_force_replaces_neither_the_source_nor_another_kind_of_thing(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = 1
    (tmp_path / "note").write_text("precious")
    for target in (tmp_path, tmp_path / "note"):
        with pytest.raises(BadRequest):
            import_file(tmp_path / "a.h5", target, force=True)
    assert sorted(os.listdir(tmp_path)) == ["a.h5", "note"]


@pytest.mark.parametrize("command", ["cat2import", "cat2export"])
def test_source_that_is_not_there_is_one_line(tmp_path: Path, command: str) -> None:
    done = run(command, "nothing", "target", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "nothing" in done.stderr
    assert os.listdir(tmp_path) == []
