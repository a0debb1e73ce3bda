"""Names of dimensions become scales of HDF5, where what has them was no HDF5 file"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
import xarray
from zarrstores import put

from caterva2.conversion.exporter import export_directory
from caterva2.conversion.zarr.importer import import_store
from caterva2.hdf5.source import Hdf5Source
from caterva2.names import DatasetPath

pytestmark = [
    pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning"),
    pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning"),
]


def climate() -> xarray.Dataset:
    values = np.random.default_rng(0).normal(280, 9, (4, 3, 5))
    values[0, 0, 0] = np.nan
    return xarray.Dataset(
        {
            "tas": (("time", "lat", "lon"), values, {"units": "K", "valid": [0.0, 400.0]}),
            "mask": (("lat", "lon"), np.eye(3, 5, dtype="i1")),
            "scalar": ((), np.float32(1.5)),
        },
        {
            "time": np.arange("2026-01-01", "2026-01-05", dtype="M8[D]").astype("M8[ns]"),
            "lat": [-30.0, 0.0, 30.0],
        },
        {"title": "größe", "version": 3},
    )


def converted(tmp_path: Path, place: Path) -> Path:
    assert import_store(place, tmp_path / "d").skipped == []
    assert export_directory(tmp_path / "d", tmp_path / "b.nc").skipped == []
    return tmp_path / "b.nc"


@pytest.mark.parametrize("version", [2, 3])
def test_a_store_of_xarray_is_identical_as_a_netcdf_file(tmp_path: Path, version: Any) -> None:
    packed = {"dtype": "i2", "scale_factor": 0.01, "add_offset": 280.0, "_FillValue": -32768}
    climate().to_zarr(tmp_path / "a.zarr", zarr_format=version, encoding={"tas": packed})
    made = converted(tmp_path, tmp_path / "a.zarr")
    with xarray.open_zarr(tmp_path / "a.zarr") as one:
        expected = one.load()
    with xarray.open_dataset(made, engine="h5netcdf") as other:
        xarray.testing.assert_identical(expected, other.load())
    with netCDF4.Dataset(made) as file:
        assert {name: len(found) for name, found in file.dimensions.items()} == {
            "time": 4, "lat": 3, "lon": 5,
        }  # fmt: skip
        assert "lon" not in file.variables


def test_groups_use_the_scales_around_them(tmp_path: Path) -> None:
    tree = xarray.DataTree.from_dict({"/": climate()[["tas"]], "/g/h": climate()[["mask"]]})
    tree.to_zarr(tmp_path / "a.zarr", zarr_format=3, write_inherited_coords=False)
    made = converted(tmp_path, tmp_path / "a.zarr")
    with h5py.File(made) as file:
        (scale,) = file["g/h/mask"].dims[0].values()
        assert scale.name == "/lat"
    with (
        xarray.open_datatree(tmp_path / "a.zarr", engine="zarr") as one,
        xarray.open_datatree(made, engine="h5netcdf") as other,
    ):
        xarray.testing.assert_identical(one.load(), other.load())


def test_a_name_that_is_taken_is_a_label(tmp_path: Path) -> None:
    place = tmp_path / "a.zarr"
    for name, shape, dims in [
        ("x", (3, 4), ["x", "y"]), ("y", (7,), ["other"]), ("v", (4,), ["y"]), ("w", (2,), ["a/b"]),
        ("u", (9,), ["v9"]), ("z", (9,), ["u"]),
    ]:  # fmt: skip
        put(place, name, np.ones(shape), chunks=shape, dimension_names=dims)
    made = converted(tmp_path, place)
    with h5py.File(made) as file:
        assert [axis.label for axis in file["x"].dims] == ["x", "y"]
        assert [file[name].dims[0].label for name in "vwz"] == ["y", "a/b", "u"]
        assert file["v9"].is_scale
    source = Hdf5Source(made)
    source.scan()
    try:  # what is served of the file has the names again
        assert source.info(DatasetPath("x.b2nd")).dims == ("x", "y")
        assert source.info(DatasetPath("u.b2nd")).dims == ("v9",)
    finally:
        source.close()
