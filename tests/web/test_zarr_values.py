"""Arrays below ``/zarr/`` and ``/zarr2/``: programs without a plugin read its values"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import blosc2
import h5py
import numpy as np
import pytest
import xarray
import zarr

import caterva2
from caterva2.examples.hdf5root import make
from tests.conftest import Stack, eventually, example_root
from tests.thoroughness import thorough
from tests.web import zarrclients
from tests.web.zarrclients import READERS, SLOW, can_read

pytestmark = pytest.mark.filterwarnings("ignore")
RNG = np.random.default_rng(4)
WALK = np.cumsum(RNG.random((240, 90)), axis=0)
EVERY_DAY = {"fsspec": {"walk"}, "version 2": {"walk", "big", "complex", "dates", "raw", "records"}}
"""What else than obstore reads every day; others are installed for slow tests only."""


def arrays() -> dict[str, tuple[Any, dict[str, Any]]]:
    """Arrays, and how they are stored."""
    grid = {"chunks": (80, 40), "blocks": (20, 20)}
    sparse = np.zeros((240, 90))
    sparse[81, 3] = 5
    day = np.datetime64("2026-11-01") + np.arange(300)
    words = np.array([f"wort{n}" for n in range(300)])
    lossy = {"filters": [blosc2.Filter.TRUNC_PREC, blosc2.Filter.BITSHUFFLE],
             "filters_meta": [20, 0]}  # fmt: skip
    delta = {"filters": [blosc2.Filter.DELTA, blosc2.Filter.SHUFFLE]}
    bytedelta = {"filters": [blosc2.Filter.SHUFFLE, blosc2.Filter.BYTEDELTA]}
    split = {"splitmode": blosc2.SplitMode.ALWAYS_SPLIT}
    one = {"chunks": (100,), "blocks": (30,)}
    return {
        "walk": (WALK, grid),
        "one-block": (WALK, {"chunks": (80, 40), "blocks": (80, 40)}),
        "ragged": (WALK, {"chunks": (130, 50), "blocks": (32, 16)}),
        "sparse": (sparse, grid),
        "zeros": (np.zeros((240, 90)), grid),
        "big": (WALK.astype(">f4"), grid),
        "half": (WALK.astype("f2"), grid),
        "complex": (WALK * (1 + 2j), grid),
        "truth": (WALK > 50, grid),
        "lossy": (WALK, grid | {"cparams": lossy}),
        "delta": (WALK, grid | {"cparams": delta}),
        "bytedelta": (WALK, grid | {"cparams": bytedelta}),
        "split": (WALK, grid | {"cparams": split}),
        "dates": (day.astype("M8[D]"), one),
        "words": (words, one),
        "raw": (np.array([b"\1\2\3", b"\0\5\0"] * 150).view("V3"), one),
        "wide": (words.astype("S300"), one),
        "records": (np.array([(n, n / 3) for n in range(300)], "i4,f8"), one),
    }  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("zarr")
    mine = directory / "mine"
    (mine / "deep").mkdir(parents=True)
    for name, (values, given) in arrays().items():
        blosc2.asarray(values, urlpath=str(mine / f"{name}.b2nd"), **given)
    blosc2.asarray(WALK, urlpath=str(mine / "deep" / "walk.b2nd"))
    make(directory / "example.h5")
    with h5py.File(directory / "example.h5", "a") as file:
        file["arrays"].attrs["what"] = "some"
    data = xarray.Dataset(
        {"t": (("time", "lat"), WALK[:20, :6].astype("f4"), {"units": "K", "_FillValue": np.nan})},
        {"time": np.arange(20) * 1.0, "lat": np.linspace(0, 1, 6)}, {"title": "Air"},
    )  # fmt: skip
    data.to_netcdf(directory / "air.nc", engine="h5netcdf")
    stack = Stack(directory)
    try:
        roots = {"foo": example_root(), "h5": directory / "example.h5", "nc": directory / "air.nc"}
        stack.start(mine=mine, **roots)
        yield stack
    finally:
        stack.stop_all()


def pairs() -> Iterator[Any]:
    """Each array with each reader; every day each once, and some with another reader too."""
    for name in arrays():
        for reader in READERS:
            often = reader == "obstore" or name in EVERY_DAY.get(reader, ())
            yield pytest.param(name, reader, marks=[] if often else pytest.mark.slow)


@pytest.mark.parametrize(("name", "reader"), list(pairs()))
def test_values_are_those_of_the_array(served: Stack, name: str, reader: str) -> None:
    expected = arrays()[name][0]
    if name == "lossy":
        expected = served.client.get(f"mine/{name}.b2nd")[()]
    if not can_read(reader, expected):
        pytest.skip("it has not this dtype")
    found = READERS[reader](served, f"mine/{name}")
    if name == "raw":
        expected = expected.view("u1")
        found = np.ascontiguousarray(found).view("u1").ravel()
    np.testing.assert_array_equal(found, expected)


FACES = (("zarr", 3), ("zarr2", 2))
FIRST = {"foo": 0, "h5": 1, "nc": 0}


@pytest.mark.parametrize("root", FIRST)
def test_hierarchies_have_the_values_of_the_root(served: Stack, root: str) -> None:
    client = served.client
    expected = {path for path in client.get_list(root) if path.endswith(".b2nd")}
    for face, version in FACES if thorough() else FACES[FIRST[root] :: 2]:
        store = zarrclients.obstored(served, root, face)
        group = zarr.open_consolidated(store, zarr_format=version, mode="r")
        found = dict(group.members(max_depth=None))
        arrays = {name: one for name, one in found.items() if isinstance(one, zarr.Array)}
        assert {f"{name}.b2nd" for name in arrays} == expected
        for name, array in arrays.items():
            values = client.get(f"{root}/{name}.b2nd")[()]
            np.testing.assert_array_equal(array[...], values)
            for reader in SLOW if face == "zarr" and thorough() else ():
                if can_read(reader, values):
                    np.testing.assert_array_equal(READERS[reader](served, f"{root}/{name}"), values)


def test_xarray_finds_the_file_of_netcdf(served: Stack) -> None:
    for face, version in (("zarr", 3), ("zarr2", 2)):
        store = zarrclients.obstored(served, "nc", face)
        with (
            xarray.open_zarr(store, consolidated=True, zarr_format=version, chunks=None) as found,
            xarray.open_dataset(served.directory / "air.nc", engine="h5netcdf") as expected,
        ):
            for one in (found, *found.variables.values()):
                one.attrs.pop("caterva2", None)
            xarray.testing.assert_identical(found.load(), expected.load())


@pytest.mark.parametrize(("face", "version"), [("zarr", 3), ("zarr2", 2)])
def test_xarray_opens_arrays_whose_dimensions_have_no_names(
    served: Stack, face: str, version: int
) -> None:
    store = zarrclients.obstored(served, "mine", face)
    names = [name for name in arrays() if name not in ("walk", "one-block")]
    with xarray.open_zarr(store, zarr_format=version, chunks=None, drop_variables=names) as found:
        assert found["walk"].dims == ("walk_0", "walk_1")
        np.testing.assert_array_equal(found["walk"][85:95, 45:55], WALK[85:95, 45:55])
        np.testing.assert_array_equal(found["one-block"], WALK)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_root_of_20_000_datasets_is_opened(stack: Stack, tmp_path: Path) -> None:
    for n in range(20):
        (tmp_path / "many" / f"dir{n:02}").mkdir(parents=True)
        for k in range(1000):
            path = tmp_path / "many" / f"dir{n:02}" / f"ds{k:03}.b2nd"
            if k:
                os.link(path.with_name("ds000.b2nd"), path)
            else:
                blosc2.asarray(np.arange(9) + 100.0 * n, urlpath=str(path))
    stack.start(many=tmp_path / "many")
    client = caterva2.Client(stack.url, timeout=1000)
    eventually(lambda: len(client.get_list("many")) == 20_000, 300)
    for _ in range(2):  # made, and kept
        with urllib.request.urlopen(f"{stack.url}/zarr/many/zarr.json", timeout=1000) as answer:
            inside = json.load(answer)["consolidated_metadata"]["metadata"]
        assert len(inside) == 20_020
    with xarray.open_zarr(f"{stack.url}/zarr/many/dir17", chunks=None) as found:
        assert len(found) == 1000
        np.testing.assert_array_equal(found["ds999"], np.arange(9) + 1700.0)


def test_a_slice_takes_two_requests_and_the_blocks_that_it_touches(served: Stack) -> None:
    store = zarrclients.Counted(zarrclients.obstored(served, "mine/walk"))
    array = zarr.open_array(store, mode="r")
    store.requests.clear()
    np.testing.assert_array_equal(array[85:95, 45:55], WALK[85:95, 45:55])
    assert len(store.requests) == 2
    index = 16 * 8 + 4
    block = 20 * 20 * 8 + 60
    assert sum(size for _, size in store.requests) <= index + block


def test_names_may_have_the_suffix_and_documents_tell_the_version(served: Stack) -> None:
    short = zarrclients.document(served, "zarr/mine/walk/zarr.json")
    assert short == zarrclients.document(served, "zarr/mine/walk.b2nd/zarr.json")
    etag = served.client.get_info("mine/walk.b2nd")["etag"]
    note = short["attributes"]["caterva2"]
    assert note == {"etag": etag, "pinned": f"mine@{etag}/walk.b2nd"}
    pinned = zarrclients.by_obstore(served, note["pinned"])
    np.testing.assert_array_equal(pinned, WALK)
    group = zarrclients.document(served, "zarr/mine/zarr.json")
    assert group["consolidated_metadata"]["metadata"]["walk"] == short
    place = group["attributes"]["caterva2"]["pinned"]
    np.testing.assert_array_equal(zarrclients.by_obstore(served, f"{place}/deep/walk"), WALK)


def test_groups_have_the_attributes_of_the_file(served: Stack) -> None:
    group = zarrclients.document(served, "zarr/h5/zarr.json")
    inside = group["consolidated_metadata"]["metadata"]
    assert inside["arrays"]["node_type"] == "group"
    assert inside["arrays"]["attributes"] == {"what": "some"}
    alone = zarrclients.document(served, "zarr/h5/arrays/zarr.json")["attributes"]
    assert alone.pop("caterva2")["pinned"].startswith("h5@g")
    assert alone == {"what": "some"}
    attributes = inside["attrs"]["attributes"]
    del attributes["caterva2"]
    assert attributes == {
        "Int": 42, "IntT": 42, "Bin": "foo", "BinT": "foo", "Str": "bar", "NilBin": None,
        "NilInt": None, "Arr": [[0, 1], [2, 3]], "ArrT": [[0, 1], [2, 3]],
    }  # fmt: skip
