"""Strings and items of variable length, in HDF5's own types, there and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import blosc2
import h5py
import numpy as np
import pytest
from h5py import h5a, h5d, h5p, h5s, h5t

from caterva2.conversion import hdf5_types
from caterva2.conversion.attributes import FAILURES
from caterva2.conversion.exporter import export_directory
from caterva2.conversion.importer import import_file
from caterva2.conversion.memory import Memory
from caterva2.conversion.report import Report

PADDINGS = {"nullterm": h5t.STR_NULLTERM, "nullpad": h5t.STR_NULLPAD, "spacepad": h5t.STR_SPACEPAD}
CHARACTERS = {"ascii": h5t.CSET_ASCII, "utf-8": h5t.CSET_UTF8}


def string(size: int | None, padding: int = h5t.STR_NULLTERM, characters: int = 0) -> Any:
    made = h5t.C_S1.copy()
    made.set_size(h5t.VARIABLE if size is None else size)
    made.set_strpad(padding)
    made.set_cset(characters)
    return made


def put(owner: h5py.HLObject, name: str, stored: Any, values: Any) -> None:
    """An attribute of an exact type, its bytes as they are given."""
    array = np.asarray(values)
    space = h5s.create_simple(array.shape) if array.shape else h5s.create(h5s.SCALAR)
    raw = None if array.dtype.hasobject else stored
    h5a.create(owner.id, name.encode(), stored, space).write(array, mtype=raw)


def there_and_back(tmp_path: Path) -> tuple[Report, Report]:
    imported = import_file(tmp_path / "a.h5", tmp_path / "d")
    return imported, export_directory(tmp_path / "d", tmp_path / "b.h5")


def same_type(one: Any, other: Any) -> bool:
    """Whether types are equal to the last flag: HDF5 ignores some where it compares."""
    return bool(one.equal(other)) and one.encode() == other.encode()


@pytest.mark.parametrize("characters", CHARACTERS)
@pytest.mark.parametrize("padding", PADDINGS)
def test_string_attributes_keep_their_types(tmp_path: Path, padding: str, characters: str) -> None:
    kind = PADDINGS[padding], CHARACTERS[characters]
    full = b"abcd" + b"f" * 4  # as HDF5 has it, null-terminated strings may lack their end
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = 1
        fill = b" " if padding == "spacepad" else b"\0"
        for owner in (file, file["x"]):
            put(owner, "one", string(8, *kind), np.array(b"abc".ljust(8, fill), "S8"))
            put(owner, "full", string(8, *kind), np.array(full, "S8"))
            put(owner, "letter", string(1, *kind), np.array(b"x", "S1"))
            some = np.array([[b"a".ljust(3, fill), b"xyz"]], "S3")
            put(owner, "some", string(3, *kind), some)
            texts = np.array(["a", "bcd"], object).astype(h5py.string_dtype(characters))
            put(owner, "variable", string(None, *kind), texts)
            put(owner, "text", string(None, *kind), texts[:1].reshape(()))
            h5a.create(owner.id, b"empty", string(5, *kind), h5s.create(h5s.NULL))
    imported, exported = there_and_back(tmp_path)
    assert imported.skipped == exported.skipped == []
    with h5py.File(tmp_path / "a.h5") as first, h5py.File(tmp_path / "b.h5") as second:
        for name in ("/", "x"):
            assert set(second[name].attrs) == set(first[name].attrs)
            for key in first[name].attrs:
                one, other = first[name].attrs.get_id(key), second[name].attrs.get_id(key)
                assert same_type(one.get_type(), other.get_type()), key
                assert one.shape == other.shape, key
                if one.shape is not None:
                    a, b = first[name].attrs[key], second[name].attrs[key]
                    np.testing.assert_array_equal(a, b, key)


@pytest.mark.parametrize("chunks", [None, (2,)])
@pytest.mark.parametrize("padding", PADDINGS)
def test_string_datasets_keep_their_types(
    tmp_path: Path, padding: str, chunks: tuple[int, ...] | None
) -> None:
    stored = string(5, PADDINGS[padding])
    fill = b" " if padding == "spacepad" else b"\0"
    values = np.array([b"12345", b"a".ljust(5, fill), b"bc".ljust(5, fill)], "S5")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        plist = h5p.create(h5p.DATASET_CREATE)
        if chunks:
            plist.set_chunk(chunks)
        made = h5d.create(file.id, b"x", stored, h5s.create_simple((3,)), plist)
        made.write(h5s.ALL, h5s.ALL, values, mtype=stored)
        one = h5d.create(file.id, b"scalar", stored, h5s.create(h5s.SCALAR))
        one.write(h5s.ALL, h5s.ALL, np.array(values[0]), mtype=stored)
    imported, exported = there_and_back(tmp_path)
    assert imported.skipped == exported.skipped == []
    with h5py.File(tmp_path / "a.h5") as first, h5py.File(tmp_path / "b.h5") as second:
        for name in ("x", "scalar"):
            assert same_type(first[name].id.get_type(), second[name].id.get_type())
            np.testing.assert_array_equal(first[name][()], second[name][()])
            raw = np.zeros(first[name].shape, "S5")
            second[name].id.read(h5s.ALL, h5s.ALL, raw, mtype=stored)
            np.testing.assert_array_equal(raw, values if raw.shape else values[0])


def test_lists_of_letters_as_of_matlab_come_back(tmp_path: Path) -> None:
    letters = h5t.vlen_create(string(1))
    fields = ["alpha", "b", ""]
    runs = [np.frombuffer(text.encode(), "S1").copy() for text in fields]
    rows = [(len(run), run.ctypes.data) for run in runs]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for owner in (file, file.create_group("g"), file.create_dataset("x", data=1)):
            put(owner, "MATLAB_fields", letters, np.array(rows, "u8,u8"))
            numbers = np.empty(2, object)
            numbers[:] = [np.array([1, 2], "i2"), np.array([3], "i2")]
            owner.attrs.create("numbers", numbers, dtype=h5py.vlen_dtype("i2"))
    imported, exported = there_and_back(tmp_path)
    assert imported.skipped == exported.skipped == []
    with h5py.File(tmp_path / "a.h5") as first, h5py.File(tmp_path / "b.h5") as second:
        for name in ("/", "g", "x"):
            for key in ("MATLAB_fields", "numbers"):
                one, other = first[name].attrs, second[name].attrs
                assert same_type(one.get_id(key).get_type(), other.get_id(key).get_type())
                found = [item.tolist() for item in other[key]]
                assert found == [item.tolist() for item in one[key]]
            assert [b"".join(item).decode() for item in other["MATLAB_fields"]] == fields


def test_attributes_of_every_other_type_come_back(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = 1
        for owner in (file, file["x"], file.create_group("g")):
            owner.attrs["n" * 40] = 1
            kind = [("name", h5py.string_dtype()), ("n", "i4"), ("pair", ">f4", (2,))]
            owner.attrs["record"] = np.array([("a", 1, (1, np.nan)), ("", 2, (3, 4))], kind)
            owner.attrs["padded"] = np.zeros(2, np.dtype("i1, f8", align=True))
            owner.attrs["colour"] = np.array([1, 0], h5py.enum_dtype({"RED": 0, "G": 1}, "u2"))
            owner.attrs["bytes"] = np.bytes_(b"20 \xb0C")
            dates = np.array(["2026-11-27", "NaT"], "M8[s]")
            owner.attrs["date"] = dates.astype(h5py.opaque_dtype(dates.dtype))
            owner.attrs["half"] = np.array([np.inf, -0.0], ">f2")
            owner.attrs["nothing"] = np.zeros((0, 3), "i8")
            owner.attrs.create("pairs", np.ones((3, 2)), None, np.dtype(("f8", (2,))))
            texts = np.empty(2, object)
            texts[:] = [np.array([b"a", b"bc"], object), np.array([], object)]
            owner.attrs.create("lists", texts, dtype=h5py.vlen_dtype(h5py.string_dtype()))
    imported, exported = there_and_back(tmp_path)
    assert imported.skipped == exported.skipped == []
    with h5py.File(tmp_path / "a.h5") as first, h5py.File(tmp_path / "b.h5") as second:
        for name in ("/", "x", "g"):
            assert set(second[name].attrs) == set(first[name].attrs)
            for key in first[name].attrs:
                one, other = first[name].attrs.get_id(key), second[name].attrs.get_id(key)
                assert same_type(one.get_type(), other.get_type()), key
                assert one.shape == other.shape, key
                assert str(first[name].attrs[key]) == str(second[name].attrs[key]), key


def test_references_lead_to_the_objects_of_the_new_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for n in range(9):
            file[f"padding{n}"] = np.arange(99)
        file["x"], file["g/y"] = 1, np.arange(3)
        file["g"].attrs["one"] = file["x"].ref
        file["x"].attrs["both"] = np.array([file["g"].ref, h5py.Reference()], h5py.ref_dtype)
        kind = [("axis", h5py.ref_dtype), ("n", "i4")]
        file["x"].attrs["record"] = np.array([(file["g/y"].ref, 1)], kind)
    import_file(tmp_path / "a.h5", tmp_path / "d")
    for n in range(9):
        (tmp_path / "d" / f"padding{n}.b2nd").unlink()
    assert export_directory(tmp_path / "d", tmp_path / "b.h5").skipped == []
    with h5py.File(tmp_path / "b.h5") as file:
        assert file[file["g"].attrs["one"]].name == "/x"
        first, second = file["x"].attrs["both"]
        assert (file[first].name, bool(second)) == ("/g", False)
        assert file[file["x"].attrs["record"]["axis"][0]].name == "/g/y"
        assert file["x"].attrs["record"]["n"] == 1


def test_reference_to_what_was_removed_is_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"], file["y"] = 1, 2
        file["x"].attrs["other"] = file["y"].ref
    import_file(tmp_path / "a.h5", tmp_path / "d")
    (tmp_path / "d" / "y.b2nd").unlink()
    [skipped] = export_directory(tmp_path / "d", tmp_path / "b.h5").skipped
    assert skipped.path == "x.b2nd@other"
    assert "/y" in skipped.reason


def test_types_that_no_export_brings_back_are_named_by_the_import(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.arange(9)
        odd = h5t.STD_I32LE.copy()
        odd.set_precision(20)
        put(file["x"], "odd", odd, np.int32(7))
        file["x"].attrs["region"] = file["x"].regionref[2:4]
        h5d.create(file.id, b"d", odd, h5s.create_simple((3,)))
    imported, exported = there_and_back(tmp_path)
    assert [skipped.path for skipped in imported.skipped] == ["d", "x@odd", "x@region"]
    assert all("only the values" in skipped.reason for skipped in imported.skipped)
    assert exported.skipped == []
    with h5py.File(tmp_path / "b.h5") as file:
        assert file["x"].attrs["odd"] == 7
        assert file[file["x"].attrs["region"]].name == "/x"


def test_attribute_that_was_changed_in_vlmeta_is_exported_as_it_is_now(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = 1
        put(file["x"], "units", string(1), np.array(b"K", "S1"))
        for name in ("n", "gone"):
            file["x"].attrs[name] = np.array([1, 2], "i2")
    import_file(tmp_path / "a.h5", tmp_path / "d")
    array = blosc2.open(str(tmp_path / "d" / "x.b2nd"), mode="a")
    array.schunk.vlmeta["units"] = "kelvin"
    array.schunk.vlmeta["n"] = [1.5, 2.5]
    del array.schunk.vlmeta["gone"]
    del array
    assert export_directory(tmp_path / "d", tmp_path / "b.h5").skipped == []
    with h5py.File(tmp_path / "b.h5") as file:
        assert file["x"].attrs["units"] == "kelvin"
        assert file["x"].attrs["n"].tolist() == [1.5, 2.5]
        assert set(file["x"].attrs) == {"units", "n"}


@pytest.mark.parametrize("count", [1_200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_many_and_large_attributes_come_back_within_their_bounds(
    tmp_path: Path, count: int
) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file["x"] = 1
        file["x"].attrs["large"] = np.zeros(12_000)
        for n in range(count):
            file.attrs[f"{n:05}"] = n
    imported, exported = there_and_back(tmp_path)
    assert exported.skipped == []
    assert [skipped.path for skipped in imported.skipped][1:] == ["/@..."]
    assert "ATTRS_ITEMS" in imported.skipped[0].reason
    assert imported.skipped[1].reason == f"and {count - 1025} more attributes are too many"
    with h5py.File(tmp_path / "b.h5") as file:
        assert len(file.attrs) == 1024
        assert all(value == int(name) for name, value in file.attrs.items())
        assert file["x"].attrs["large"].shape == (12_000,)


@pytest.mark.parametrize(
    "described",
    [
        [], ["other"], ["string", 8, 0], ["string", 0, 0, 0], ["string", 2**30, 0, 0],
        ["string", 8, 9, 0], ["string", 8, 0, 7], ["string", "8", 0, 0], ["vlen", "O"],
        ["vlen", "S3"], ["vlen", 3], ["array", [], "<i4"], ["array", [2**30], "<i4"],
        ["enum", "<f4", {}], ["enum", "<i4", {"a": "b"}], ["compound", 4, []], ["opaque", 0, ""],
        ["compound", 4, [["a", 2, "<i4"]]], ["compound", 4, [["a", -1, "<i2"]]], ["address", ""],
        ["compound", 8, [["a", 0, "<i4"], ["a", 4, "<i4"]]], ["reference", 1], 7, {"a": 1},
    ],
)  # fmt: skip
def test_type_that_is_none_is_refused(described: Any) -> None:
    with pytest.raises(FAILURES):
        hdf5_types.make(described)


def test_string_that_is_too_long_for_its_type_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than 3"):
        Memory().items(["string", 3, 0, 0], np.array(b"abcd"))
