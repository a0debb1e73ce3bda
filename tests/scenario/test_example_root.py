"""The example root, read through a publisher, a broker and a subscriber."""

from __future__ import annotations

import filecmp
import json
from pathlib import Path

import blosc2
import numpy as np
import pytest

import caterva2
from caterva2.examples import exampleroot
from tests.conftest import Stack, example_root
from tests.terminal import at_terminal

ARRAYS = sorted(str(path.relative_to(example_root())) for path in example_root().rglob("*.b2nd"))
KEYS = [(), ..., 0, -1, slice(1, 2), (slice(None), -1), slice(None, None, 2), slice(None, None, -1)]


def test_example_root_is_made_byte_for_byte(tmp_path: Path) -> None:
    names = [str(path.relative_to(tmp_path)) for path in exampleroot.make(tmp_path)]
    _, differing, errors = filecmp.cmpfiles(tmp_path, example_root(), names, shallow=False)
    assert (differing, errors) == ([], [])


@pytest.mark.parametrize("path", ARRAYS)
def test_whole_array_equals_the_original(shared_stack: Stack, path: str) -> None:
    expected = blosc2.open(str(example_root() / path))[()]
    fetched = shared_stack.client.fetch(f"foo/{path}")
    assert fetched.dtype == expected.dtype
    np.testing.assert_array_equal(fetched, expected)


@pytest.mark.parametrize("path", ARRAYS)
def test_slices_equal_numpys(shared_stack: Stack, path: str) -> None:
    expected = blosc2.open(str(example_root() / path))[()]
    dataset = shared_stack.client.get(f"foo/{path}")
    for key in KEYS:
        if len(key if isinstance(key, tuple) else (key,)) > expected.ndim and key is not ...:
            continue
        np.testing.assert_array_equal(dataset[key], expected[key], err_msg=str(key))


def test_dataset_tells_its_geometry_and_attributes(shared_stack: Stack) -> None:
    client = shared_stack.client
    array = client.get("foo/dir2/ds-4d.b2nd")
    assert isinstance(array, caterva2.Dataset)
    assert (array.shape, array.chunks, array.blocks) == ((2, 3, 4, 5), (1, 2, 3, 4), (1, 2, 2, 2))
    assert array.dtype == np.complex128
    assert client.get("foo/ds-sc-attr.b2nd").vlmeta == {"a": 1, "b": "foo", "c": 123.456}


def test_frame_slices_as_bytes(shared_stack: Stack) -> None:
    frame = shared_stack.client.get("foo/ds-hello.b2frame")
    expected = b"Hello world!" * 100
    assert frame[:12] == b"Hello world!"
    assert frame[95:205] == expected[95:205]
    assert frame[()] == expected
    assert frame[-1:] == b"!"
    assert frame[5] == expected[5:6]
    assert frame[7:7] == b""


def test_plain_file_reads_and_downloads_as_it_is(shared_stack: Stack, tmp_path: Path) -> None:
    original = (example_root() / "README.md").read_bytes()
    file = shared_stack.client.get("foo/README.md")
    assert file[()] == original
    assert file.download(tmp_path / "copy.md").read_bytes() == original


def test_downloaded_array_opens_as_a_plain_file(shared_stack: Stack, tmp_path: Path) -> None:
    path = shared_stack.client.download("foo/ds-sc-attr.b2nd", tmp_path / "sc.b2nd")
    array = blosc2.open(str(path))
    assert array[()] == "foobar"
    assert array.schunk.vlmeta.getall() == {"a": 1, "b": "foo", "c": 123.456}


def test_root_is_a_mapping_of_its_files(shared_stack: Stack) -> None:
    root = shared_stack.client.get("foo")
    assert isinstance(root, caterva2.Root)
    assert len(root) == 10
    assert "dir1/ds-2d.b2nd" in root
    assert root["dir1/ds-2d.b2nd"][9, 19] == 199


def test_raw_chunk_is_the_stored_one(shared_stack: Stack) -> None:
    array = blosc2.open(str(example_root() / "ds-1d.b2nd"))
    stored = array.schunk.get_chunk(3)
    assert shared_stack.client.get_chunk("foo/ds-1d.b2nd", 3) == stored


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (["subscribe", "foo"], "Ok"),
        (["show", "foo/ds-hello.b2frame[:12]"], "Hello world!"),
        (
            ["show", "foo/dir2/ds-4d.b2nd[1,2,3]"],
            "[115.+115.j 116.+116.j 117.+117.j 118.+118.j 119.+119.j]",
        ),
        (["show", "foo/dir1/ds-2d.b2nd[0, :3]", "--json"], "[0, 1, 2]"),
        (["list", "foo/dir1"], "foo/dir1/ds-2d.b2nd\nfoo/dir1/ds-3d.b2nd"),
        (["ls", "foo/README.md"], "foo/README.md"),
        (["tree", "foo/dir1"], "foo/dir1\n├── ds-2d.b2nd\n└── ds-3d.b2nd"),
        (["roots"], "@public *\nfoo *"),
    ],
)
def test_command_prints(shared_stack: Stack, arguments: list[str], output: str) -> None:
    done = shared_stack.cli(*arguments)
    assert (done.stdout.strip(), done.stderr, done.returncode) == (output, "", 0)


def test_download_command_saves_below_the_current_directory(
    shared_stack: Stack, tmp_path: Path
) -> None:
    done = shared_stack.cli("download", "foo/dir2/ds-4d.b2nd", cwd=tmp_path)
    assert done.stdout == "Dataset saved to foo/dir2/ds-4d.b2nd\n"
    assert blosc2.open(str(tmp_path / "foo/dir2/ds-4d.b2nd"))[1, 2, 3, 4] == 119 + 119j
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["ds-4d.b2nd"]


def test_download_shows_its_progress_on_a_terminal(shared_stack: Stack, tmp_path: Path) -> None:
    given = "--subscriber", shared_stack.url, "download", "foo/README.md", str(tmp_path / "r")
    code, shown = at_terminal("cat2cli", *given)
    assert (code, "Dataset saved to " in shown) == (0, True)
    progress = shown.partition("Dataset saved to ")[0]
    assert "foo/README.md" in progress
    assert "bytes" in progress


def test_info_command_speaks_json(shared_stack: Stack) -> None:
    info = json.loads(shared_stack.cli("info", "foo/dir1/ds-3d.b2nd", "--json").stdout)
    assert info["shape"] == [3, 4, 5]
    assert info["schunk"]["cparams"]["typesize"] == 4


def test_url_command_prints_what_a_browser_can_get(shared_stack: Stack) -> None:
    url = shared_stack.cli("url", "foo/README.md").stdout.strip()
    assert url == f"{shared_stack.url}/api/download/foo/README.md"
