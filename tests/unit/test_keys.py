"""A key is what numpy takes it for, however it is cut into requests."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caterva2.arrays import selection
from caterva2.client.read import keys
from caterva2.client.read.region import Region
from caterva2.errors import BadSelection
from tests.keys import as_key
from tests.numpykeys import numpy_keys
from tests.thoroughness import examples

SHAPES = st.lists(st.integers(0, 5), max_size=4).map(tuple)


def answered(region: Region, array: np.ndarray) -> Any:
    """What a subscriber answers."""
    parameters = region.parameters()
    if "indices" in parameters:
        return array[as_key(json.loads(parameters["indices"]))]
    return array[selection.parse_key(parameters.get("slice_"))]


def remote(array: np.ndarray, key: Any, most: int) -> Any:
    """An array indexed as a remote one is, in parts of at most so many items."""
    layout = keys.layout(key, array.shape)
    if layout.is_empty:
        return np.empty(layout.shape, array.dtype)
    whole = np.full(layout.region.result_shape, -1)
    for part, where in layout.region.split(most):
        assert part.size <= most
        whole[where] = answered(part, array)
    return layout.arrange(whole)


def same(found: Any, expected: Any) -> None:
    assert (type(found), np.shape(found)) == (type(expected), np.shape(expected))
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=examples(500), derandomize=True, database=None)
@given(data=st.data(), shape=SHAPES, most=st.sampled_from([1, 3, 1000]))
def test_any_key_is_read_as_numpy_reads_it(
    data: st.DataObject, shape: tuple[int, ...], most: int
) -> None:
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    key = data.draw(numpy_keys(shape))
    try:
        expected = array[key]
    except IndexError:
        with pytest.raises(IndexError):
            remote(array, key, most)
        return
    same(remote(array, key, most), expected)


@pytest.mark.parametrize(
    "key",
    [
        np.s_[[0, 1], None, [0, 1]], np.s_[:, [0, 1], None, [0, 1]], np.s_[[0, 1], ..., [0, 1], 0],
        np.s_[[0, 1], :, [0, 1], ...],
        np.s_[:, [0, 1], ..., [0, 1]], np.s_[:, 0, True], np.s_[True, [0, 1]], np.s_[..., False],
        np.s_[None, [[0], [1]], None, [0, 1]], np.s_[0, :, [0, 1]], np.s_[[0], :, 0],
    ],
)  # fmt: skip
def test_axes_of_index_arrays_go_where_numpy_puts_them(key: Any) -> None:
    array = np.arange(24).reshape(2, 3, 4)
    same(remote(array, key, 1000), array[key])
    same(remote(array, key, 1), array[key])


def test_mesh_stays_a_mesh_when_it_is_cut() -> None:
    array = np.arange(10_000).reshape(100, 100)
    region = keys.layout(np.ix_(range(100), range(100)), array.shape).region
    assert region.points == 200
    assert all(part.points <= 200 for part, _ in region.split(1000))


@pytest.mark.parametrize("name", ["max_points", "max_block"])
def test_no_request_names_more_points_than_a_subscriber_takes(name: str) -> None:
    array = np.arange(10_000).reshape(100, 100)
    region = keys.layout(np.ix_(range(40), range(30)), array.shape).region
    parts = [part for part, _ in region.split(10_000, **{name: 50})]
    assert max(part.points if name == "max_points" else part.size for part in parts) <= 50
    assert sum(part.size for part in parts) == 1200


def test_numbers_of_any_integer_type_are_taken() -> None:
    array = np.arange(10)
    for key in (np.uint64([3]), np.int8(-1), np.array(2), np.array([], np.uint8), (np.int64(4),)):
        same(remote(array, key, 1000), array[key])


def test_an_axis_of_a_mask_may_be_empty_as_in_numpy() -> None:
    array = np.arange(15).reshape(5, 3)
    for shape in ((0,), (0, 3), (5, 0), (0, 0)):
        key = np.zeros(shape, bool)
        same(remote(array, key, 1000), array[key])
        same(remote(array, np.s_[..., key], 1000), array[..., key])
    for shape in ((0, 2), (4, 0)):
        with pytest.raises(BadSelection, match="boolean index of shape"):
            keys.layout(np.zeros(shape, bool), array.shape)


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (10, "index 10 is out of bounds for axis 0 with size 3"),
        ([0, -4], "index -4 is out of bounds for axis 0 with size 3"),
        ((0, 0, 0), "too many indices: 3 for 2 dimensions"),
        ((..., ...), r"one '\.\.\.' only"),
        ("a", "only integers, slices"),
        (1.0, "only integers, slices"),
        ([[0], [1, 2]], "an index is not an array"),
        (([0, 1], [0, 1, 2]), r"could not be broadcast together with shapes \(2,\) \(3,\)"),
        (
            np.ones((3, 3), bool),
            r"boolean index of shape \(3, 3\) does not match \(3, 4\), from axis 0 on",
        ),
        (slice(None, None, 0), "zero"),
    ],
)
def test_error_says_what_is_wrong_with_a_key(key: Any, told: str) -> None:
    with pytest.raises(BadSelection, match=told):
        keys.layout(key, (3, 4))
