"""A directory of HDF5 files, through all services: each is a file, and a group of datasets."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import caterva2
from tests.conftest import Stack, eventually
from tests.scenario import rewritten
from tests.web.places import Places


def put(path: Path, **datasets: object) -> None:
    """Write a file beside its place, then move it there."""
    new = path.with_name(f".{path.name}.new")
    with h5py.File(new, "w") as file:
        for name, values in datasets.items():
            file[name.replace("__", "/")] = values
    os.replace(new, path)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("climate")
    (made / "d").mkdir()
    put(made / "d" / "a.nc", tas=np.arange(12).reshape(3, 4), g__pr=np.linspace(0, 1, 50))
    with h5py.File(made / "d" / "a.nc", "a") as file:
        file.attrs["title"], file["g"].attrs["_FillValue"] = "A climate", np.float32(np.nan)
    (made / "d" / "a.nc-notes.txt").write_text("notes")
    return made


@pytest.fixture(scope="module")
def services(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("services"))
    stack.secret = "keeps sessions"
    try:
        Places(stack).add_users("ann")
        stack.start(foo=place)
        yield stack
    finally:
        stack.stop_all()


INSIDE = ["g/pr.b2nd", "tas.b2nd"]


def test_a_file_and_its_datasets_are_listed_side_by_side(services: Stack) -> None:
    client = services.client
    both = ["d/a.nc", "d/a.nc-notes.txt", *(f"d/a.nc/{name}" for name in INSIDE)]
    assert client.get_list("foo")[: len(both)] == both
    assert client.get_list("foo/d/a.nc") == client.get_list("foo/d/a.nc/") == INSIDE
    assert client.get_list("foo/d/a.nc/g") == ["pr.b2nd"]
    assert client.get_list("foo/d/a.nc-notes.txt") == ["a.nc-notes.txt"]
    assert set(both) <= set(client.get("foo"))
    assert services.cli("list", "foo/d/a.nc").stdout.split() == [
        f"foo/d/a.nc/{name}" for name in INSIDE
    ]
    tree = services.cli("tree", "foo/d").stdout
    assert [word for word in tree.split() if word[0].isalpha()] == [
        "foo/d", "a.nc", "g", "pr.b2nd", "tas.b2nd", "a.nc-notes.txt",
    ]  # fmt: skip


def test_members_describe_both(services: Stack) -> None:
    client = services.client
    found = client.get_members("foo/d")
    assert list(found)[:2] == ["a.nc", "a.nc-notes.txt"]
    assert found["a.nc"]["kind"] == "file"
    assert found["a.nc/tas.b2nd"]["shape"] == [3, 4]
    assert list(client.get_members("foo/d/a.nc")) == INSIDE
    opened = dict(client.get("foo").items())
    assert isinstance(opened["d/a.nc/tas.b2nd"], caterva2.Dataset)
    assert not isinstance(opened["d/a.nc"], caterva2.Dataset)


def test_both_are_read(services: Stack, place: Path, tmp_path: Path) -> None:
    client = services.client
    array, file = client.get("foo/d/a.nc/tas.b2nd"), client.get("foo/d/a.nc")
    np.testing.assert_array_equal(array[1:], np.arange(12).reshape(3, 4)[1:])
    np.testing.assert_array_equal(client.fetch("foo/d/a.nc/g/pr.b2nd"), np.linspace(0, 1, 50))
    assert isinstance(file, caterva2.File)
    assert not isinstance(file, caterva2.Dataset)
    saved = file.download(tmp_path / "a.nc")
    assert saved.read_bytes() == (place / "d" / "a.nc").read_bytes()


def test_attributes_of_the_file_and_its_groups_are_read(services: Stack) -> None:
    client = services.client
    assert client.get("foo/d/a.nc").attrs == {"title": "A climate"}
    fill = client.get("foo/d/a.nc/g").attrs["_FillValue"]
    assert np.isnan(fill)
    assert fill.dtype == np.float32
    assert client.get_members("foo/d")["a.nc"]["attrs"].keys() == {"title"}


def test_file_is_a_mapping_of_its_datasets_and_a_file(services: Stack, place: Path) -> None:
    root: Any = services.client["foo"]
    file = root["d"]["a.nc"]
    content = (place / "d" / "a.nc").read_bytes()
    assert isinstance(file, caterva2.Container)
    assert isinstance(file, caterva2.File)
    assert file == root["d/a.nc"] != root["d/a.nc/g"]
    assert list(file) == list(file.keys()) == ["g", "tas.b2nd"]
    assert (len(file), file.nbytes, file.meta["nfiles"]) == (2, len(content), 2)
    assert "g" in file
    assert "nope" not in file
    opened = dict(file.items())
    assert isinstance(opened["g"], caterva2.Group)
    assert opened["tas.b2nd"][...].tolist() == file["tas.b2nd"][...].tolist()
    assert [one.name for one in file.find(name="g/*")] == ["d/a.nc/g/pr.b2nd"]
    assert (file[:8], file[3], file.fetch()) == (content[:8], content[3:4], content)
    assert "tas.b2nd" in str(file.tree())
    for above in (root["d"].items(), [(k[2:], v) for k, v in root.items()]):
        kinds = {name: type(one).__name__ for name, one in above}
        assert (kinds["a.nc"], kinds["a.nc-notes.txt"]) == ("Container", "File")
    with pytest.raises(caterva2.Missing):
        file["nope"]

    async def awaited() -> None:
        async with caterva2.AsyncClient(services.url) as client:
            found = await client.get("foo/d/a.nc")
            assert isinstance(found, caterva2.AsyncContainer)
            assert [name async for name in found] == ["g", "tas.b2nd"]
            assert await found[:8] == content[:8]
            assert await (await found["tas.b2nd"])[...] is not None
            assert await found.list() == file.list()
            assert (await found.prefetch())["datasets"] == 3

    asyncio.run(awaited())


def test_size_of_a_directory_counts_a_file_once(services: Stack, place: Path) -> None:
    found = services.client.get_info("foo/d")
    assert found["size"] == sum(path.stat().st_size for path in (place / "d").iterdir())
    assert found["nfiles"] == 4


def test_prefetch_fetches_the_datasets_and_the_file_only_if_it_is_named(services: Stack) -> None:
    client = services.client

    def fetched(path: str) -> int:
        client.prefetch(path)
        eventually(lambda: client.get_prefetch(path)["state"] == "done")
        return int(client.get_prefetch(path)["datasets"])

    assert fetched("foo/d") == 3  # two datasets and the notes
    assert fetched("foo/d/a.nc") == 3  # two datasets and the file
    assert fetched("foo/d/a.nc/g") == 1


def test_copy_to_a_special_root_has_the_file_once(services: Stack) -> None:
    client = Places(services).client("ann")
    client.copy("foo/d", "@shared/copied")
    has = ["a.nc", "a.nc-notes.txt", "a.nc/g/pr.b2nd", "a.nc/tas.b2nd"]
    eventually(lambda: client.get_list("@shared/copied") == has)
    client.copy("foo/d/a.nc", "@shared/b.nc")
    client.copy("foo/d/a.nc/g", "@shared/group")
    assert client.get_list("@shared/group") == ["pr.b2nd"]
    eventually(lambda: client.get_list("@shared/b.nc") == ["g/pr.b2nd", "tas.b2nd"])


def test_replaced_file_has_new_datasets_soon_and_none_of_the_old(
    services: Stack, place: Path
) -> None:
    client = services.client
    put(place / "r.nc", a=np.zeros(1000), b=np.zeros(10))
    eventually(lambda: client.get_list("foo/r.nc") == ["a.b2nd", "b.b2nd"])
    assert not client.fetch("foo/r.nc/a.b2nd").any()
    put(place / "r.nc", a=np.ones(700), c=np.ones(5))
    eventually(lambda: client.get_list("foo/r.nc") == ["a.b2nd", "c.b2nd"])
    assert client.fetch("foo/r.nc/a.b2nd").tolist() == [1] * 700
    with h5py.File(place / "r.nc", "a") as file:
        file["a"][:] = 5
    eventually(lambda: (client.fetch("foo/r.nc/a.b2nd") == 5).all())
    (place / "r.nc").write_text("no HDF5 any more")
    eventually(lambda: client.get_list("foo/r.nc") == ["r.nc"])
    (place / "r.nc").unlink()
    eventually(lambda: not any(name.startswith("r.nc") for name in client.get_list("foo")))


def test_reads_of_a_file_that_is_rewritten_all_the_time_are_never_mixed(
    services: Stack, place: Path
) -> None:
    client, path = services.client, place / "w.nc"
    put(path, a=np.zeros(4_000, "i8"))
    seen = rewritten.values_seen(client, path, "foo/w.nc/a.b2nd")
    assert len(seen) >= 5


def test_one_damaged_file_is_named_and_the_others_are_served(services: Stack, place: Path) -> None:
    put(place / "bad.nc", a=np.arange(10_000))
    os.truncate(place / "bad.nc", 3000)
    put(place / "good.nc", a=np.arange(5))
    client = services.client
    eventually(lambda: client.get_list("foo/good.nc") == ["a.b2nd"])
    assert client.get_list("foo/bad.nc") == ["bad.nc"]
    assert client.fetch("foo/good.nc/a.b2nd").tolist() == [0, 1, 2, 3, 4]
    eventually(lambda: "bad.nc is served as a file only: " in services.log("pub-foo"))
    put(place / "bad.nc", a=np.arange(4))
    eventually(lambda: client.get_list("foo/bad.nc") == ["a.b2nd"])


def test_files_only(stack: Stack, place: Path) -> None:
    stack.configure('[publisher]\nhdf5 = "files"\n')
    client = stack.start(foo=place)
    assert client.get_list("foo/d") == ["a.nc", "a.nc-notes.txt"]
