"""python-blosc2's own client of this REST interface works against ours unchanged."""

from __future__ import annotations

import blosc2
import numpy as np
import pytest

from tests.conftest import Stack, example_root

ARRAYS = ["ds-1d.b2nd", "ds-1d-b.b2nd", "ds-1d-fields.b2nd", "dir1/ds-2d.b2nd", "dir2/ds-4d.b2nd"]


@pytest.mark.parametrize("path", ARRAYS)
def test_c2array_describes_and_slices(shared_stack: Stack, path: str) -> None:
    expected = blosc2.open(str(example_root() / path))
    remote = blosc2.C2Array(f"foo/{path}", urlbase=shared_stack.url)
    assert (remote.shape, remote.chunks, remote.blocks) == (
        expected.shape, expected.chunks, expected.blocks
    )  # fmt: skip
    if path != "ds-1d-fields.b2nd":  # C2Array itself can't parse a structured dtype
        assert remote.dtype == expected.dtype
    np.testing.assert_array_equal(remote[:], expected[:])
    np.testing.assert_array_equal(remote[1:2], expected[1:2])


def test_c2array_gets_raw_chunks(shared_stack: Stack) -> None:
    expected = blosc2.open(str(example_root() / "ds-1d.b2nd"))
    remote = blosc2.C2Array("foo/ds-1d.b2nd", urlbase=shared_stack.url)
    assert remote.get_chunk(4) == expected.schunk.get_chunk(4)


def test_c2array_is_an_operand_of_an_expression(shared_stack: Stack) -> None:
    remote = blosc2.C2Array("foo/ds-1d.b2nd", urlbase=shared_stack.url)
    np.testing.assert_array_equal((remote + 1)[:10], np.arange(1, 11))


def test_unknown_dataset_is_a_missing_file(shared_stack: Stack) -> None:
    with pytest.raises(FileNotFoundError):
        blosc2.C2Array("foo/nope.b2nd", urlbase=shared_stack.url)
