"""Chunks and metadata of Zarr as HTTP: ranges, entity tags, errors, and never 404 for a chunk"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numcodecs
import numpy as np
import pytest
import xarray
from aiohttp import ClientResponseError
from hypothesis import example, given
from hypothesis import strategies as st

from tests.conftest import Stack, example_root
from tests.web.asking import ask

SHARD = "zarr/bar/a/c/0/0"
VALUES = "zarr/foo/dir1/ds-2d/c/0/0"
BLOCK = "zarr2/bar/a/1.1"
CHUNKS = pytest.mark.parametrize("target", [SHARD, VALUES, BLOCK])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    import blosc2

    directory = tmp_path_factory.mktemp("http")
    (directory / "bar").mkdir()
    values = np.random.default_rng(1).random((120, 100))
    blosc2.asarray(
        values, chunks=(60, 50), blocks=(20, 25), urlpath=str(directory / "bar" / "a.b2nd")
    )
    stack = Stack(directory)
    stack.configure('[subscriber]\ncors = ["https://viewer.example"]\n[limits.web]\nmembers = 3\n')
    try:
        stack.start(foo=example_root(), bar=directory / "bar")
        yield stack
    finally:
        stack.stop_all()


@CHUNKS
@pytest.mark.parametrize(
    ("wanted", "start", "stop"), [("0-15", 0, 16), ("10-", 10, None), ("-7", -7, None)]
)
def test_a_range_is_part_of_the_chunk(
    served: Stack, target: str, wanted: str, start: int, stop: int | None
) -> None:
    whole = ask(served, target)
    etag = whole.headers["etag"]
    part = ask(served, target, Range=f"bytes={wanted}", If_Range=etag)
    assert (whole.status, part.status) == (200, 206)
    assert part.body == whole.body[start:stop]
    assert whole.headers["etag"] == part.headers["etag"]
    assert not whole.headers["etag"].startswith("W/")


def test_ranges_of_a_shard_may_cut_its_blocks_and_its_index(served: Stack) -> None:
    whole, pinned = ask(served, SHARD).body, served.client.get_info("bar/a.b2nd")["etag"]
    place = SHARD.replace("bar", f"bar@{pinned}")
    index = 6 * 16 + 4
    for start, stop in [(5, 9), (100, len(whole) - 50), (len(whole) - index - 3, len(whole) - 2)]:
        part = ask(served, place, Range=f"bytes={start}-{stop - 1}")
        assert part.body == whole[start:stop]
    several = ask(served, place, Range=f"bytes=0-9,-{index}")
    assert several.status == 206
    assert several.headers["content-type"].startswith("multipart/byteranges")
    assert whole[-index:] in several.body


def test_metadata_of_a_group_with_several_pages_is_kept(served: Stack) -> None:
    first = ask(served, "zarr/foo/zarr.json")
    inside = first.json["consolidated_metadata"]["metadata"]
    arrays = [path for path in served.client.get_list("foo") if path.endswith(".b2nd")]
    assert [f"{name}.b2nd" for name in inside][:-2] == sorted(arrays)
    assert list(inside)[-2:] == ["dir1", "dir2"]
    assert inside["dir1/ds-2d"] == ask(served, "zarr/foo/dir1/ds-2d/zarr.json").json
    assert ask(served, "zarr/foo/zarr.json").body == first.body


def test_ranges_of_a_shard_of_no_version_are_those_of_its_index(served: Stack) -> None:
    """A client that kept the index of another version would decode them to zeros."""
    whole = ask(served, SHARD).body
    index = len(whole) - 6 * 16 - 4
    table = np.frombuffer(whole[index:-4], "<u8").reshape(-1, 2).astype(int)
    first, third = table[0].tolist(), table[2].tolist()
    right = [(0, len(whole)), (index, len(whole)), (0, first[1]), (0, sum(third)),
             (third[0], sum(third)), (third[0], index), (third[0], len(whole))]  # fmt: skip
    for start, stop in right:
        part = ask(served, SHARD, Range=f"bytes={start}-{stop - 1}")
        assert (part.status, part.body) == (206, whole[start:stop])
        for wrong in ((start + 1, stop), (start, stop - 1), (start + 1, stop - 1)):
            answer = ask(served, SHARD, Range=f"bytes={wrong[0]}-{wrong[1] - 1}")
            assert (answer.status, "open the array anew" in answer.json["detail"]) == (400, True)
    assert ask(served, SHARD, Range="bytes=3-9", User_Agent="GDAL/3.13.0").body == whole[3:10]


@CHUNKS
def test_a_version_that_is_known_is_not_sent(served: Stack, target: str) -> None:
    etag = ask(served, target).headers["etag"]
    same = ask(served, target, If_None_Match=etag)
    assert (same.status, same.body, same.headers["etag"]) == (304, b"", etag)
    assert ask(served, target, Range="bytes=0-3", If_Range=etag).status == 206
    assert ask(served, target, Range="bytes=0-3", If_Range='"other"').status == 200
    assert ask(served, target, If_Match='"other"').status == 412


@CHUNKS
def test_head_and_options(served: Stack, target: str) -> None:
    whole, head = ask(served, target), ask(served, target, "HEAD")
    assert head.headers["content-length"] == str(len(whole.body))
    assert head.headers["etag"] == whole.headers["etag"]
    assert ask(served, target, "OPTIONS").headers["allow"] == "GET, HEAD, OPTIONS"
    origin = ask(served, target, Origin="https://viewer.example")
    assert origin.headers["access-control-allow-origin"] == "https://viewer.example"


def test_a_chunk_of_version_2_is_one_block(served: Stack) -> None:
    document = json.loads(served.get("zarr2/bar/a/.zarray"))
    assert document["chunks"] == [20, 25]
    found = np.frombuffer(numcodecs.Blosc().decode(ask(served, BLOCK).body), "<f8")
    expected = served.client.get("bar/a.b2nd")[20:40, 25:50]
    np.testing.assert_array_equal(found.reshape(20, 25), expected)


@pytest.mark.parametrize(
    "target",
    ["zarr/foo/nothing/zarr.json", "zarr/foo/.zgroup", "zarr/bar/a/.zarray", "zarr/nope/zarr.json",
     "zarr2/bar/a/.zgroup", "zarr2/bar/.zarray", "zarr2/foo/nothing/.zgroup", "zarr/foo/nothing",
     "zarr/foo/README.md", "zarr/foo/README.md/zarr.json", "zarr2/bar/a/.zmetadata"],
)  # fmt: skip
def test_metadata_that_is_not_there_is_404(served: Stack, target: str) -> None:
    assert ask(served, target).status == 404


@pytest.mark.parametrize(
    ("target", "status"),
    [("zarr/bar/a/c/9/0", 400), ("zarr/bar/a/c/0", 400), ("zarr/bar/a/c", 400),
     ("zarr/bar/a/c/0/0/0", 400), ("zarr/bar/a/c/0/x", 400), ("zarr/bar/a/d/0/0", 400),
     ("zarr/bar/a/c/0/0/", 400), ("zarr/bar/a/c/-1/0", 400), ("zarr2/bar/a/6.0", 400),
     ("zarr2/bar/a/0", 400), ("zarr/bar/b/c/0/0", 410), ("zarr/nope/a/c/0/0", 410),
     ("zarr2/bar/b/0.0", 410), ("zarr/bar@nope/a/c/0/0", 410), ("zarr/bar@/a/c/0/0", 400),
     ("zarr/bar@~x/a/c/0/0", 400), ("zarr/foo/README.md/c/0", 410),
     ("zarr/bar@nope/zarr.json", 410),
     ("zarr/bar/a/c/" + "9" * 19 + "/0", 400)],
)  # fmt: skip
def test_a_chunk_that_is_not_there_is_never_404(served: Stack, target: str, status: int) -> None:
    answer = ask(served, target)
    assert (answer.status, answer.json["detail"] > "") == (status, True)


@st.composite
def keys(draw: st.DrawFn) -> str:
    part = st.one_of(
        st.integers(-2, 9).map(str), st.sampled_from(["c", "00", "", "x", "%2F", "1e3"])
    )
    parts = draw(st.lists(part, max_size=4))
    face = draw(st.sampled_from(["zarr", "zarr2"]))
    separator = draw(st.sampled_from(["/", "."]))
    name = draw(
        st.sampled_from(["bar/a", "bar/a.b2nd", "foo/ds-1d", "foo/ds-sc-attr", "foo/dir1/ds-2d"])
    )
    return f"{face}/{name}/{draw(st.sampled_from(['c/', 'c', '']))}{separator.join(parts)}"


@given(keys())
@example("zarr/foo/ds-sc-attr/c")
def test_no_key_within_an_array_is_404_or_an_internal_error(served: Stack, key: str) -> None:
    answer = ask(served, key)
    assert answer.status in (200, 400, 410), (key, answer.status)


def test_wide_groups_have_no_consolidated_metadata(stack: Stack) -> None:
    stack.configure("[limits.web]\nconsolidated = 3\n")
    stack.start(foo=example_root())
    group = json.loads(stack.get("zarr/foo/zarr.json"))
    assert "consolidated_metadata" not in group
    assert "consolidated_metadata" in json.loads(stack.get("zarr/foo/dir1/zarr.json"))
    assert ask(stack, "zarr2/foo/.zmetadata").status == 404
    warned = pytest.warns(RuntimeWarning, match="consolidated metadata")
    with (
        warned,
        pytest.raises(ClientResponseError, match="413"),
    ):  # and not a dataset without variables
        xarray.open_zarr(f"{stack.url}/zarr/foo", chunks=None)
    assert "has 10 datasets, CONSOLIDATED is 3" in ask(stack, "zarr/foo").json["detail"]
    assert ask(stack, "zarr/foo/dir1").status == 400
    for name in ("foo/README.md", "foo/nothing"):
        assert ask(stack, f"zarr/{name}").status == 404
