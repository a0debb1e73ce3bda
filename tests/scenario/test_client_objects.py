"""Roots, files and datasets as Python objects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import blosc2
import numpy as np
import pytest

import caterva2
from caterva2.errors import BadName, StaleVersion
from caterva2.limits import ClientLimits
from tests.conftest import Stack, eventually, example_root, example_stack
from tests.memorytransport import CountingTransport


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Services of this module, whose tests publish more roots."""
    yield from example_stack(tmp_path_factory)


def dataset(stack: Stack, path: str) -> caterva2.Dataset:
    found = stack.client.get(path)
    assert isinstance(found, caterva2.Dataset)
    return found


def file(stack: Stack, path: str) -> caterva2.File:
    found = stack.client.get(path)
    assert isinstance(found, caterva2.File)
    return found


def counted(path: str, stack: Stack, **limits: int) -> tuple[Any, CountingTransport]:
    """A dataset or file, and what counts the requests that it makes."""
    transport = CountingTransport(stack.client.transport, ClientLimits(**limits))
    found = caterva2.Client.over(transport).get(path)
    transport.paths.clear()
    return found, transport


def test_root_is_a_mapping(shared_stack: Stack) -> None:
    root = shared_stack.client.get("foo")
    assert isinstance(root, caterva2.Root)
    assert (root.name, root.urlbase) == ("foo", shared_stack.url)
    assert root.file_list == list(root)
    assert len(root) == len(root.file_list)
    assert "README.md" in root
    assert "nope" not in root
    assert isinstance(root["README.md"], caterva2.File)
    assert root.get("nope") is None


@pytest.mark.parametrize("name", ["nope", "dir1/nope", "../x", ""])
def test_root_has_no_such_key(shared_stack: Stack, name: str) -> None:
    root = shared_stack.client.get("foo")
    assert isinstance(root, caterva2.Root)
    with pytest.raises((KeyError, caterva2.HttpError)):
        root[name]


def test_directory_is_a_group(shared_stack: Stack) -> None:
    group = shared_stack.client.get("foo/dir1")
    assert isinstance(group, caterva2.Group)
    assert (group.name, group.path, group.root) == ("dir1", PurePosixPath("foo/dir1"), "foo")
    assert group.list() == ["ds-2d.b2nd", "ds-3d.b2nd"]
    assert (dict(group.attrs), group.meta["nfiles"]) == ({}, 2)
    assert repr(group) == "<Group: foo/dir1>"
    with pytest.raises(BadName, match="foo/dir1 is a directory"):
        shared_stack.client.fetch("foo/dir1", [1])


def test_dataset_tells_what_numpy_arrays_tell(shared_stack: Stack) -> None:
    array = dataset(shared_stack, "foo/dir1/ds-3d.b2nd")
    assert (array.name, array.path) == ("dir1/ds-3d.b2nd", PurePosixPath("foo/dir1/ds-3d.b2nd"))
    assert (array.shape, array.ndim, array.size, len(array)) == ((3, 4, 5), 3, 60, 3)
    assert (array.dtype, array.nbytes) == (np.dtype("f4"), 240)
    assert (array.chunks, array.blocks) == ((2, 3, 4), (2, 2, 2))
    assert array.cratio == array.nbytes / array.cbytes


def test_file_tells_its_size(shared_stack: Stack) -> None:
    frame = file(shared_stack, "foo/ds-hello.b2frame")
    assert (frame.kind, len(frame), frame.nbytes) == ("frame", 1200, 1200)
    assert file(shared_stack, "foo/README.md").kind == "file"


def test_attributes_are_read_only(shared_stack: Stack) -> None:
    array = dataset(shared_stack, "foo/ds-sc-attr.b2nd")
    assert array.attrs == array.vlmeta == {"a": 1, "b": "foo", "c": 123.456}
    with pytest.raises(TypeError):
        array.vlmeta["a"] = 2  # type: ignore[index]


def test_descriptions_need_no_network(shared_stack: Stack) -> None:
    for path in ("foo/ds-1d-fields.b2nd", "foo/README.md", "foo/ds-sc-attr.b2nd"):
        found, transport = counted(path, shared_stack)
        assert path in repr(found)
        assert path in repr(found.info)
        assert path in found._repr_html_()
        assert found.info["path"] == path
        assert transport.paths == []


def test_descriptions_escape_what_comes_from_outside(shared_stack: Stack, tmp_path: Path) -> None:
    source = tmp_path / "data"
    source.mkdir()
    array = blosc2.zeros((3,), urlpath=str(source / "<b>.b2nd"))
    array.schunk.vlmeta["<script>"] = "\x1b[31m&"
    found = shared_stack.publish("escaped", source).get("escaped/<b>.b2nd")
    shown, page = repr(found.info), found._repr_html_()  # type: ignore[union-attr]
    assert "\x1b" not in shown + page
    assert "<script>" not in page
    assert "<b>.b2nd" not in page
    assert "&lt;script&gt;" in page


def test_array_of_a_dataset(shared_stack: Stack) -> None:
    array = dataset(shared_stack, "foo/dir1/ds-2d.b2nd")
    expected = np.arange(200, dtype="u2").reshape(10, 20)
    np.testing.assert_array_equal(np.asarray(array), expected)
    assert np.asarray(array, dtype="f8").dtype == np.float64
    assert np.sum(array) == expected.sum()  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="always a copy"):
        np.array(array, copy=False)


@pytest.mark.parametrize(("piece", "requests"), [(2**20, 1), (200, 2)])
def test_iteration_gives_rows_and_asks_for_each_chunk_once(
    shared_stack: Stack, piece: int, requests: int
) -> None:
    # One row of chunks has 5 * 20 * 2 bytes.
    array, transport = counted("foo/dir1/ds-2d.b2nd", shared_stack, piece=piece)
    np.testing.assert_array_equal(list(array), np.arange(200).reshape(10, 20))
    assert len(transport.paths) == requests


def test_what_has_no_first_axis_is_not_iterable(shared_stack: Stack) -> None:
    scalar = dataset(shared_stack, "foo/ds-sc-attr.b2nd")
    for work in (len, list):
        with pytest.raises(TypeError):
            work(scalar)
    with pytest.raises(TypeError, match="not iterable"):
        list(file(shared_stack, "foo/README.md"))


@pytest.mark.parametrize("key", [None, np.s_[1:, 0], np.s_[[0, 2], 1], np.s_[None, 2], np.s_[2:1]])
def test_slice_gives_a_blosc2_array(shared_stack: Stack, key: Any) -> None:
    array = dataset(shared_stack, "foo/dir1/ds-3d.b2nd")
    expected = np.arange(60, dtype="f4").reshape(3, 4, 5)[() if key is None else key]
    found = array.slice(key)
    assert isinstance(found, blosc2.NDArray)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(found[...], expected)


@pytest.mark.parametrize("key", [np.s_[5:20], np.s_[::-7], np.s_[[3, 1]], np.s_[5:5], None])
def test_slice_of_a_file_gives_its_bytes(shared_stack: Stack, key: Any) -> None:
    frame = file(shared_stack, "foo/ds-hello.b2frame")
    whole = np.frombuffer(b"Hello world!" * 100, np.uint8)
    expected = whole[() if key is None else key].tobytes()
    assert frame.fetch(key) == expected
    found = frame.slice(key)
    assert isinstance(found, blosc2.SChunk)
    assert b"".join(found.decompress_chunk(n) for n in range(found.nchunks)) == expected


def test_client_fetches_by_path_what_numpy_keys_select(shared_stack: Stack) -> None:
    client = shared_stack.client
    whole = np.arange(200, dtype="u2").reshape(10, 20)
    for key in (np.s_[3], np.s_[[1, 2], ::3], np.s_[None, ..., 1], whole > 150, np.array([4])):
        np.testing.assert_array_equal(client.fetch("foo/dir1/ds-2d.b2nd", key), whole[key])
    assert type(client.fetch("foo/ds-1d.b2nd", 7)) is np.int64
    assert client.fetch("foo/ds-1d.b2nd", (7, ...)).shape == ()
    assert client.fetch("foo/ds-1d-fields.b2nd", "a").tolist() == list(range(1000))


def test_index_array_with_a_large_result_comes_in_parts(shared_stack: Stack) -> None:
    array, transport = counted("foo/ds-1d.b2nd", shared_stack, window=1600)
    np.testing.assert_array_equal(array[np.arange(5, 805)], np.arange(5, 805))
    assert len(transport.paths) == 4
    np.testing.assert_array_equal(array.slice(slice(5, 805))[:], np.arange(5, 805))


def test_read_starts_over_on_the_version_that_it_meets(shared_stack: Stack, tmp_path: Path) -> None:
    source = tmp_path / "data"
    source.mkdir()
    blosc2.asarray(np.arange(10), urlpath=str(source / "a.b2nd"))
    array = shared_stack.publish("turning", source).get("turning/a.b2nd")
    assert isinstance(array, caterva2.Dataset)
    iterator = iter(array)
    blosc2.asarray(np.arange(30.0).reshape(3, 10), urlpath=str(source / "new"))
    (source / "new").rename(source / "a.b2nd")
    before = array.meta["etag"]
    eventually(lambda: shared_stack.client.get_info("turning/a.b2nd")["etag"] != before)
    with pytest.raises(StaleVersion):
        next(iterator)
    assert array[2, 5] == 25  # which the old version had not
    assert (array.shape, array.dtype) == ((3, 10), np.dtype("f8"))


def test_dataset_that_is_gone_is_missing(shared_stack: Stack, tmp_path: Path) -> None:
    source = tmp_path / "data"
    source.mkdir()
    (source / "stays.txt").write_text("stays")
    blosc2.asarray(np.arange(10), urlpath=str(source / "a.b2nd"))
    client = shared_stack.publish("going", source)
    array = client.get("going/a.b2nd")
    (source / "a.b2nd").unlink()
    eventually(lambda: client.get_list("going") == ["stays.txt"])
    with pytest.raises(caterva2.Missing, match="404 Not Found"):
        array[3]  # type: ignore[index]


def test_client_finds_its_subscriber_in_the_environment(
    shared_stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CATERVA2_URL", shared_stack.url)
    with caterva2.Client() as client:
        assert "foo" in client.get_roots()


def test_root_may_be_left(shared_stack: Stack) -> None:
    client = shared_stack.publish("left", example_root() / "dir1")
    assert client.unsubscribe("left") == "Ok"
    assert client.get_roots()["left"]["subscribed"] is None


def test_subscriber_on_a_unix_socket(shared_stack: Stack, tmp_path: Path) -> None:
    socket = tmp_path / "socket"
    shared_stack.spawn(
        "unix", "cat2sub", "--broker", shared_stack.broker, "--http", str(socket)
    ).ready()
    client = caterva2.Client(f"unix:{socket}")
    eventually(lambda: "foo" in client.get_roots())
    assert client.fetch("foo/ds-1d.b2nd", 7) == 7
    assert client.download("foo/README.md", tmp_path / "saved").stat().st_size


def test_roots_of_one_name_are_equal_whatever_they_hold(shared_stack: Stack) -> None:
    first, second = shared_stack.client.get("foo"), shared_stack.client.get("foo")
    assert first == second
    assert len({first, second}) == 1
    assert first != shared_stack.client.get("foo/README.md")


def test_root_is_not_downloaded(shared_stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "foo").mkdir()
    with pytest.raises(caterva2.CatervaError, match="foo is a root"):
        shared_stack.client.download("foo", tmp_path)


def test_long_name_is_downloaded(shared_stack: Stack, tmp_path: Path) -> None:
    source = tmp_path / "data"
    source.mkdir()
    name = "n" * 250 + ".txt"
    (source / name).write_text("here")
    target = tmp_path / "got"
    target.mkdir()
    assert (
        shared_stack.publish("long", source).download(f"long/{name}", target).read_text() == "here"
    )
