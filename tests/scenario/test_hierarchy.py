"""Roots and directories as mappings: levels, trees, searches, tables and downloads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import blosc2
import h5py
import numpy as np
import pytest

import caterva2
from caterva2.client.display import human
from caterva2.client.objects.group import Unreadable
from caterva2.limits import ClientLimits
from tests.conftest import Stack, eventually
from tests.memorytransport import CountingTransport

WIDE = np.arange(6000.0).reshape(60, 100)


def save(path: Path, values: Any, **attrs: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    made = blosc2.asarray(np.asarray(values), urlpath=str(path), mode="w")
    for name, value in attrs.items():
        made.schunk.vlmeta[name] = value


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    source = tmp_path_factory.mktemp("hierarchy")
    save(source / "data/air/t.b2nd", WIDE, units="K")
    save(source / "data/air/deep/t2.b2nd", np.arange(3, dtype="i4"), units="m")
    save(source / "data/<b>.b2nd", np.arange(4, dtype="i4"))
    (source / "data/air/notes.txt").write_text("some text")
    (source / "data/air/bad.b2nd").write_bytes(b"no frame")
    with h5py.File(source / "data/file.h5", "w") as file:
        file["inner/x"] = np.arange(5)
    stack = Stack(source)
    try:
        stack.start(data=source / "data")
        yield stack
    finally:
        stack.stop_all()


def counted(stack: Stack) -> tuple[caterva2.Client, list[str]]:
    transport = CountingTransport(stack.client.transport)
    return caterva2.Client.over(transport), transport.paths


def directory(found: object) -> caterva2.Group:
    assert isinstance(found, caterva2.Group)
    return found


def test_path_is_opened_step_by_step_or_at_once(world: Stack) -> None:
    client = world.client
    for found in (
        client["data"]["air"]["t.b2nd"],
        client["data/air/t.b2nd"],
        directory(client["data/air/"])["t.b2nd"],
        client["data"]["air/t.b2nd"],
    ):
        assert isinstance(found, caterva2.Dataset)
        assert found[3, 7] == 307
    assert isinstance(client["data"], caterva2.Root)
    assert "data" in client
    assert "nope" not in client
    assert "data" in list(client)


def test_directory_is_a_mapping_of_one_level(world: Stack) -> None:
    client, paths = counted(world)
    air = directory(client["data/air"])
    paths.clear()
    assert list(air) == list(air.keys()) == ["bad.b2nd", "deep", "notes.txt", "t.b2nd"]
    assert len(air) == 4
    assert "deep" in air
    assert "deep/t2.b2nd" in air
    for absent in ("nope", "dee", "", 7, "deep/"):
        assert absent not in air
    assert set(paths) == {"api/list/data/air"}
    assert air == client["data/air"] != client["data/air/deep"]
    assert len({air, client["data/air"]}) == 1


def test_level_is_opened_in_few_requests(world: Stack) -> None:
    client, paths = counted(world)
    air = directory(client["data/air"])
    paths.clear()
    opened = dict(air.items())
    assert paths == ["api/list/data/air", "api/members/data/air"]
    assert {name: type(found) for name, found in opened.items()} == {
        "bad.b2nd": Unreadable, "deep": caterva2.Group, "notes.txt": caterva2.File,
        "t.b2nd": caterva2.Dataset,
    }  # fmt: skip
    assert list(directory(opened["deep"])) == ["t2.b2nd"]
    assert directory(opened["deep"]).meta["nfiles"] == 1
    assert [type(found) for found in air.values()] == [type(one) for one in opened.values()]


def test_levels_of_many_files_are_described_page_by_page(stack: Stack, tmp_path: Path) -> None:
    for name in ("a/1", "a/2", "a/3", "b", "c/1", "d", "e"):
        path = tmp_path / "r" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    stack.configure("[limits.web]\nmembers = 2\n")
    stack.start(r=tmp_path / "r")
    client, paths = counted(stack)
    root = client["r"]
    assert isinstance(root, caterva2.Root)
    paths.clear()
    names = [name for name, _ in directory_of(root).items()]
    assert names == ["a", "b.txt", "c", "d.txt", "e.txt"]
    # a/ is skipped; d begins the second page, since c/1 follows b on the first one.
    assert paths == ["api/list/r"] + ["api/members/r"] * 2
    assert len(root.find(name="*")) == 7
    assert [found.name for found in root.find(name="a*", limit=2)] == ["a/1.txt", "a/2.txt"]
    assert str(root.tree(2)).splitlines()[-1] == "..."


def directory_of(root: caterva2.Root) -> caterva2.Group:
    """A root as a mapping of one level."""
    return caterva2.Group(root._client, root.name)


@pytest.mark.parametrize("path", ["nope", "", "/", "../x", "deep/nope", 7])
def test_what_is_not_there_is_a_key_error(world: Stack, path: Any) -> None:
    with pytest.raises((KeyError, caterva2.HttpError)):
        directory(world.client["data/air"])[path]


def test_tree_shows_levels_shapes_and_types(world: Stack) -> None:
    tree = world.client["data"].tree()
    assert str(tree).splitlines() == [
        "data",
        "├── <b>.b2nd (4,) int32",
        "├── air",
        "│   ├── bad.b2nd (unreadable)",
        "│   ├── deep",
        "│   │   └── t2.b2nd (3,) int32",
        "│   ├── notes.txt 9 B",
        "│   └── t.b2nd (60, 100) float64",
        f"└── file.h5 {human(world.client['data/file.h5'].nbytes)}",
        "    └── inner",
        "        └── x.b2nd (5,) int64",
    ]
    shown = tree._repr_html_()
    assert "&lt;b&gt;.b2nd" in shown
    assert "<b>.b2nd" not in shown
    assert shown.count("<ul>") == shown.count("</ul>") == 5
    with pytest.raises(caterva2.BadRequest, match="limit is 0"):
        world.client["data"].tree(0)


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({}, ["<b>.b2nd", "air/deep/t2.b2nd", "air/notes.txt", "air/t.b2nd", "file.h5",
              "file.h5/inner/x.b2nd"]),
        ({"dtype": "i4"}, ["<b>.b2nd", "air/deep/t2.b2nd"]),
        ({"dtype": np.float64, "ndim": 2}, ["air/t.b2nd"]),
        ({"shape": (None, 100)}, ["air/t.b2nd"]),
        ({"shape": 5}, ["file.h5/inner/x.b2nd"]),
        ({"shape": (None,), "name": "air/*"}, ["air/deep/t2.b2nd"]),
        ({"name": "*.TXT"}, []),
        ({"attr": "units"}, ["air/deep/t2.b2nd", "air/t.b2nd"]),
        ({"attr": {"units": "K"}}, ["air/t.b2nd"]),
        ({"attr": {"units": "K", "other": 1}}, []),
        ({"limit": 1}, ["<b>.b2nd"]),
    ],
    ids=str,
)  # fmt: skip
def test_datasets_are_found(world: Stack, criteria: dict[str, Any], expected: list[str]) -> None:
    client, paths = counted(world)
    root = client["data"]
    paths.clear()
    assert [found.name for found in root.find(**criteria)] == expected
    assert paths == ["api/members/data"]


@pytest.mark.parametrize(
    "criteria", [{"dtype": "nope"}, {"shape": ("x",)}, {"name": 1}, {"attr": 1}, {"limit": 0}]
)
def test_search_of_a_wrong_type_is_refused(world: Stack, criteria: dict[str, Any]) -> None:
    with pytest.raises(caterva2.BadRequest):
        world.client["data"].find(**criteria)


def test_notebooks_show_tables_and_complete_keys(world: Stack) -> None:
    client = world.client
    shown = client["data"]["air"]._repr_html_()
    for part in ("deep/", "1 files", "(60, 100)", "float64", "unreadable"):
        assert part in shown
    assert "&lt;b&gt;.b2nd" in client["data"]._repr_html_()
    assert "<td style='text-align:left'>data</td>" in client._repr_html_()
    assert client._ipython_key_completions_() == ["@public", "data"]
    assert directory(client["data/air"])._ipython_key_completions_() == [
        "bad.b2nd", "deep", "notes.txt", "t.b2nd", "deep/t2.b2nd"
    ]  # fmt: skip
    assert "air" in client["data"]._ipython_key_completions_()


def test_notebooks_show_the_error_of_an_unreachable_subscriber() -> None:
    client = caterva2.Client("http://127.0.0.1:1")
    assert "can&#x27;t be reached" in client._repr_html_()
    assert "can&#x27;t be reached" in caterva2.Group(client, "a/b")._repr_html_()
    assert client._ipython_key_completions_() == []
    assert caterva2.Group(client, "a/b")._ipython_key_completions_() == []


def test_directory_is_downloaded(world: Stack, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    client = world.client
    target = directory(client["data/air/deep"]).download(tmp_path / "to", lambda *p: seen.append(p))
    assert target == tmp_path / "to"
    assert blosc2.open(str(target / "t2.b2nd"))[:].tolist() == [0, 1, 2]
    assert seen == [(1, 1)]
    with pytest.raises(caterva2.CatervaError):  # of bad.b2nd
        directory(client["data/air"]).download(tmp_path / "all")
    client["data"].find(name="file.h5")[0].download(tmp_path / "file.h5")
    with h5py.File(tmp_path / "file.h5") as file:
        assert file["inner/x"][:].tolist() == list(range(5))


def test_datasets_in_a_file_are_downloaded_within_it(world: Stack, tmp_path: Path) -> None:
    (tmp_path / "within").mkdir()
    with h5py.File(tmp_path / "within/file.h5", "w") as file:
        file["x"] = 1
    world.publish("within", tmp_path / "within").get("within").download(tmp_path / "to")
    assert [path.name for path in (tmp_path / "to").rglob("*")] == ["file.h5"]
    assert world.client.get("within").prefetch()["datasets"] == 1


@pytest.mark.parametrize(
    "key", [np.s_[5:20, ::3], np.s_[7], np.s_[[1, 50, 1]], np.s_[0:0], np.s_[3, 4], np.s_[None, 1]]
)
def test_part_of_a_dataset_is_saved(world: Stack, tmp_path: Path, key: Any) -> None:
    dataset = world.client["data/air/t.b2nd"]
    assert dataset.download(tmp_path, key=key) == tmp_path / "t.b2nd"
    found = blosc2.open(str(tmp_path / "t.b2nd"))
    np.testing.assert_array_equal(found[()], WIDE[key])
    assert [path.name for path in tmp_path.iterdir()] == ["t.b2nd"]


def test_large_part_is_saved_in_pieces(world: Stack, tmp_path: Path) -> None:
    transport = CountingTransport(world.client.transport, ClientLimits(window=8 * 700))
    client = caterva2.Client.over(transport)
    target = client.download("data/air/t.b2nd", tmp_path / "part.b2nd", key=np.s_[3:, 1:99])
    np.testing.assert_array_equal(blosc2.open(str(target))[:], WIDE[3:, 1:99])
    assert len(transport.paths) > 1


def test_part_needs_an_array_and_a_name(world: Stack, tmp_path: Path) -> None:
    client = world.client
    with pytest.raises(caterva2.BadRequest, match="no array"):
        client.download("data/air/notes.txt", tmp_path, key=np.s_[:3])
    with pytest.raises(caterva2.BadRequest, match="local name"):
        client.download("data/air/t.b2nd", key=np.s_[:3])
    with pytest.raises(IndexError):
        client.download("data/air/t.b2nd", tmp_path / "x.b2nd", key=100)
    assert list(tmp_path.iterdir()) == []


def test_part_of_a_dataset_is_prefetched(world: Stack, tmp_path: Path) -> None:
    (tmp_path / "parts/d").mkdir(parents=True)
    blosc2.asarray(np.arange(100), chunks=(10,), urlpath=str(tmp_path / "parts/d/parts.b2nd"))
    client, path = world.publish("parts", tmp_path / "parts"), "parts/d/parts.b2nd"
    dataset: Any = client[path]
    expected = ((np.s_[15:35:2], 3, 3), (np.s_[-1], 1, 4), (np.s_[5:5], 0, 4), (np.s_[...], 10, 10))
    for key, count, cached in expected:
        job = dataset.prefetch(key)
        assert (job["path"], job["nchunks"]) == (path, count)
        eventually(lambda key=key: client.get_prefetch(path, key)["state"] == "done")
        done = client.get_prefetch(path, key)
        assert (done["cached"], done["done"]) == (count, 1)
        assert client.get_info(path)["cached"]["nchunks"] == cached
    assert client.cancel_prefetch(path, np.s_[-1])["slice_"] == "-1"
    with pytest.raises(caterva2.Missing, match=r"no prefetch job for parts/d/parts\.b2nd"):
        client.get_prefetch(path)
    with pytest.raises(caterva2.HttpError, match=r"400.*is no dataset: it has no slices"):
        client.prefetch("parts/d", np.s_[:3])
    for wrong in (np.s_[100], np.s_[0, 0]):
        with pytest.raises(caterva2.HttpError, match="400"):
            client.prefetch(path, wrong)
    with pytest.raises(caterva2.BadSelection):
        client.prefetch(path, [1, 2])
    done = world.cli("prefetch", f"{path}[:12]")
    assert done.stdout == f"{path}: done, 1 of 1 datasets\n"


def test_asynchronous_directories(world: Stack, tmp_path: Path) -> None:
    async def work() -> None:
        async with caterva2.AsyncClient(world.url) as client:
            assert "data" in [name async for name in client]
            air = await client["data/air"]
            assert isinstance(air, caterva2.AsyncGroup)
            assert [name async for name in air] == await air.keys()
            assert (await (await air["t.b2nd"])[3, 7]) == 307
            opened = dict(await air.items())
            deep = opened["deep"]
            assert isinstance(deep, caterva2.AsyncGroup)
            with pytest.raises(caterva2.BadRequest, match="await refresh"):
                _ = deep.attrs
            await deep.refresh()
            assert dict(deep.attrs) == {}
            root = await client.get("data")
            assert "notes.txt" in str(await root.tree())
            assert [one.name for one in await root.find(ndim=2)] == ["air/t.b2nd"]
            assert await deep.download(tmp_path) == tmp_path
            assert (await deep.prefetch())["datasets"] == 1
            t = await root["air/t.b2nd"]
            assert await t.download(tmp_path / "p.b2nd", key=np.s_[0]) == tmp_path / "p.b2nd"

    asyncio.run(work())
    assert (tmp_path / "t2.b2nd").exists()
