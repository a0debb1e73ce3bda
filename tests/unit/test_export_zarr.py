"""`cat2export` to Zarr: what zarr and xarray read is what was imported, chunks are kept."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import blosc2
import netCDF4
import numpy as np
import pytest
import xarray
import zarr
from zarr.storage import ZipStore

from caterva2.conversion.importer import import_file
from caterva2.conversion.zarr.exporter import export_store
from caterva2.conversion.zarr.importer import import_store
from caterva2.examples import exampleroot
from tests.conftest import run

pytestmark = [
    pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning"),
    pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning"),
]
RANDOM = np.random.default_rng(0)


def climate() -> xarray.Dataset:
    values = RANDOM.normal(280, 9, (4, 30, 50))
    values[0, 0, 0] = np.nan
    return xarray.Dataset(
        {
            "tas": (("time", "lat", "lon"), values, {"units": "K", "valid": [0.0, 400.0]}),
            "mask": (("lat", "lon"), np.eye(30, 50, dtype="i1"), {"flags": [0, 1]}),
            "scalar": ((), np.float32(1.5)),
            "letters": (("time",), np.array([b"a", b"bc", b"", b"d"])),
        },
        {
            "time": np.arange("2026-01-01", "2026-01-05", dtype="M8[D]").astype("M8[ns]"),
            "lat": np.linspace(-30, 30, 30),
            "area": (("lat", "lon"), np.ones((30, 50))),
        },
        {"title": "größe", "Conventions": "CF-1.11", "version": 3},
    )


PACKED = {
    "tas": {"dtype": "i2", "scale_factor": 0.01, "add_offset": 280.0, "_FillValue": -32768},
    "mask": {"_FillValue": 1},
}


@pytest.mark.parametrize("version", [2, 3])
def test_store_of_xarray_comes_back_identical(tmp_path: Path, version: Any) -> None:
    encoding = PACKED if version == 3 else {name: dict(PACKED[name]) for name in PACKED}
    climate().to_zarr(tmp_path / "a.zarr", zarr_format=version, encoding=encoding)
    assert import_store(tmp_path / "a.zarr", tmp_path / "d").skipped == []
    assert export_store(tmp_path / "d", tmp_path / "b.zarr").skipped == []
    with (
        xarray.open_zarr(tmp_path / "a.zarr") as one,
        xarray.open_zarr(tmp_path / "b.zarr") as other,
    ):
        xarray.testing.assert_identical(one.load(), other.load())


@pytest.mark.parametrize("engine", ["netcdf4", pytest.param("h5netcdf", marks=pytest.mark.slow)])
def test_file_of_netcdf_opens_as_the_same_dataset(tmp_path: Path, engine: Any) -> None:
    climate().to_netcdf(tmp_path / "a.nc", engine=engine, encoding=PACKED, unlimited_dims=["time"])
    with netCDF4.Dataset(tmp_path / "a.nc", "a") as file:
        file.createDimension("unused", 7)
    assert import_file(tmp_path / "a.nc", tmp_path / "d").skipped == []
    report = export_store(tmp_path / "d", tmp_path / "b.zarr")
    assert report.skipped == []
    assert "unused" in [left.path for left in report.left]
    with (
        xarray.open_dataset(tmp_path / "a.nc", engine=engine) as one,
        xarray.open_zarr(tmp_path / "b.zarr") as other,
    ):
        xarray.testing.assert_identical(one.load(), other.load())


def test_groups_are_those_of_a_tree(tmp_path: Path) -> None:
    tree = xarray.DataTree.from_dict({"/": climate(), "/g/h": climate()[["mask"]]})
    tree.to_zarr(tmp_path / "a.zarr", zarr_format=3)
    import_store(tmp_path / "a.zarr", tmp_path / "d")
    export_store(tmp_path / "d", tmp_path / "b.zarr")
    with (
        xarray.open_datatree(tmp_path / "a.zarr", engine="zarr") as one,
        xarray.open_datatree(tmp_path / "b.zarr", engine="zarr") as other,
    ):
        xarray.testing.assert_identical(one.load(), other.load())


def test_example_root_is_read_by_zarr(tmp_path: Path) -> None:
    exampleroot.make(tmp_path / "d")
    report = export_store(tmp_path / "d", tmp_path / "b.zarr")
    assert report.skipped == []
    assert [left.path for left in report.left] == ["README.md", "ds-hello.b2frame"]
    group = zarr.open_group(tmp_path / "b.zarr", mode="r")
    for moved in report.moved:
        array = blosc2.open(tmp_path / "d" / moved.path)
        stored = group[moved.path.removesuffix(".b2nd")]
        assert (stored.dtype, stored.shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(stored[...], array[...])


DTYPES = [
    "?",
    "i1",
    ">i4",
    "u8",
    "f2",
    "<f4",
    ">f8",
    "c8",
    "M8[s]",
    "S3",
    "U2",
    "i2,f4",
    "i2,>f4",
    "V300",
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("blocks", [(4, 5), (3, 5)], ids=["shards", "values"])
def test_values_of_every_dtype_are_right(tmp_path: Path, dtype: str, blocks: Any) -> None:
    values = np.zeros((17, 20), dtype)
    raw = RANDOM.integers(0, 2, (17, 20))
    if values.dtype.kind == "V":
        values.view("u1")[::3] = 7
    else:
        values[...] = raw.astype(dtype)
    values[8:12] = np.zeros((), dtype)  # blocks of zeros
    (tmp_path / "d").mkdir()
    blosc2.asarray(
        values, chunks=(8, 10), blocks=blocks, urlpath=str(tmp_path / "d/x.b2nd"),
        cparams={"codec": blosc2.Codec.ZSTD},
    )  # fmt: skip
    report = export_store(tmp_path / "d", tmp_path / "b.zarr")
    assert report.skipped == []
    stored = zarr.open_array(tmp_path / "b.zarr/x", mode="r")
    found = np.asarray(stored[...])
    if values.dtype.isnative or values.dtype.kind not in "iuf":
        assert found.tobytes() == values.tobytes()
    np.testing.assert_array_equal(found.view(dtype) if found.dtype.kind == "V" else found, values)
    assert [left.path for left in report.left] == ["x.b2nd"] * (dtype == "i2,>f4")


@pytest.mark.parametrize(
    ("dtype", "fill"), [("i2", -9), ("f4", np.nan), ("f8", -np.inf), ("c16", 1 + 2j), ("?", True)]
)
def test_fill_values_are_kept(tmp_path: Path, dtype: str, fill: Any) -> None:
    group = zarr.open_group(tmp_path / "a.zarr")
    given: dict[str, Any] = {"shape": (8, 8), "chunks": (4, 4), "dtype": dtype}
    group.create_array("x", fill_value=fill, **given)[:4, :4] = 0
    import_store(tmp_path / "a.zarr", tmp_path / "d")
    export_store(tmp_path / "d", tmp_path / "b.zarr")
    stored = zarr.open_array(tmp_path / "b.zarr/x", mode="r")
    np.testing.assert_array_equal(stored.fill_value, np.array(fill, dtype))
    np.testing.assert_array_equal(stored[...], group["x"][...])


def test_stored_blocks_are_not_recompressed(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    noise = RANDOM.integers(0, 99, (64, 64))
    for name, blocks in {"kept": (8, 8), "one": (16, 16), "odd": (5, 16)}.items():
        urlpath = str(tmp_path / f"d/{name}.b2nd")
        blosc2.asarray(noise, chunks=(16, 16), blocks=blocks, urlpath=urlpath)
    report = export_store(tmp_path / "d", tmp_path / "b.zarr")
    assert {moved.path: (moved.kept, moved.converted) for moved in report.moved} == {
        "kept.b2nd": (16, 0), "odd.b2nd": (0, 16), "one.b2nd": (16, 0),
    }  # fmt: skip
    group = zarr.open_group(tmp_path / "b.zarr", mode="r")
    assert (group["kept"].shards, group["kept"].chunks) == ((16, 16), (8, 8))


def test_target_by_its_name_or_by_the_option(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    blosc2.asarray(np.arange(5), urlpath=str(tmp_path / "d/a.b2nd"))
    assert run("cat2export", "d", "a.ZARR", cwd=tmp_path).returncode == 0
    assert run("cat2export", "d", "b", "--format", "zarr", cwd=tmp_path).returncode == 0
    assert run("cat2export", "d", "c.zarr", "--format", "hdf5", cwd=tmp_path).returncode == 0
    assert run("cat2export", "d", "e.zarr.zip", cwd=tmp_path).returncode == 0
    assert (tmp_path / "a.ZARR/zarr.json").is_file()
    assert (tmp_path / "b/zarr.json").is_file()
    assert (tmp_path / "c.zarr").read_bytes().startswith(b"\x89HDF")
    assert zipfile.is_zipfile(tmp_path / "e.zarr.zip")


def test_a_zip_file_holds_what_a_directory_does(tmp_path: Path) -> None:
    exampleroot.make(tmp_path / "d")
    target, place = tmp_path / "b.zarr.zip", tmp_path / "b.zarr"
    for force in (False, True):
        assert export_store(tmp_path / "d", target, force).skipped == []
    export_store(tmp_path / "d", place)
    files = {
        str(file.relative_to(place)): file.read_bytes()
        for file in place.rglob("*")
        if file.is_file()
    }
    with zipfile.ZipFile(target) as made:
        assert {name: made.read(name) for name in made.namelist()} == files
        assert {member.compress_type for member in made.infolist()} == {zipfile.ZIP_STORED}
    with ZipStore(target, mode="r") as store:
        group = zarr.open_group(store, mode="r")
        np.testing.assert_array_equal(group["ds-1d"][...], np.arange(1000))
    assert import_store(target, tmp_path / "back").skipped == []
    assert sorted(os.listdir(tmp_path)) == ["b.zarr", "b.zarr.zip", "back", "d"]


def test_files_are_flushed_when_all_are_written_and_before_they_appear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "d").mkdir()
    blosc2.asarray(RANDOM.random(64), chunks=(4,), urlpath=str(tmp_path / "d/x.b2nd"))
    flushed: list[tuple[int, bool]] = []

    def fsync(fd: int) -> None:
        flushed.append((os.fstat(fd).st_ino, (tmp_path / "b.zarr").exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    export_store(tmp_path / "d", tmp_path / "b.zarr")
    made = [tmp_path / "b.zarr", *(tmp_path / "b.zarr").rglob("*")]
    assert len(made) == 21
    assert sorted(flushed[:-1]) == sorted((file.stat().st_ino, False) for file in made)
    assert flushed[-1] == (tmp_path.stat().st_ino, True)


def test_what_is_damaged_or_named_twice_is_skipped_by_name(tmp_path: Path) -> None:
    (tmp_path / "d/zarr.json").mkdir(parents=True)
    (tmp_path / "d/twice").mkdir()
    for name in ("bad", "good", "twice", "zarr.json/x"):
        blosc2.asarray(RANDOM.random(1000), chunks=(100,), urlpath=str(tmp_path / f"d/{name}.b2nd"))
    with (tmp_path / "d/bad.b2nd").open("r+b") as file:
        file.truncate(3000)
    report = export_store(tmp_path / "d", tmp_path / "b.zarr")
    assert {skipped.path for skipped in report.skipped} == {"bad.b2nd", "twice.b2nd", "zarr.json"}
    assert sorted(os.listdir(tmp_path / "b.zarr")) == ["good", "twice", "zarr.json"]
    assert sorted(zarr.open_group(tmp_path / "b.zarr", mode="r")) == ["good", "twice"]
