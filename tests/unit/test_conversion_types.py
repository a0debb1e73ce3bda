"""Strings and items of variable length, in HDF5's own types, there and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5a, h5d, h5p, h5s, h5t

from caterva2.conversion.exporter import export_directory
from caterva2.conversion.importer import import_file
from caterva2.conversion.report import Report
from caterva2.errors import BadMessage
from caterva2.sources.hdf5 import types

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


@pytest.mark.parametrize(
    "described",
    [
        [], ["other"], ["string", 8, 0], ["string", 0, 0, 0], ["string", 2**30, 0, 0],
        ["string", 8, 9, 0], ["string", 8, 0, 7], ["string", "8", 0, 0], ["vlen", "O"],
        ["vlen", ["vlen", "<i4"]], ["vlen", ["string", None, 0, 0]], ["vlen", "S3"], ["vlen", 3],
    ],
)  # fmt: skip
def test_type_that_is_none_is_refused(described: list[Any]) -> None:
    with pytest.raises((ValueError, TypeError, BadMessage)):
        types.make(described)


def test_string_that_is_too_long_for_its_type_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than 3"):
        types.memory(string(3), b"abcd", ())
