"""Attributes of directories, roots and groups of HDF5 files, which are no datasets."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import blosc2
import h5py
import numpy as np
import pytest

import caterva2
from caterva2.frames import metadata
from tests.conftest import Stack, eventually, run
from tests.web.asking import ask

FILES = ["g/deep/y.b2nd", "g/x.b2nd", "plain/z.b2nd"]


def write(path: Path, title: str = "Temperature") -> None:
    """Write a file beside its place, with attributes of some groups, and move it there."""
    new = path.with_suffix(".new")
    with h5py.File(new, "w") as file:
        file["g/x"], file["g/deep/y"], file["plain/z"] = np.arange(3), 1, 2
        file.attrs["title"] = title
        file["g"].attrs["missing"] = np.array([np.nan], "f4")
        file["g/deep"].attrs["NX_class"] = "NXdata"
    os.replace(new, path)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("groups")
    write(directory / "a.h5")
    assert run("cat2import", "a.h5", "imported", cwd=directory).returncode == 0
    stack = Stack(directory)
    try:
        stack.start(file=directory / "a.h5", imported=directory / "imported")
        yield stack
    finally:
        stack.stop_all()


def attrs(client: caterva2.Client, path: str) -> dict[str, Any]:
    found = client.get(path)
    assert isinstance(found, caterva2.Root | caterva2.Group)
    return dict(found.attrs)


@pytest.mark.parametrize("root", ["file", "imported"])
def test_root_and_directories_have_attributes(world: Stack, root: str) -> None:
    client = world.client
    assert attrs(client, root) == {"title": "Temperature"}
    assert attrs(client, f"{root}/g/deep") == {"NX_class": "NXdata"}
    assert attrs(client, f"{root}/plain") == {}
    np.testing.assert_array_equal(attrs(client, f"{root}/g")["missing"], [np.nan])


def test_attribute_of_a_group_has_its_type(world: Stack) -> None:
    found = attrs(world.client, "file/g")["missing"]
    assert (found.dtype, found.shape) == (np.dtype("f4"), (1,))


@pytest.mark.parametrize("root", ["file", "imported"])
def test_groups_are_not_among_the_datasets(world: Stack, root: str) -> None:
    client = world.client
    assert client.get_list(root) == FILES
    assert list(client.get_members(root)) == FILES
    assert client.get_info(root)["nfiles"] == 3
    assert client.get_info(f"{root}/g")["nfiles"] == 2
    job = client.prefetch(root)
    assert job["datasets"] == 3


@pytest.mark.parametrize("call", ["info", "fetch", "download", "chunk"])
@pytest.mark.parametrize("path", ["file/.group", "file/g/.group", "imported/g/.hdf5-attributes"])
def test_description_of_a_group_is_no_dataset(world: Stack, path: str, call: str) -> None:
    query = "?nchunk=0" if call == "chunk" else ""
    assert ask(world, f"api/{call}/{path}{query}").status == 404


def test_cli_shows_attributes_of_a_group(world: Stack) -> None:
    assert "'NXdata'" in world.cli("info", "file/g/deep").stdout


def test_asynchronous_groups(world: Stack) -> None:
    async def work() -> None:
        async with caterva2.AsyncClient(world.url) as client:
            group = await client.get("file/g")
            assert isinstance(group, caterva2.AsyncGroup)
            assert await group.list() == ["deep/y.b2nd", "x.b2nd"]
            assert list(group.attrs) == ["missing"]
            root = await client.get("file")
            assert isinstance(root, caterva2.AsyncRoot)
            assert dict(await root.attrs()) == {"title": "Temperature"}

    asyncio.run(work())


def test_changed_attributes_of_a_file_are_seen(world: Stack, tmp_path: Path) -> None:
    write(tmp_path / "a.h5")
    client = world.publish("changed", tmp_path / "a.h5")
    assert attrs(client, "changed") == {"title": "Temperature"}
    write(tmp_path / "a.h5", "Pressure")
    eventually(lambda: attrs(client, "changed") == {"title": "Pressure"})


def test_attributes_of_directories_come_and_go(world: Stack, tmp_path: Path) -> None:
    source = tmp_path / "data"
    (source / "d").mkdir(parents=True)
    blosc2.asarray(np.arange(3), urlpath=str(source / "d/x.b2nd"), mode="w")
    client = world.publish("come", source)
    assert attrs(client, "come/d") == {}
    file = source / "d" / ".hdf5-attributes"
    for value in (1, 2):
        packed = metadata.encode({"values": {"a": metadata.encode(value)}, "types": {}})
        file.with_suffix(".new").write_bytes(packed)
        file.with_suffix(".new").rename(file)
        eventually(lambda value=value: attrs(client, "come/d") == {"a": value})
    file.unlink()
    eventually(lambda: attrs(client, "come/d") == {})
    file.write_bytes(b"garbage")
    eventually(lambda: ask(world, "api/info/come/d").status == 502)
    assert client.get_list("come") == ["d/x.b2nd"]


def test_attributes_of_groups_are_there_without_the_publisher_and_after_a_restart(
    world: Stack, tmp_path: Path
) -> None:
    write(tmp_path / "a.h5")
    client = world.publish("again", tmp_path / "a.h5")
    before = {path: attrs(client, path) for path in ("again", "again/g/deep")}
    world.stop("pub-again")
    world.stop("sub")
    world.start_subscriber()
    assert {path: attrs(world.client, path) for path in before} == before
    unknown = world.client.get("again/g")
    with pytest.raises(caterva2.CatervaError, match="again/g: its attributes can't be fetched now"):
        _ = unknown.attrs
    assert unknown.meta["nfiles"] == 2


def test_prefetched_root_has_the_attributes_of_its_groups_without_the_publisher(
    world: Stack, tmp_path: Path
) -> None:
    write(tmp_path / "a.h5")
    client = world.publish("prefetched", tmp_path / "a.h5")
    client.prefetch("prefetched/g/deep")
    eventually(lambda: client.get_prefetch("prefetched/g/deep")["state"] == "done")
    world.stop("pub-prefetched")
    world.stop("sub")
    world.start_subscriber()
    assert attrs(world.client, "prefetched/g/deep") == {"NX_class": "NXdata"}
    assert attrs(world.client, "prefetched") == {"title": "Temperature"}


def test_file_in_a_directory_has_the_attributes_of_its_root_group(
    world: Stack, tmp_path: Path
) -> None:
    source = tmp_path / "files"
    source.mkdir()
    write(source / "a.nc")
    (source / "plain.txt").write_text("text")
    client = world.publish("files", source)
    assert client.get("files/a.nc").attrs["title"] == "Temperature"
    info = client.get_info("files/a.nc")
    assert info.pop("nfiles") == 3
    assert client.get_members("files")["a.nc"] | {"cached": None} == info | {"cached": None}
    assert attrs(client, "files/a.nc/g/deep") == {"NX_class": "NXdata"}
    assert dict(client.get("files/plain.txt").attrs) == {}
    write(source / "a.nc", "Pressure")
    eventually(lambda: client.get("files/a.nc").attrs["title"] == "Pressure")
