"""Attributes and dimensions, imported and exported: what vlmeta can't hold comes back too."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray
from h5py import h5a, h5s, h5t

from caterva2.arrays.attributes import Reference, value_of
from caterva2.conversion.exporter import export_directory
from caterva2.conversion.importer import import_file
from caterva2.conversion.report import Report
from caterva2.frames import attributes, metadata
from caterva2.limits import constants
from caterva2.names import DatasetPath
from caterva2.sources.directory.source import DirectorySource
from tests import hdf5files

OWNERS = ("/", "g", "x")
RECORD = np.dtype([("name", h5py.string_dtype()), ("of", h5py.ref_dtype), ("n", "<i4")])
LONG = "n" * 40


def there_and_back(directory: Path) -> tuple[Report, Report]:
    imported = import_file(directory / "a.h5", directory / "d")
    return imported, export_directory(directory / "d", directory / "b.h5")


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A file with attributes of each object that are no plain values."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["g/y"], file["x"] = np.arange(3), 1
        record = np.array([("a", file["x"].ref, 1)], RECORD)
        for owner in OWNERS:
            attrs = file[owner].attrs
            attrs[LONG] = "text"
            attrs["fill"] = np.array([np.nan], "f4")
            attrs["raw"] = np.bytes_(b"\xb0")
            attrs["colours"] = np.array([1, 0], hdf5files.COLOURS)
            attrs["of"] = file["g/y"].ref
            attrs["all"] = np.array([file["g"].ref, file.ref], h5py.ref_dtype)
            attrs["nothing"] = h5py.Empty("i4")
            attrs.create("record", record)
    return tmp_path


def shown(file: h5py.File, value: Any) -> Any:
    """A value with paths instead of references."""
    if isinstance(value, h5py.Reference):
        return file[value].name
    if isinstance(value, np.ndarray | np.void) and value.dtype.hasobject:
        return [shown(file, item) for item in value]
    return value


def test_all_attributes_come_back(written: Path) -> None:
    imported, exported = there_and_back(written)
    assert imported.skipped == exported.skipped == []
    with h5py.File(written / "a.h5") as first, h5py.File(written / "b.h5") as second:
        for owner in OWNERS:
            one, other = first[owner].attrs, second[owner].attrs
            assert set(one) == set(other)
            for name in one:
                assert one.get_id(name).dtype == other.get_id(name).dtype, name
                expected, found = shown(first, one[name]), shown(second, other[name])
                np.testing.assert_array_equal(found, expected, name)
            assert h5py.check_enum_dtype(other.get_id("colours").dtype) == {"RED": 0, "GREEN": 1}


@pytest.mark.parametrize("path", [".group", "g/.group", "x.b2nd"])
def test_imported_attributes_are_served_with_their_types(written: Path, path: str) -> None:
    import_file(written / "a.h5", written / "d")
    source = DirectorySource(written / "d")
    forms = attributes.forms(source.info(DatasetPath(path)))
    source.close()
    assert forms["fill"] == {"dtype": "<f4", "shape": [1], "value": ["NaN"]}
    assert (value_of(forms["raw"]), value_of(forms[LONG])) == (b"\xb0", "text")
    assert value_of(forms["of"]) == Reference("/g/y")
    assert forms["colours"]["enum"] == {"RED": 0, "GREEN": 1}
    assert not {name for name in forms if name.startswith(".")}


def test_note_that_is_forged_is_no_attribute() -> None:
    info = {"a": metadata.encode(1), ".attrs": b"\x81\xa1b\xc4\x01\xc1"}
    assert attributes.noted(info) == {}
    assert attributes.noted({".attrs": b"\xc1"}) == attributes.noted({".attrs": b"\x01"}) == {}


def test_attributes_for_which_there_is_no_room_are_told(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file["x"] = 1
        for n in range(6):  # 72,000 bytes each
            file["x"].attrs[f"a{n}"] = np.full(8000, 1 / 3, "f8")
    imported = import_file(tmp_path / "a.h5", tmp_path / "d")
    limit = f"ATTRS_BYTES, {constants.ATTRS_BYTES}"
    told = [skipped.path for skipped in imported.skipped if limit in skipped.reason]
    assert told == ["x@a3", "x@a4", "x@a5"]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "counts",
    [(constants.ATTRS_ITEMS, 1100), (500_000, 500_000)],
)
@pytest.mark.slow
def test_very_many_attributes_take_little_and_are_counted(
    tmp_path: Path, counts: tuple[int, int]
) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file["x"] = np.arange(5)
        for owner, count in zip((file, file["x"]), counts, strict=True):
            for n in range(count):
                h5a.create(owner.id, b"%d" % n, h5t.NATIVE_INT32, h5s.create(h5s.SCALAR))
    began = time.process_time()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = import_file(tmp_path / "a.h5", tmp_path / "d")
    assert time.process_time() - began < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * constants.KIB
    assert [moved.path for moved in report.moved] == ["x"]
    most = [skipped.reason for skipped in report.skipped if skipped.path.endswith("@...")]
    above = [count for count in counts if count > constants.ATTRS_ITEMS]
    assert len(most) == len(above), report.skipped
    assert all("more attributes are too many" in reason for reason in most)
    assert export_directory(tmp_path / "d", tmp_path / "b.h5").skipped == []
    with h5py.File(tmp_path / "b.h5") as file:
        for owner in (file, file["x"]):
            assert len(owner.attrs) == constants.ATTRS_ITEMS


@pytest.mark.parametrize("engine", ["netcdf4", pytest.param("h5netcdf", marks=pytest.mark.slow)])
def test_netcdf_comes_back_identical(tmp_path: Path, engine: Any) -> None:
    data = xarray.Dataset(
        {
            "tas": (
                ("time", "lat"), np.arange(6, dtype="f4").reshape(3, 2),
                {"units": "K", "range": np.array([0, 1], "i2"), "sign": "°"},
            ),
            "bounds": (("time", "nv"), np.zeros((3, 2))),
        },
        coords={"lat": ("lat", [1.0, 2.0], {"axis": "Y"}), "time": [1, 2, 3]},
        attrs={"title": "Größe", "n": np.int32(3), "list": [1.5, 2.5], "texts": ["a", "b"]},
    )  # fmt: skip
    data["tas"].encoding = {"_FillValue": np.float32("nan"), "zlib": True, "chunksizes": (2, 2)}
    data.to_netcdf(tmp_path / "a.h5", engine=engine, unlimited_dims=["time"])
    imported, exported = there_and_back(tmp_path)
    assert imported.skipped == exported.skipped == []
    with (
        xarray.open_dataset(tmp_path / "a.h5", engine="h5netcdf") as first,
        xarray.open_dataset(tmp_path / "b.h5", engine="h5netcdf") as second,
    ):
        xarray.testing.assert_identical(second, first)
        assert np.isnan(second["tas"].encoding["_FillValue"])
        assert second["tas"].encoding["chunksizes"] == (2, 2)
        assert second.encoding["unlimited_dims"] == {"time"}
    source = DirectorySource(tmp_path / "d")
    assert attributes.dims(source.info(DatasetPath("tas.b2nd"))) == ("time", "lat")
    source.close()
