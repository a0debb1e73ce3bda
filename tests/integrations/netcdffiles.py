"""Files of netCDF and HDF5 that differ in who wrote them and in what they hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import xarray


def climate() -> xarray.Dataset:
    """Packed values with a fill value, times by CF, text, coordinates of two dimensions."""
    values = np.linspace(200, 300, 4 * 5 * 6).reshape(4, 5, 6)
    values[1, 2, 3] = np.nan
    data = xarray.Dataset(
        {"tas": (("time", "lat", "lon"), values, {"units": "K", "levels": np.array([1, 2])})},
        coords={
            "time": np.datetime64("2020-01-01", "ns") + np.arange(4) * np.timedelta64(6, "h"),
            "lat": ("lat", np.linspace(-60, 60, 5), {"units": "degrees_north"}),
            "lon": np.arange(6.0),
            "area": (("lat", "lon"), np.ones((5, 6), "f4")),
        },
        attrs={"title": "Klíma", "Conventions": "CF-1.8", "number": 3, "version": 1.5},
    )
    data.tas.encoding = {
        "dtype": "int16", "scale_factor": 0.01, "add_offset": 250.0, "_FillValue": np.int16(-32768),
        "chunksizes": (2, 5, 6), "zlib": True,
    }  # fmt: skip
    return data


def by_xarray(engine: Any, **given: Any) -> Callable[[Path], None]:
    return lambda path: climate().to_netcdf(path, engine=engine, **given)


def strings(path: Path) -> None:
    data = xarray.Dataset(
        {"name": ("station", np.array(["Oslo", "São Paulo", ""], object))},
        coords={"station": [10, 20, 30]},
    )
    data.to_netcdf(path, engine="h5netcdf")


def characters(path: Path) -> None:
    data = xarray.Dataset({"code": ("n", np.array([b"ab", b"cde"], "S3"))})
    data.to_netcdf(path, engine="netcdf4")


def without_variables(path: Path) -> None:
    xarray.Dataset({"a": (("y", "x"), np.arange(6).reshape(2, 3))}).to_netcdf(
        path, engine="netcdf4"
    )


def grouped(path: Path) -> None:
    tree = xarray.DataTree.from_dict(
        {
            "/": xarray.Dataset({"t": ("x", [1, 2])}, {"x": [5, 6]}, {"top": "yes"}),
            "/inner": xarray.Dataset({"u": ("x", [1.5, np.nan])}, attrs={"level": 1}),
            "/inner/deep": xarray.Dataset({"v": ("z", [True, False])}),
        }
    )
    tree.to_netcdf(path, engine="h5netcdf")


def scales_alone(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["lat"], file["lon"] = np.arange(3.0), np.arange(4.0)
        file["z"] = np.arange(12, dtype="i2").reshape(3, 4)
        file["z"].attrs["long_name"] = "height"
        for axis, name in enumerate(("lat", "lon")):
            file[name].make_scale(name)
            file["z"].dims[axis].attach_scale(file[name])


def unlimited(path: Path) -> None:
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", None)
        time = file.createVariable("time", "f8", ("time",))
        time.units, time.calendar = "days since 1850-01-01", "noleap"
        time[:] = np.arange(5)
        counts = file.createVariable("counts", "i4", ("time",), fill_value=-1)
        counts.valid_range = np.array([0, 9], "i4")
        counts[:] = np.ma.array([1, 2, 3, 4, 5], mask=[0, 1, 0, 0, 0])


def scalars(path: Path) -> None:
    data = xarray.Dataset({"pi": 3.25, "empty": ("n", np.zeros(0)), "flag": ((), True)})
    data.attrs["note"] = ""
    data.to_netcdf(path, engine="h5netcdf")


FILES: dict[str, Callable[[Path], None]] = {
    "netcdf4.nc": by_xarray("netcdf4"),
    "h5netcdf.nc": by_xarray("h5netcdf"),
    "unlimited_time.nc": by_xarray("netcdf4", unlimited_dims=["time"]),
    "strings.nc": strings,
    "characters.nc": characters,
    "without_variables.nc": without_variables,
    "grouped.nc": grouped,
    "scales.h5": scales_alone,
    "unlimited.nc": unlimited,
    "scalars.nc": scalars,
}
