"""Attributes with their types, from a file to a client, also without its publisher."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import blosc2
import h5py
import numpy as np
import pytest
from pydantic import TypeAdapter

import caterva2
from caterva2.arrays.attributes import Reference
from caterva2.frames.description import describe
from caterva2.rest.datasets import Array
from tests import hdf5files
from tests.conftest import Stack

META = {"mine": {"by": "me", "range": [0, 1.5]}, "number": 7}
NAN = np.array([np.nan], "f4")


def write(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["tas"] = np.arange(12.0).reshape(3, 4)
        tas = file["tas"]
        file["plain"], file["lat"] = np.arange(3), np.arange(4)
        file["lat"].make_scale()
        tas.dims[1].attach_scale(file["lat"])
        tas.attrs["_FillValue"] = NAN
        tas.attrs["unit"] = np.bytes_(b"\xb0")
        tas.attrs["long_name"] = "Größe"
        tas.attrs["valid"] = np.array([0, 1], "i2")
        tas.attrs["of"] = file["plain"].ref
        tas.attrs["colour"] = np.array([1], hdf5files.COLOURS)
        tas.attrs["nothing"] = h5py.Empty("i4")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("attributes")
    write(directory / "climate.nc")
    (directory / "frames").mkdir()
    array = blosc2.asarray(
        np.arange(3), urlpath=str(directory / "frames/a.b2nd"), mode="w", meta=META
    )
    array.schunk.vlmeta["range"] = np.array([0.5, np.nan], ">f4")
    array.schunk.vlmeta["_ARRAY_DIMENSIONS"] = ["time"]
    array.schunk.vlmeta["note"] = {"by": "me", "at": [1, None]}
    stack = Stack(directory)
    try:
        stack.start(climate=directory / "climate.nc", frames=directory / "frames")
        yield stack
    finally:
        stack.stop_all()


def check(attrs: Any) -> None:
    np.testing.assert_array_equal(attrs["_FillValue"], NAN)
    assert attrs["_FillValue"].dtype == "f4"
    assert (attrs["unit"], attrs["long_name"]) == (b"\xb0", "Größe")
    assert attrs["valid"].dtype == "i2"
    assert attrs["of"] == Reference("/plain")
    assert isinstance(attrs["of"], Reference)
    assert attrs["colour"].dtype.metadata == {"enum": {"RED": 0, "GREEN": 1}}
    assert attrs["nothing"] is None
    assert len(attrs) == 8
    assert [run.tolist() for run in attrs["DIMENSION_LIST"]] == [[], ["/lat"]]


def test_attributes_have_the_types_of_the_file(world: Stack) -> None:
    check(world.client.get("climate/tas.b2nd").attrs)
    check(world.client.get("climate")["tas.b2nd"].attrs)
    check(dict(world.client.get("climate").items())["tas.b2nd"].attrs)
    assert dict(world.client.get("climate/plain.b2nd").attrs) == {}


def test_dimensions_have_names(world: Stack) -> None:
    client = world.client
    assert client.get("climate/tas.b2nd").dims == (None, "lat")
    assert client.get("climate/plain.b2nd").dims == ()
    assert dict(client.get("climate").items())["lat.b2nd"].dims == ("lat",)
    assert client.get_info("climate/tas.b2nd")["dims"] == [None, "lat"]
    assert client.get("frames/a.b2nd").dims == ("time",)
    assert client.get("climate/tas.b2nd").info["dims"] == "-, lat"


def test_vlmeta_is_what_it_was(world: Stack) -> None:
    vlmeta = world.client.get("climate/tas.b2nd").vlmeta
    assert vlmeta["_FillValue"] == ["nan"]
    assert vlmeta["unit"] == "\\xb0"
    assert "of" not in vlmeta


def test_json_is_strict(world: Stack) -> None:
    def refuse(name: str) -> Any:
        raise AssertionError(name)

    with world.open("api/info/climate/tas.b2nd") as answer:
        described = json.loads(answer.read(), parse_constant=refuse)
    assert described["attrs"]["_FillValue"] == {"dtype": "<f4", "shape": [1], "value": ["NaN"]}
    TypeAdapter(Array).validate_python(described, strict=True)


def test_array_in_the_vlmeta_of_a_frame_is_an_array(world: Stack) -> None:
    attrs = world.client.get("frames/a.b2nd").attrs
    np.testing.assert_array_equal(attrs["range"], np.array([0.5, np.nan], ">f4"))
    assert attrs["range"].dtype == ">f4"
    assert attrs["note"] == {"by": "me", "at": [1, None]}


def test_metalayers_are_in_descriptions_and_downloads_and_in_what_is_published_of_these(
    world: Stack, tmp_path: Path
) -> None:
    found = world.client.get("frames/a.b2nd")
    assert dict(found.metalayers) == META
    assert found[:].tolist() == [0, 1, 2]  # the replica is complete, and sealed
    world.client.download("frames/a.b2nd", tmp_path / "got.b2nd")
    opened = blosc2.open(str(tmp_path / "got.b2nd"), mode="r")
    assert {name: opened.schunk.meta[name] for name in META} == META
    with (tmp_path / "got.b2nd").open("rb") as file:
        again = describe(file.fileno(), "got.b2nd", "array")
    assert again.metalayers.keys() == META.keys()


def test_attributes_of_the_asynchronous_client(world: Stack) -> None:

    async def run() -> Any:
        async with caterva2.AsyncClient(world.url) as client:
            return (await client.get("climate/tas.b2nd")).attrs

    check(asyncio.run(run()))


def test_attributes_are_there_without_the_publisher_and_after_a_restart(
    world: Stack, tmp_path: Path
) -> None:
    write(tmp_path / "climate.nc")
    client = world.publish("again", tmp_path / "climate.nc")
    client.fetch("again/tas.b2nd")
    world.stop("pub-again")
    world.stop("sub")
    world.start_subscriber()
    check(world.client.get("again/tas.b2nd").attrs)
    assert world.client.get("again/tas.b2nd").dims == (None, "lat")
