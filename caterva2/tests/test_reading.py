"""The example root reads as its files do."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest

import caterva2
from caterva2 import Client, Dataset
from caterva2.tests.reached import Reached

ARRAYS = (
    "ds-1d.b2nd", "ds-1d-b.b2nd", "ds-1d-fields.b2nd", "ds-2d-fields.b2nd", "ds-sc-attr.b2nd",
    "dir1/ds-2d.b2nd", "dir1/ds-3d.b2nd", "dir2/ds-4d.b2nd",
)  # fmt: skip
KEYS = (..., 0, -1, slice(1, 2), (slice(None), -1), slice(None, None, 2), slice(None, None, -1))


def _opened(client: Client, path: str) -> Dataset:
    dataset = client.get(path)
    assert isinstance(dataset, Dataset)
    return dataset


def _original(path: Path) -> Any:
    return blosc2.open(str(path))[()]


def test_roots_are_listed(client: Client, root: str) -> None:
    assert client.get_roots()[root]["subscribed"]


def test_files_are_listed(client: Client, root: str) -> None:
    assert {*ARRAYS, "README.md", "ds-hello.b2frame"} <= set(client.get_list(root))
    assert client.get_list(f"{root}/dir1") == ["ds-2d.b2nd", "ds-3d.b2nd"]


def test_directories_are_walked(client: Client, root: str) -> None:
    opened = client[root]
    assert isinstance(opened, caterva2.Root)
    assert "dir2/ds-4d.b2nd" in opened
    assert set(client[f"{root}/dir1"]) == {"ds-2d.b2nd", "ds-3d.b2nd"}


@pytest.mark.parametrize("path", ARRAYS)
def test_info_is_that_of_the_file(client: Client, root: str, originals: Path, path: str) -> None:
    dataset, original = _opened(client, f"{root}/{path}"), blosc2.open(str(originals / path))
    assert (dataset.shape, dataset.dtype) == (original.shape, original.dtype)
    assert (dataset.chunks, dataset.blocks) == (original.chunks, original.blocks)
    assert dict(dataset.vlmeta) == original.schunk.vlmeta.getall()


@pytest.mark.parametrize("path", ARRAYS)
def test_values_equal_numpys(client: Client, root: str, originals: Path, path: str) -> None:
    dataset, expected = _opened(client, f"{root}/{path}"), _original(originals / path)
    np.testing.assert_array_equal(client.fetch(f"{root}/{path}"), expected)
    for key in KEYS:
        axes = len(key) if isinstance(key, tuple) else int(key is not ...)
        if axes <= expected.ndim:
            np.testing.assert_array_equal(dataset[key], expected[key], err_msg=str(key))


def test_lists_masks_and_fields_are_keys(client: Client, root: str, originals: Path) -> None:
    plane, records = _opened(client, f"{root}/dir1/ds-2d.b2nd"), f"{root}/ds-1d-fields.b2nd"
    values = _original(originals / "dir1/ds-2d.b2nd")
    np.testing.assert_array_equal(plane[[0, 9], ::-1], values[[0, 9], ::-1])
    np.testing.assert_array_equal(plane[values > 190], values[values > 190])
    table = _original(originals / "ds-1d-fields.b2nd")
    np.testing.assert_array_equal(_opened(client, records)["b"][5:10], table["b"][5:10])


def test_frames_and_files_read_as_bytes(client: Client, root: str, originals: Path) -> None:
    assert client.fetch(f"{root}/ds-hello.b2frame", slice(0, 12)) == b"Hello world!"
    assert client.fetch(f"{root}/README.md") == (originals / "README.md").read_bytes()


def test_stored_chunks_travel_unchanged(client: Client, root: str, originals: Path) -> None:
    array = blosc2.open(str(originals / "ds-1d.b2nd"))
    assert client.get_chunk(f"{root}/ds-1d.b2nd", 3) == array.schunk.get_chunk(3)


@pytest.mark.parametrize("path", ["dir2/ds-4d.b2nd", "ds-sc-attr.b2nd", "README.md"])
def test_downloads_equal_the_files(
    client: Client, root: str, originals: Path, tmp_path: Path, path: str
) -> None:
    saved = client.download(f"{root}/{path}", tmp_path / Path(path).name)
    if path.endswith(".b2nd"):
        np.testing.assert_array_equal(_original(saved), _original(originals / path))
    else:
        assert saved.read_bytes() == (originals / path).read_bytes()


def test_parts_are_downloaded(client: Client, root: str, tmp_path: Path) -> None:
    saved = client.download(f"{root}/ds-1d.b2nd", tmp_path / "part.b2nd", key=np.s_[10:20])
    np.testing.assert_array_equal(_original(saved), np.arange(10, 20))


def test_datasets_are_found(client: Client, root: str) -> None:
    assert client.search("ds 4d", root)["found"].keys() == {f"{root}/dir2/ds-4d.b2nd"}


def test_statistics_are_made(client: Client, root: str) -> None:
    stats = client.stats(f"{root}/ds-1d.b2nd", exact=True)
    assert (stats["min"], stats["max"], stats["mean"]) == (0, 999, 499.5)


def test_tables_are_sorted_and_filtered(client: Client, root: str) -> None:
    path, columns = f"{root}/ds-1d-fields.b2nd", ["a"]
    page = client.table(path, where="a > 990", sort="-a", count=3, fields=columns)
    assert page["rows"] == [[999], [998], [997]]


def test_expressions_are_computed(client: Client, root: str) -> None:
    values = client.compute("a + 1", {"a": f"{root}/dir1/ds-2d.b2nd"})
    np.testing.assert_array_equal(values, np.arange(1, 201).reshape(10, 20))


def test_an_event_loop_reads(subscriber: Reached) -> None:
    async def read() -> Any:
        async with caterva2.AsyncClient(subscriber.url, **subscriber.who) as made:
            dataset = await made.get(f"{subscriber.root}/dir1/ds-2d.b2nd")
            assert isinstance(dataset, caterva2.AsyncDataset)
            return await dataset[9, 19]

    assert asyncio.run(read()) == 199


def test_what_is_missing_is_said(client: Client, root: str) -> None:
    with pytest.raises(caterva2.Missing):
        client.get_info(f"{root}/nowhere.b2nd")
    with pytest.raises(caterva2.HttpError):
        client.get_list("nowhere")


def test_wrong_keys_are_refused(client: Client, root: str) -> None:
    with pytest.raises(IndexError):
        client.fetch(f"{root}/ds-1d.b2nd", 1000)
    with pytest.raises(IndexError):
        client.fetch(f"{root}/ds-1d.b2nd", (0, 0))
