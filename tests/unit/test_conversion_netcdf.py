"""Files of netCDF's libraries there and back: what xarray and netCDF4 read stays identical."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
import xarray

from caterva2.conversion import notes
from caterva2.conversion.exporter import export_directory
from caterva2.conversion.importer import import_file
from caterva2.frames import metadata
from caterva2.sources.directory import group_files


def there_and_back(tmp_path: Path) -> Path:
    assert import_file(tmp_path / "a.nc", tmp_path / "d").skipped == []
    assert export_directory(tmp_path / "d", tmp_path / "b.nc").skipped == []
    return tmp_path / "b.nc"


def climate() -> xarray.Dataset:
    temperatures = np.random.default_rng(0).normal(280, 9, (4, 3, 5))
    temperatures[0, 0, 0] = np.nan
    return xarray.Dataset(
        {
            "tas": (("time", "lat", "lon"), temperatures, {"units": "K", "valid": [0.0, np.inf]}),
            "mask": (("lat", "lon"), np.eye(3, 5, dtype="i1"), {"flag_values": np.int8([0, 1])}),
            "scalar": ((), np.float32(1.5)),
            "names": (("lat",), np.array(["Zürich", "", "語"], object), {"_FillValue": ""}),
            "letters": (("lat",), np.array([b"a", b"b", b"c"])),
        },
        {
            "time": np.arange("2026-01-01", "2026-01-05", dtype="M8[D]").astype("M8[ns]"),
            "lat": [-30.0, 0.0, 30.0],
            "area": (("lat", "lon"), np.ones((3, 5))),
        },
        {"title": "größe", "Conventions": "CF-1.11", "version": np.int32(3)},
    )


@pytest.mark.parametrize("engine", ["netcdf4", pytest.param("h5netcdf", marks=pytest.mark.slow)])
def test_dataset_of_xarray_is_identical(tmp_path: Path, engine: Any) -> None:
    packed = {"dtype": "i2", "scale_factor": 0.01, "add_offset": 280.0, "_FillValue": -32768}
    deflated = {"zlib": True, "complevel": 5, "shuffle": True, "chunksizes": (2, 3, 5)}
    climate().to_netcdf(
        tmp_path / "a.nc", engine=engine, unlimited_dims=["time"],
        encoding={"tas": packed | deflated},
    )  # fmt: skip
    back = there_and_back(tmp_path)
    for reader in ("netcdf4", "h5netcdf"):
        with (
            xarray.open_dataset(tmp_path / "a.nc", engine=reader) as one,
            xarray.open_dataset(back, engine=reader) as other,
        ):
            xarray.testing.assert_identical(one, other)
            for name, variable in one.variables.items():
                assert stored(other[name]) == stored(variable)
            assert one.encoding["unlimited_dims"] == other.encoding["unlimited_dims"] == {"time"}


def stored(variable: Any) -> str:
    """How a variable is stored: text, since a NaN is not equal to itself."""
    return str({name: value for name, value in variable.encoding.items() if name != "source"})


def everything(path: Path) -> None:
    with netCDF4.Dataset(path, "w") as file:
        file.title = "all of it"
        file.createDimension("time", None)
        file.createDimension("x", 4)
        file.createDimension("unused", 1000)
        colours = file.createEnumType(np.uint8, "colour", {"red": 0, "green": 1, "none": 255})
        hue = file.createVariable("hue", colours, ("x",), fill_value=255)
        hue[:2] = [0, 1]
        group = file.createGroup("forecast")
        group.setncattr("n" * 40, np.float32([1, 2]))
        group.createDimension("member", 2)
        values = group.createVariable(
            "z_first", "f4", ("time", "member", "x"), zlib=True, fill_value=np.nan
        )
        values[:3] = np.arange(24).reshape(3, 2, 4)
        values.units = "m"
        packed = group.createVariable("a_second", "i2", ("x",), fill_value=-1, fletcher32=True)
        packed.scale_factor = 0.5
        packed[:3] = [1, 2, 3]
        pair = file.createCompoundType(np.dtype([("a", "i1"), ("b", "f8")], align=True), "pair")
        file.createVariable("pairs", pair, ("x",))[:2] = np.array([(1, 2), (3, 4)], "i1, f8")
        station = file.createVariable("station", str, ("x",))
        station[0], station[3] = "Zürich", "x" * 99
        station.setncattr_string("texts", ["a", "ü"])
        file.createVariable("x", "f8", ("x",))[:] = [1, 2, 3, 4]
        file.createVariable("letters", "S1", ("x",))[:] = list("abcd")


def test_file_of_netcdf4_comes_back_with_groups_types_and_dimensions(tmp_path: Path) -> None:
    everything(tmp_path / "a.nc")
    with netCDF4.Dataset(tmp_path / "a.nc") as one, netCDF4.Dataset(there_and_back(tmp_path)) as b:
        same_group(one, b)
        assert list(b["forecast"].variables) == ["z_first", "a_second"]
        assert b["hue"].datatype.enum_dict == {"red": 0, "green": 1, "none": 255}


def same_group(one: Any, other: Any) -> None:
    same_attributes(one, other)
    assert list(one.dimensions) == list(other.dimensions)
    for name, dimension in one.dimensions.items():
        found = other.dimensions[name]
        assert (len(found), found.isunlimited()) == (len(dimension), dimension.isunlimited())
    assert list(one.variables) == list(other.variables)
    for name, variable in one.variables.items():
        found = other[name]
        assert (found.dimensions, found.dtype) == (variable.dimensions, variable.dtype)
        assert found.filters() == variable.filters()
        assert found.chunking() == variable.chunking()
        same_attributes(variable, found)
        np.testing.assert_array_equal(np.ma.filled(found[...]), np.ma.filled(variable[...]))
    for name, group in one.groups.items():
        same_group(group, other[name])


def same_attributes(one: Any, other: Any) -> None:
    assert one.ncattrs() == other.ncattrs()
    for name in one.ncattrs():
        np.testing.assert_array_equal(one.getncattr(name), other.getncattr(name))


def test_scales_of_h5py_alone_are_attached_again(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.nc", "w") as file:
        for name, size in {"z": 2, "y": 3}.items():
            file[name] = np.arange(size)
            file[name].make_scale(name)
        file["g/other"] = np.zeros(3)
        file["g/other"].make_scale("height above ground")
        data = file.create_dataset("g/v", data=np.ones((2, 3)))
        data.dims[0].attach_scale(file["z"])
        data.dims[1].attach_scale(file["y"])
        data.dims[1].attach_scale(file["g/other"])
        data.dims[1].label = "height"
    with h5py.File(there_and_back(tmp_path)) as file:
        assert [[scale.name for scale in axis.values()] for axis in file["g/v"].dims] == [
            ["/z"], ["/y", "/g/other"]
        ]  # fmt: skip
        assert file["g/v"].dims[1].label == "height"
        assert file["g/other"].attrs["NAME"] == b"height above ground"
        assert [(file[r].name, n) for r, n in file["z"].attrs["REFERENCE_LIST"]] == [("/g/v", 0)]


def test_scale_that_was_removed_is_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.nc", "w") as file:
        file["z"], file["v"] = np.arange(2), np.ones(2)
        file["z"].make_scale()
        file["v"].dims[0].attach_scale(file["z"])
    import_file(tmp_path / "a.nc", tmp_path / "d")
    (tmp_path / "d" / "z.b2nd").unlink()
    [skipped] = export_directory(tmp_path / "d", tmp_path / "b.nc").skipped
    assert skipped.path == "v.b2nd@DIMENSION_LIST"
    assert "/z" in skipped.reason
    with h5py.File(tmp_path / "b.nc") as file:
        assert "DIMENSION_LIST" not in file["v"].attrs


def test_dimension_without_a_variable_takes_no_room(tmp_path: Path) -> None:
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        file.createDimension("x", 10_000_000)
        file.createDimension("endless", None)
        file.createGroup("g").createDimension("y", 3)
    back = there_and_back(tmp_path)
    assert back.stat().st_size < 50_000
    assert not list((tmp_path / "d").rglob("*.b2nd"))
    with netCDF4.Dataset(back) as file:
        assert len(file.dimensions["x"]) == 10_000_000
        assert file.dimensions["endless"].isunlimited()
        assert len(file["g"].dimensions["y"]) == 3
        assert not file.variables


@pytest.mark.parametrize(
    "forged", [{}, {"size": -1}, {"type": ["string", 2**62, 0, 0]}, {"attrs": {"x": b"no"}}, "text"]
)
def test_dimension_whose_note_makes_no_sense_is_named(tmp_path: Path, forged: Any) -> None:
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        file.createDimension("x", 5)
    import_file(tmp_path / "a.nc", tmp_path / "d")
    kept = notes.read_group(tmp_path / "d").notes
    good = kept["dimensions"]["x"]
    kept["dimensions"]["x"] = good | forged if forged and isinstance(forged, dict) else forged
    (tmp_path / "d" / group_files.GROUP_FILE).write_bytes(metadata.encode(kept))
    [skipped] = export_directory(tmp_path / "d", tmp_path / "b.nc").skipped
    assert (skipped.path, "can't be a dimension" in skipped.reason) == ("x", True)
