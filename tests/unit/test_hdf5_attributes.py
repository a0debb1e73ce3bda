"""Attributes of HDF5 files with their types: what h5py reads is what a client gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from caterva2.arrays.attributes import Empty, Reference, value_of
from caterva2.errors import NotFound
from caterva2.frames import attributes
from caterva2.hdf5 import typed
from caterva2.hdf5.attributes import names
from caterva2.hdf5.source import Hdf5Source
from caterva2.limits import constants
from caterva2.names import DatasetPath
from caterva2.runtime.lru import Lru
from tests import hdf5files

PATH = DatasetPath("g/x.b2nd")
TEXT = h5py.string_dtype()
RUNS = np.array([np.arange(3), np.arange(1)], object)
COMPOUND = np.dtype([("name", TEXT), ("at", h5py.ref_dtype), ("x", "<f4", (2,)), ("raw", "S2")])


def served(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The forms of the dataset's attributes, and what is left out."""
    source = Hdf5Source(path)
    try:
        info = source.info(PATH)
        attributes.check(info)
        refused = source.file().refused.get(PATH, {})
        return attributes.forms(info), {f"{PATH}@{name}": why for name, why in refused.items()}
    finally:
        source.close()


def written(path: Path, **attrs: Any) -> dict[str, Any]:
    with h5py.File(path, "w") as file:
        file["g/x"] = np.arange(3)
        for name, value in attrs.items():
            given = value if isinstance(value, tuple) else (value,)
            data = given[0](file) if callable(given[0]) else given[0]
            file["g/x"].attrs.create(name, data, dtype=given[1] if len(given) > 1 else None)
    return served(path)[0]


EXPECTED: dict[str, tuple[Any, Any]] = {
    "fill value": (np.array([np.nan], "f4"), np.array([np.nan], "f4")),
    "infinity": (np.float16(np.inf), np.float16(np.inf)),
    "long double": (np.longdouble(1) / 3, np.longdouble(1) / 3),
    "boolean": (True, np.True_),
    "big-endian": (np.arange(3, dtype=">u2"), np.arange(3, dtype=">u2")),
    "axes": (np.arange(6, dtype="i1").reshape(2, 3), np.arange(6, dtype="i1").reshape(2, 3)),
    "complex": (np.complex64(1 + 2j), np.complex64(1 + 2j)),
    "text": ("größe", "größe"),
    "text of fixed length": (np.bytes_(b"abc"), "abc"),
    "UTF-8 of fixed length": (
        (np.array("ä".encode(), h5py.string_dtype("utf-8", 4)), h5py.string_dtype("utf-8", 4)),
        "ä",
    ),
    "bytes": (np.bytes_(b"\xb0"), np.bytes_(b"\xb0")),
    "bytes in UTF-8": (
        (np.array(b"\xb0", h5py.string_dtype("utf-8", 1)), h5py.string_dtype("utf-8", 1)),
        np.bytes_(b"\xb0"),
    ),
    "bytes of variable length": ((b"\xff\xfe", TEXT), b"\xff\xfe"),
    "opaque": (np.void(b"a\0b"), np.void(b"a\0b")),
    "dates": (
        np.array(["2026-01-01"], "M8[D]").astype(h5py.opaque_dtype("M8[D]")),
        np.array(["2026-01-01"], "M8[D]"),
    ),
    "reference": (lambda file: file["g/x"].ref, Reference("/g/x")),
    "region": (lambda file: file["g/x"].regionref[1:], Reference("/g/x")),
    "no reference": ((np.array(h5py.Reference(), h5py.ref_dtype), h5py.ref_dtype), Reference()),
    "nothing": (h5py.Empty("f4"), None),
    "no text": (h5py.Empty(TEXT), None),
    "no texts": ((np.empty((0, 2), TEXT), TEXT), np.empty((0, 2), object)),
    "items that are arrays": (
        (np.arange(6).reshape(3, 2), np.dtype(("i4", (2,)))), np.arange(6, dtype="i4").reshape(3, 2)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPECTED)
def test_attribute_has_its_type(tmp_path: Path, name: str) -> None:
    value, expected = EXPECTED[name]
    found = value_of(written(tmp_path / "a.h5", x=value)["x"])
    assert type(found) is type(expected)
    np.testing.assert_array_equal(found, expected)
    assert getattr(found, "dtype", None) == getattr(expected, "dtype", None)


def test_enumeration_has_its_names(tmp_path: Path) -> None:
    form = written(tmp_path / "a.h5", x=np.array(1, hdf5files.COLOURS))["x"]
    assert form == {"dtype": "<i2", "shape": [], "value": 1, "enum": {"GREEN": 1, "RED": 0}}


def test_texts_and_references_of_some(tmp_path: Path) -> None:
    forms = written(
        tmp_path / "a.h5",
        texts=(["a", "bé"], TEXT),
        references=(lambda file: np.array([file["g"].ref, file.ref], h5py.ref_dtype),),
    )
    assert value_of(forms["texts"]).tolist() == ["a", "bé"]
    assert value_of(forms["references"]).tolist() == [Reference("/g"), Reference("/")]


def test_items_of_variable_length(tmp_path: Path) -> None:
    letters = np.array([np.array([b"a", b"b"]), np.array([], "S1")], object)
    forms = written(
        tmp_path / "a.h5",
        numbers=(RUNS, h5py.vlen_dtype("<i2")), letters=(letters, h5py.vlen_dtype("S1")),
    )  # fmt: skip
    found = value_of(forms["numbers"])
    assert [run.tolist() for run in found] == [[0, 1, 2], [0]]
    assert {run.dtype for run in found} == {np.dtype("<i2")}
    assert [run.tolist() for run in value_of(forms["letters"])] == [["a", "b"], []]


def test_text_and_reference_in_a_record(tmp_path: Path) -> None:
    def record(file: h5py.File) -> Any:
        made = np.zeros(2, COMPOUND)
        made["name"], made["at"], made["raw"] = ["a", "bé"], file["g/x"].ref, b"\xff"
        made["x"] = [[1, 2], [3, np.nan]]
        return made

    found = value_of(written(tmp_path / "a.h5", x=(record, COMPOUND))["x"])
    assert found["name"].tolist() == ["a", "bé"]
    assert found["at"].tolist() == [Reference("/g/x")] * 2
    assert found["raw"].tolist() == [b"\xff"] * 2
    np.testing.assert_array_equal(found["x"], np.array([[1, 2], [3, np.nan]], "f4"))


def test_reference_to_what_was_deleted_leads_to_nothing(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["g/x"], file["gone"] = 1, 2
        file["g/x"].attrs["x"] = file["gone"].ref
        del file["gone"]
    assert value_of(served(tmp_path / "a.h5")[0]["x"]) == Reference()


@pytest.mark.parametrize("count", [3, typed.SEARCHED + 3])
def test_references_are_the_same_paths_however_many_there_are(tmp_path: Path, count: int) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        targets = [file.create_dataset(f"g/{n}", data=n) for n in range(count)]
        deleted = file.create_dataset("deleted", data=1).ref
        refs = [file.ref, h5py.Reference(), deleted, *(target.ref for target in targets)]
        file.attrs["refs"] = np.array(refs, h5py.ref_dtype)
        del file["deleted"]
        found = typed.value(file.id, b"refs")
    paths = ["/", "", "", *(f"/g/{n}" for n in range(count))]
    assert not isinstance(found, Empty)
    assert found.tolist() == [Reference(path) for path in paths]


def test_dimension_scales_are_references(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["g/x"], file["time"] = np.arange(3), np.arange(3)
        file["time"].make_scale("t")
        file["g/x"].dims[0].attach_scale(file["time"])
    [scales] = value_of(served(tmp_path / "a.h5")[0]["DIMENSION_LIST"])
    assert scales.tolist() == [Reference("/time")]


def test_500_attributes_with_long_names(tmp_path: Path) -> None:
    attrs = {f"attribute {n} {'x' * 100}": n for n in range(500)}
    forms = written(tmp_path / "a.h5", **attrs)
    assert {name: value_of(form) for name, form in forms.items()} == attrs


@pytest.mark.parametrize("count", [constants.ATTRS_ITEMS + 50])
def test_attributes_above_the_limit_are_left_out_by_name(tmp_path: Path, count: int) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file["g/x"] = 1
        for n in range(count):
            file["g/x"].attrs[f"{n:04}"] = np.int8(0)
    with h5py.File(tmp_path / "a.h5") as file:
        assert len(names(file["g/x"].id)) == constants.ATTRS_ITEMS + 1
    forms, refused = served(tmp_path / "a.h5")
    assert len(forms) == constants.ATTRS_ITEMS
    assert [reason for reason in refused.values() if "ATTRS_ITEMS" in reason]


def test_attribute_that_is_too_large_is_left_out_by_name(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file["g/x"] = 1
        file["g/x"].attrs["small"] = 1
        file["g/x"].attrs["large"] = np.zeros(constants.ATTRS_BYTES // 8 + 1)
        file["g/x"].attrs["axes"] = np.zeros((1,) * 17)
    forms, refused = served(tmp_path / "a.h5")
    assert set(forms) == {"small"}
    assert "ATTRS_BYTES" in refused["g/x.b2nd@large"]
    assert "shape" in refused["g/x.b2nd@axes"]


def test_groups_with_attributes_are_described(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["g/deep/x"], file["plain/y"] = 1, 2
        file.attrs["title"] = "Größe"
        file["g/deep"].attrs["missing"] = np.float32("nan")
    source = Hdf5Source(tmp_path / "a.h5")
    entries = source.scan()
    groups = {path for path, entry in entries.items() if entry.kind == "group"}
    assert groups == {".group", "g/deep/.group"}
    info = source.info(DatasetPath("g/deep/.group"))
    assert (info.kind, info.etag, info.nchunks) == ("group", entries[info.path].etag, 0)
    assert attributes.forms(info)["missing"]["value"] == "NaN"
    assert attributes.forms(source.info(DatasetPath(".group")))["title"]["value"] == "Größe"
    for name in ("plain/.group", "nothing/.group", "g/deep/x/.group"):
        with pytest.raises(NotFound):
            source.info(DatasetPath(name))
    with pytest.raises(NotFound):
        list(source.chunks(info.path, info.etag, [0]))
    source.close()


def test_what_is_told_of_a_dataset_is_of_this_one_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for n in range(20):
            made = file.create_dataset(f"x{n}", data=n)
            made.attrs["bad"] = np.zeros((1,) * 17)
    source, told = Hdf5Source(tmp_path / "a.h5"), list[set[str]]()
    monkeypatch.setattr(source, "_tell", lambda refused: told.append(set(refused)))
    monkeypatch.setattr(source.file(), "refused", Lru(5))
    for n in range(20):
        source.info(DatasetPath(f"x{n}.b2nd"))
    assert told == [{f"x{n}.b2nd@bad"} for n in range(20)]
    assert len(source.file().refused) == 5
    source.close()
