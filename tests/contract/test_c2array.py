"""python-blosc2's client of the REST interface works with this server unchanged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest

from tests.conftest import Stack, eventually, example_root

ARRAYS = sorted(
    path.relative_to(example_root()).as_posix() for path in example_root().rglob("*.b2nd")
)
STRUCTURED = {"ds-1d-fields.b2nd", "ds-2d-fields.b2nd"}
"""C2Array can't parse the dtype of these itself, which the contract fixes as numpy's list."""
PLAIN = [path for path in ARRAYS if path not in STRUCTURED]


def local(path: str) -> blosc2.NDArray:
    return blosc2.open(str(example_root() / path))


def remote(stack: Stack, path: str) -> blosc2.C2Array:
    return blosc2.C2Array(f"foo/{path}", urlbase=stack.url)


@pytest.mark.parametrize("path", ARRAYS)
def test_c2array_describes_and_slices(shared_stack: Stack, path: str) -> None:
    expected, found = local(path), remote(shared_stack, path)
    assert (found.shape, found.chunks, found.blocks) == (
        expected.shape, expected.chunks, expected.blocks
    )  # fmt: skip
    if path in STRUCTURED:
        return
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found[()], expected[()])
    if expected.ndim:
        np.testing.assert_array_equal(found[1:2], expected[1:2])
        np.testing.assert_array_equal(found[..., -1], expected[..., -1])


def test_c2array_has_attributes_and_sizes(shared_stack: Stack) -> None:
    expected, found = local("ds-sc-attr.b2nd"), remote(shared_stack, "ds-sc-attr.b2nd")
    assert dict(found.vlmeta) == dict(expected.vlmeta[:])
    assert (found.nbytes, found.cparams.codec) == (expected.schunk.nbytes, expected.cparams.codec)
    assert "C2Array" in str(found.info)


@pytest.mark.parametrize(
    "key",
    [
        [3, 1, 4],
        np.array([0, -1, 9]),
        (slice(2, 5), [0, 19, 3]),
        ([1, 2, 3], [4, 5, 6]),
        (np.array([[1], [2]]), np.array([[0, 5]])),
        (np.arange(10) % 3 == 0, slice(None)),
    ],
    ids=str,
)
def test_c2array_takes_index_arrays(shared_stack: Stack, key: Any) -> None:
    expected = local("dir1/ds-2d.b2nd")[()]
    np.testing.assert_array_equal(remote(shared_stack, "dir1/ds-2d.b2nd")[key], expected[key])


def test_c2array_takes_index_arrays_too_long_for_a_url(shared_stack: Stack) -> None:
    key = np.random.default_rng(0).integers(0, 1000, 5000)
    np.testing.assert_array_equal(remote(shared_stack, "ds-1d.b2nd")[key], key)


@pytest.mark.parametrize("path", PLAIN)
def test_c2array_gets_raw_chunks(shared_stack: Stack, path: str) -> None:
    expected, found = local(path), remote(shared_stack, path)
    for n in range(expected.schunk.nchunks):
        assert blosc2.decompress2(found.get_chunk(n)) == expected.schunk.decompress_chunk(n)


def test_c2array_is_an_operand_of_an_expression(shared_stack: Stack) -> None:
    ones = blosc2.ones((10, 20), dtype="u2")
    found = remote(shared_stack, "dir1/ds-2d.b2nd")
    expected = local("dir1/ds-2d.b2nd")[()]
    np.testing.assert_array_equal((found + ones).compute()[()], expected + 1)
    np.testing.assert_array_equal((found * 2)[3:5], expected[3:5] * 2)


def test_c2array_is_saved_as_an_array_of_its_own(shared_stack: Stack, tmp_path: Path) -> None:
    remote(shared_stack, "dir1/ds-3d.b2nd").slice((slice(1, 3),)).save(str(tmp_path / "a.b2nd"))
    saved = blosc2.open(str(tmp_path / "a.b2nd"))
    np.testing.assert_array_equal(saved[()], local("dir1/ds-3d.b2nd")[1:3])


def test_url_path_opens(shared_stack: Stack) -> None:
    where = blosc2.URLPath("foo/dir1/ds-2d.b2nd", shared_stack.url)
    expected = local("dir1/ds-2d.b2nd")[()]
    np.testing.assert_array_equal(blosc2.open(where, mode="r")[2:4], expected[2:4])
    lazy = blosc2.open(where, mode="r", lazy=True)
    np.testing.assert_array_equal(lazy[2:4], expected[2:4])


def test_proxy_reads_blocks_by_ranges(stack: Stack, tmp_path: Path) -> None:
    """The chunks are so large that blocks of them are worth a request."""
    values = np.random.default_rng(0).random((2, 1_000_000))
    (tmp_path / "big").mkdir()
    grid = {"chunks": (1, 1_000_000), "blocks": (1, 20_000)}
    blosc2.asarray(values, **grid, urlpath=str(tmp_path / "big" / "a.b2nd"))
    client = stack.start(big=tmp_path / "big")
    array = blosc2.C2Array("big/a.b2nd", urlbase=stack.url)
    eventually(lambda: len(client.fetch("big/a.b2nd")) == 2)
    assert array.serves_blocks
    proxy = blosc2.Proxy(array)
    np.testing.assert_array_equal(proxy[1, 500_000:500_010], values[1, 500_000:500_010])
    held = proxy._cache.schunk.cbytes
    assert held < array.cbytes / 20  # some blocks came, not the chunk
    np.testing.assert_array_equal(proxy[()], values)


def test_unknown_dataset_is_a_missing_file(shared_stack: Stack) -> None:
    with pytest.raises(FileNotFoundError):
        blosc2.C2Array("foo/nope.b2nd", urlbase=shared_stack.url)
