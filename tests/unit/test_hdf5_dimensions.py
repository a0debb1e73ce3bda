"""Names of dimensions in files of netCDF, HDF5, zarr's and NeXus's conventions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import netCDF4
import numpy as np
import pytest
import xarray

from caterva2.errors import NotFound
from caterva2.hdf5 import dimensions
from caterva2.hdf5.source import Hdf5Source
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath

GRID = np.zeros((3, 2))
Dims = dict[str, tuple[str | None, ...]]


def infos(path: Path) -> dict[str, DatasetInfo]:
    source = Hdf5Source(path)
    try:
        return {p[:-5]: source.info(p) for p, e in source.scan().items() if e.kind == "array"}
    finally:
        source.close()


def dims(path: Path) -> Dims:
    return {name: info.dims for name, info in infos(path).items()}


def test_files_of_netcdf4(tmp_path: Path) -> None:
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        for name, size in {"time": None, "lat": 2, "letters": 4, "station": 2}.items():
            file.createDimension(name, size)
        file.createVariable("time", "f8", ("time",))[:] = np.arange(3)
        file.createVariable("tas", "f4", ("time", "lat"))[:] = GRID
        file.createVariable("station", "S1", ("station", "letters"))[:] = np.full((2, 4), b"a")
        group = file.createGroup("group")
        group.createDimension("x", 5)
        group.createVariable("inherited", "i4", ("lat", "x"))[:] = 1
        file.createVariable("scalar", "i4", ())[...] = 1
    found = dims(tmp_path / "a.nc")
    assert found["tas"] == ("time", "lat")
    assert found["time"] == ("time",)
    assert found["station"] == ("station", "letters")
    assert found["group/inherited"] == ("lat", "x")
    assert found["scalar"] == ()
    assert not {"lat", "letters", "group/x"} & found.keys()  # dimensions that are no variables


def test_dimension_without_a_variable_is_none_unless_it_has_data(tmp_path: Path) -> None:
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        file.createDimension("empty", 4)
        file.createDimension("endless", None)
        file.createDimension("written", 4)
        file.createVariable("v", "f4", ("empty", "written"))
    with h5py.File(tmp_path / "a.nc", "a") as file:
        file["written"][:] = [1, 2, 3, 4]
    assert dims(tmp_path / "a.nc") == {"v": ("empty", "written"), "written": ("written",)}
    source = Hdf5Source(tmp_path / "a.nc")
    assert source.file().contents().refused == {}
    with pytest.raises(NotFound):
        source.info(DatasetPath("empty.b2nd"))
    source.close()


@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf"])
def test_files_of_xarray(tmp_path: Path, engine: Any) -> None:
    data = xarray.Dataset(
        {"tas": (("time", "lat"), GRID), "bounds": (("time", "nv"), GRID)},
        coords={"lat": [1.0, 2.0], "time": [1, 2, 3]},
    )
    data.to_netcdf(tmp_path / "a.nc", engine=engine)
    found = dims(tmp_path / "a.nc")
    assert {name: found[name] for name in data.variables} == {
        name: variable.dims for name, variable in data.variables.items()
    }


def test_file_of_h5netcdf(tmp_path: Path) -> None:
    with h5netcdf.File(tmp_path / "a.nc", "w") as file:
        file.dimensions = {"x": 3, "y": 2}
        file.create_variable("v", ("x", "y"), "f4")[...] = GRID
    assert dims(tmp_path / "a.nc")["v"] == ("x", "y")


def _scales(file: h5py.File) -> None:
    file["axes/x"] = np.arange(3)
    file["axes/x"].make_scale("a label of the scale")
    file["v"].dims[0].attach_scale(file["axes/x"])


def _label_beside_scale(file: h5py.File) -> None:
    _scales(file)
    file["v"].dims[1].label = "y"


def _only_labels(file: h5py.File) -> None:
    file["v"].dims[1].label = "y"


def _zarr(file: h5py.File) -> None:
    file["v"].attrs["_ARRAY_DIMENSIONS"] = ["p", "q"]


def _too_few(file: h5py.File) -> None:
    file["v"].attrs["_ARRAY_DIMENSIONS"] = ["p"]


def _scales_over_zarr(file: h5py.File) -> None:
    _zarr(file)
    _scales(file)


def _nexus(file: h5py.File) -> None:
    file.attrs["signal"], file.attrs["axes"] = "v", [".", "energy"]


def _nexus_auxiliary(file: h5py.File) -> None:
    file.attrs["signal"], file.attrs["auxiliary_signals"] = "other", ["w", "v"]
    file.attrs["axes"] = ["time"]


def _nexus_of_another(file: h5py.File) -> None:
    file.attrs["signal"], file.attrs["axes"] = "other", ["a", "b"]


def _old_nexus(file: h5py.File) -> None:
    file["v"].attrs["signal"], file["v"].attrs["axes"] = 1, "[a,b]"


def _deleted_scale(file: h5py.File) -> None:
    _scales(file)
    del file["axes/x"]


def _not_references(file: h5py.File) -> None:
    file["v"].attrs["DIMENSION_LIST"] = [1, 2]
    _only_labels(file)


CASES: list[tuple[Callable[[h5py.File], None], tuple[str | None, ...]]] = [
    (_scales, ("x", None)), (_label_beside_scale, ("x", "y")), (_only_labels, (None, "y")),
    (_zarr, ("p", "q")), (_too_few, ()), (_scales_over_zarr, ("x", None)),
    (_nexus, (None, "energy")), (_nexus_auxiliary, ("time", None)), (_nexus_of_another, ()),
    (_old_nexus, ("a", "b")), (_deleted_scale, ()), (_not_references, (None, "y")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("write", "expected"), CASES, ids=lambda case: getattr(case, "__name__", "")
)
def test_conventions(tmp_path: Path, write: Any, expected: tuple[str | None, ...]) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["v"] = GRID
        write(file)
    assert dims(tmp_path / "a.h5")["v"] == expected


def test_dimensions_of_a_group_with_very_many_links_are_not_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        file.createDimension("x", 2)
        file.createDimension("letters", 4)
        file.createVariable("x", "S1", ("x", "letters"))[:] = np.full((2, 4), b"a")
    assert dims(tmp_path / "a.nc")["x"] == ("x", "letters")
    monkeypatch.setattr(dimensions, "SCANNED", 1)
    assert dims(tmp_path / "a.nc")["x"] == ()


def test_description_has_a_name_for_each_dimension_or_none() -> None:
    fields: dict[str, Any] = {
        "path": DatasetPath("a.b2nd"), "etag": "e", "mtime": 0.0, "kind": "array", "shape": (4,),
        "chunks": (4,), "blocks": (2,), "dtype": "|u1", "chunksize": 4, "blocksize": 2,
        "nbytes": 4, "cbytes": 4,
    }  # fmt: skip
    assert DatasetInfo(**fields, dims=("x",)).dims == ("x",)
    for wrong in (("x", "y"), ("",), ("x" * 257,), (3,)):
        with pytest.raises(ValueError, match="dims"):
            DatasetInfo(**fields, dims=wrong)
