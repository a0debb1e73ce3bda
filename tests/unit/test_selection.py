"""Selections against numpy."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caterva2.arrays import plain, selection
from caterva2.arrays.selection import Selection, normalise, parse, parse_key, to_string
from caterva2.errors import BadSelection
from tests.thoroughness import examples

QUICK = settings(max_examples=examples(300))
Case = tuple[tuple[int, ...], tuple[int, ...], Any]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A shape, a chunk shape and a key that fits."""
    shape = tuple(draw(st.lists(st.integers(0, 13), max_size=3)))
    chunks = tuple(draw(st.integers(1, max(size, 1))) for size in shape)
    bound = st.none() | st.integers(-20, 20)
    step = st.none() | st.integers(-7, 7).filter(bool)
    key: list[Any] = []
    for size in shape[: draw(st.integers(0, len(shape)))]:
        if size and draw(st.booleans()):
            key.append(draw(st.integers(-size, size - 1)))
        else:
            key.append(slice(draw(bound), draw(bound), draw(step)))
    if draw(st.booleans()):
        at = draw(st.integers(0, len(key)))
        behind = shape[len(shape) - (len(key) - at) :] if len(key) > at else ()
        if all(
            not isinstance(k, int) or -n <= k < n for k, n in zip(key[at:], behind, strict=True)
        ):
            key.insert(at, Ellipsis)
    single = len(key) == 1 and draw(st.booleans())
    return shape, chunks, key[0] if single else tuple(key)


def _numbers(shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return np.arange(math.prod(shape)).reshape(shape)


def _chunk_ids(shape: tuple[int, ...], chunks: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """For each item the number of its chunk."""
    if not shape:
        return np.zeros((), np.int64)
    grid = [-(-n // c) for n, c in zip(shape, chunks, strict=True)]
    where = np.indices(shape).reshape(len(shape), math.prod(shape))
    places = tuple(axis // chunk for axis, chunk in zip(where, chunks, strict=True))
    return np.ravel_multi_index(places, grid).reshape(shape)


def _small(
    whole: np.ndarray[Any, Any], chunks: tuple[int, ...], ids: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """The array that is made of just some chunks."""
    if not whole.shape:
        return whole
    grid = [-(-n // c) for n, c in zip(whole.shape, chunks, strict=True)]
    places = np.unravel_index(ids, grid)
    lines = [
        np.flatnonzero(np.isin(np.arange(size) // chunk, place))
        for size, chunk, place in zip(whole.shape, chunks, places, strict=True)
    ]
    return whole[np.ix_(*lines)]


@QUICK
@given(cases())
def test_the_shape_of_the_result_is_numpys(case: Case) -> None:
    shape, _, key = case
    assert normalise(key, shape).result_shape == _numbers(shape)[key].shape


@QUICK
@given(cases())
def test_the_box_holds_the_touched_chunks_and_no_others(case: Case) -> None:
    shape, chunks, key = case
    wanted = normalise(key, shape)
    ids = selection.box(wanted, chunks).chunk_ids
    assert ids.tolist() == np.unique(_chunk_ids(shape, chunks)[key]).tolist()
    assert selection.count_chunks(wanted, chunks) == len(ids)


@QUICK
@given(cases())
def test_what_is_cut_out_of_the_box_is_what_numpy_selects(case: Case) -> None:
    shape, chunks, key = case
    whole, wanted = _numbers(shape), normalise(key, shape)
    small = selection.box(wanted, chunks)
    if wanted.size:
        assert small.shape == _small(whole, chunks, small.chunk_ids).shape
        taken = small.take(_small(whole, chunks, small.chunk_ids))
        np.testing.assert_array_equal(taken, whole[key], strict=False)
    else:
        taken = small.take(np.empty(small.shape))
    assert np.shape(taken) == wanted.result_shape


@QUICK
@given(cases(), st.integers(1, 6))
def test_split_makes_parts_of_few_chunks_that_make_up_the_whole(case: Case, most: int) -> None:
    shape, chunks, key = case
    whole, wanted = _numbers(shape), normalise(key, shape)
    result = np.full(wanted.result_shape, -1)
    for part, where in selection.split(wanted, chunks, most):
        assert selection.count_chunks(part, chunks) <= most
        small = selection.box(part, chunks)
        if part.size:
            assert (result[where] == -1).all()
            result[where] = small.take(_small(whole, chunks, small.chunk_ids))
    np.testing.assert_array_equal(result, whole[key])


@QUICK
@given(cases())
def test_an_aligned_selection_is_its_box(case: Case) -> None:
    shape, chunks, key = case
    wanted = normalise(key, shape)
    if wanted.is_aligned(chunks):
        small = selection.box(wanted, chunks)
        box = _small(_numbers(shape), chunks, small.chunk_ids)
        np.testing.assert_array_equal(_numbers(shape)[key], box)


@pytest.mark.parametrize(
    ("text", "aligned"),
    [
        ("", True),
        ("5:10", True),
        ("5:, :4", True),
        ("10:12", True),
        ("::1, 4:", True),
        ("5:9", False),
        ("4:10", False),
        ("5", False),
        ("::-1", False),
        ("::2", False),
        ("5:5", False),
    ],
)
def test_is_aligned(text: str, aligned: bool) -> None:
    assert parse(text, (12, 7)).is_aligned((5, 4)) is aligned


@QUICK
@given(cases())
def test_a_key_survives_its_slice_string(case: Case) -> None:
    shape, _, key = case
    assert parse(to_string(key), shape) == normalise(key, shape)
    assert parse_key(to_string(parse_key(to_string(key)))) == parse_key(to_string(key))


@pytest.mark.parametrize(
    "key",
    [
        10,
        -11,
        (0, 0, 0),
        (..., ...),
        slice(None, None, 0),
        True,
        np.True_,
        None,
        1.5,
        "1",
        [1],
        slice("a"),
        slice(1.5),
        (slice(None), 10),
    ],
)
def test_keys_that_do_not_fit_are_refused(key: Any) -> None:
    with pytest.raises(BadSelection):
        normalise(key, (10, 10))


def test_an_integer_into_nothing_is_refused() -> None:
    with pytest.raises(BadSelection):
        normalise(0, (0,))
    with pytest.raises(BadSelection):
        normalise(0, ())


def test_numpy_integers_are_integers() -> None:
    assert normalise((np.int8(-1), np.uint64(2)), (5, 5)) == Selection((5, 5), (4, 2))


def test_a_scalar_has_one_chunk_and_one_item() -> None:
    wanted = normalise((), ())
    assert (wanted.size, wanted.is_whole, wanted.result_shape) == (1, True, ())
    assert selection.box(wanted, ()).chunk_ids.tolist() == [0]


@pytest.mark.parametrize(("key", "whole"), [((), True), (slice(0, 99), True), (slice(1, 9), False)])
def test_is_whole(key: Any, whole: bool) -> None:
    assert normalise(key, (10, 3)).is_whole is whole


def test_whole_selects_everything() -> None:
    assert selection.whole((4, 5)) == normalise(..., (4, 5))


def test_counting_needs_no_list_of_the_chunks() -> None:
    wanted = selection.whole((2**60, 2**60))
    assert selection.count_chunks(wanted, (1, 1)) == 2**120


ENTRIES = (
    "", ":", "1", "0:2", "1:9", "9:1", " 1:2", "1 :2", "1: 2", "-1:2", "+1:2", "0:2:1", "...",
    "\u0663:5", "00:07",
)  # fmt: skip


@pytest.mark.parametrize("shape", [(0,), (5,), (5, 0), (3, 8)])
def test_plain_slices_are_parsed_as_all_others(shape: tuple[int, ...]) -> None:
    for entries in itertools.product(ENTRIES, repeat=len(shape)):
        text = ",".join(entries)
        if found := plain.parse(text, shape):
            assert found == parse(text, shape)


def test_the_slices_of_most_requests_are_plain() -> None:
    for text in ("3:13,500:20000", "0:1, 2:3", "9:2,7:7"):
        assert plain.parse(text, (20, 1000)) == parse(text, (20, 1000)) is not None
