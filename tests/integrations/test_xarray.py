"""Groups of datasets as datasets and trees of xarray."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray

import caterva2
from caterva2.integrations.xarray_backend import Caterva2Backend
from tests.conftest import Stack, eventually
from tests.integrations.netcdffiles import FILES, climate


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("files")
    for name, write in FILES.items():
        write(made / name)
    return made


@pytest.fixture(scope="module")
def served(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("stack"))
    try:
        stack.start(nc=files)
        yield stack
    finally:
        stack.stop_all()


ENGINE: Any = {"engine": "caterva2"}
"""xarray takes netCDF4 for any URL where that is installed, unless it is told another engine."""


def url(stack: Stack, path: str = "") -> str:
    return stack.url.replace("http://", "cat2://") + f"/nc/{path}"


@pytest.mark.parametrize("name", FILES)
def test_dataset_is_identical_to_that_of_the_file(served: Stack, files: Path, name: str) -> None:
    with xarray.open_dataset(files / name) as expected:
        found = xarray.open_dataset(url(served, name), **ENGINE)
        xarray.testing.assert_identical(found.load(), expected.load())
        for variable in expected.variables:
            assert found[variable].dtype == expected[variable].dtype


def test_undecoded_dataset_is_identical(served: Stack, files: Path) -> None:
    with xarray.open_dataset(files / "netcdf4.nc", decode_cf=False) as expected:
        found = xarray.open_dataset(url(served, "netcdf4.nc"), **ENGINE, decode_cf=False)
        xarray.testing.assert_identical(found.load(), expected.load())
        assert type(found.tas.attrs["_FillValue"]) is type(expected.tas.attrs["_FillValue"])


def test_trees_groups_and_variables_are_chosen(served: Stack, files: Path) -> None:
    with xarray.open_datatree(files / "grouped.nc") as expected:
        found = xarray.open_datatree(url(served, "grouped.nc"), **ENGINE)
        xarray.testing.assert_identical(found.load(), expected.load())
    inner = xarray.open_dataset(url(served, "grouped.nc"), **ENGINE, group="inner")
    assert (list(inner), inner.attrs) == (["u"], {"level": 1})
    assert list(xarray.open_groups(url(served, "grouped.nc"), **ENGINE)) == [
        "/",
        "/inner",
        "/inner/deep",
    ]
    dropped = xarray.open_dataset(url(served, "netcdf4.nc"), **ENGINE, drop_variables="tas")
    assert "tas" not in dropped


KEYS: list[dict[str, Any]] = [
    {"time": 1, "lat": [4, 0], "lon": slice(None, None, -2)},
    {"time": [3, 1, 1], "lon": [0, 5, 2]},
    {"time": [0, 1, 3], "lon": [5, 0, 1]},
    {"time": [0, 1, 3], "lat": 2, "lon": [5, 0, 1]},
    {"time": [2, 0], "lat": 3, "lon": [1, 4, 5]},
    {"lat": [0, 2, 4], "lon": -1},
    {"time": [0, 3], "lat": slice(1, 4), "lon": np.array([True, False] * 3)},
    {"lat": xarray.DataArray([0, 4], dims="p"), "lon": xarray.DataArray([5, 1], dims="p")},
    {"time": []},
]


@pytest.mark.parametrize("key", KEYS, ids=range(len(KEYS)))
def test_selections_are_read_as_of_the_file(served: Stack, files: Path, key: Any) -> None:
    with xarray.open_dataset(files / "netcdf4.nc") as expected:
        found = xarray.open_dataset(url(served, "netcdf4.nc"), **ENGINE)
        xarray.testing.assert_identical(found.isel(key).load(), expected.isel(key).load())


def test_opening_takes_two_requests_and_reads_no_values(served: Stack) -> None:
    count = 'request_seconds_count{call="/api/%s",method="GET",status="200"}'

    def asked() -> list[float]:
        lines = served.get("metrics").decode().splitlines()
        values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        calls = ("members", "info", "fetch")
        return [float(values.get("caterva2_" + count % call, 0)) for call in calls]

    before = asked()
    opened = xarray.open_dataset(
        url(served, "h5netcdf.nc"), **ENGINE, decode_times=False, chunks=None
    )
    # The coordinates that are indexes are read.
    assert [b - a for a, b in zip(before, asked(), strict=True)] == [1, 1, 3]
    assert opened.tas.encoding["preferred_chunks"] == {"time": 4, "lat": 5, "lon": 6}


def test_dataset_is_pickled_and_computed_in_pieces(served: Stack) -> None:
    opened = pickle.loads(pickle.dumps(xarray.open_dataset(url(served, "netcdf4.nc"), **ENGINE)))
    xarray.testing.assert_allclose(opened.load(), climate(), atol=0.01)
    pieces = xarray.open_dataset(url(served, "netcdf4.nc"), **ENGINE).chunk(time=2).tas
    again = xarray.open_dataset(url(served, "netcdf4.nc"), **ENGINE).chunk(time=2).tas
    assert pieces.data.name == again.data.name
    np.testing.assert_allclose(pieces.mean().compute(), climate().tas.mean(), atol=0.01)


def test_what_can_not_be_opened_is_named(served: Stack) -> None:
    for path, error in (
        ("netcdf4.nc/tas.b2nd", "is a dataset: name the directory"),
        ("nothing.nc", "nothing.nc"),
        ("strings.nc/name.b2nd", "is a dataset"),
    ):
        with pytest.raises(caterva2.CatervaError, match=error):
            xarray.open_dataset(url(served, path), **ENGINE)
    with pytest.raises(caterva2.CatervaError, match="names no root"):
        xarray.open_dataset("cat2://127.0.0.1:1/", **ENGINE)
    with pytest.raises(caterva2.CatervaError, match="no user and no password"):
        xarray.open_dataset("cat2://ann:secret@127.0.0.1:1/foo", **ENGINE)
    with pytest.raises(caterva2.CatervaError, match=r"opens cat2://HOST:PORT/ROOT/PATH, not"):
        xarray.open_dataset("x.nc", engine="caterva2")
    assert Caterva2Backend().guess_can_open("cat2s://host/foo")
    assert not Caterva2Backend().guess_can_open("https://host/foo")


def test_change_since_the_opening_is_an_error(served: Stack, files: Path) -> None:
    (files / "changing.nc").write_bytes((files / "netcdf4.nc").read_bytes())
    opened = eventually(lambda: xarray.open_dataset(url(served, "changing.nc"), **ENGINE))
    climate().assign(tas=climate().tas + 1).to_netcdf(files / "new.nc", engine="h5netcdf")
    (files / "new.nc").replace(files / "changing.nc")

    def refused() -> bool:
        with pytest.raises(caterva2.StaleVersion, match="has changed: this handle reads version"):
            opened.tas.isel(time=0).load()
        return True

    eventually(refused)
