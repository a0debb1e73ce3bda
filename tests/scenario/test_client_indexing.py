"""A remote dataset is indexed as a numpy array is: the same values, shapes, dtypes and errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import blosc2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import caterva2
from caterva2.limits import ClientLimits
from caterva2.limits.constants import NDIM
from tests.conftest import Stack
from tests.numpykeys import numpy_keys

RECORD = [("a", "<i4"), ("b", "<f8"), ("c", "S3"), ("d", "?"), ("e", "<c8"), ("f", "<i2", (2,))]
DTYPES: list[Any] = [
    "<i8", "u1", ">i4", "<f4", "<f8", "<c16", "?", "S5", "<U4", "<M8[s]", "<m8[ms]", RECORD
]  # fmt: skip
GRIDS: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((), ()), ((17,), (5,)), ((40,), (40,)), ((0, 3), (1, 2)), ((6, 9), (4, 3)),
    ((3, 4, 5), (2, 2, 5)), ((2, 3, 2, 4), (1, 3, 2, 3)),
]  # fmt: skip


def values(shape: tuple[int, ...], dtype: Any, seed: int) -> np.ndarray:
    """Random values of any dtype, each of which is a good one of it."""
    random = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.fields:
        made = np.zeros(shape, kind)
        for name in kind.names or ():
            field = kind[name]
            made[name] = values(shape + field.shape, field.base, seed + 1)
        return made
    numbers = random.integers(0, 100, shape)
    if kind.kind in "SU":
        return (np.asarray(numbers).astype("U") if shape else np.array(str(numbers))).astype(kind)
    if kind.kind == "c":
        return (numbers + 1j * random.integers(0, 100, shape)).astype(kind)
    if kind.kind == "b":
        return np.asarray(numbers) % 2 == 0
    return np.asarray(numbers).astype(kind)


ARRAYS = {
    f"{n}-{m}": (values(shape, dtype, 10 * n + m), chunks)
    for n, dtype in enumerate(DTYPES)
    for m, (shape, chunks) in enumerate(GRIDS)
    if m % 2 == n % 2 or shape == (6, 9)
}


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[caterva2.Root]:
    source = tmp_path_factory.mktemp("arrays")
    for name, (array, chunks) in ARRAYS.items():
        grid = {"chunks": chunks} if array.size and chunks else {}
        blosc2.asarray(array, urlpath=str(source / f"{name}.b2nd"), **grid)
    stack = Stack(tmp_path_factory.mktemp("services"))
    try:
        root = stack.start(data=source).get("data")
        assert isinstance(root, caterva2.Root)
        yield root
    finally:
        stack.stop_all()


@pytest.fixture(scope="module")
def datasets(remote: caterva2.Root) -> dict[str, Any]:
    return {name: remote[f"{name}.b2nd"] for name in ARRAYS}


def same(found: Any, expected: Any) -> None:
    """Numpy's result: as an array or as a scalar, of its dtype and shape."""
    assert type(found) is type(expected)
    if isinstance(expected, np.ndarray):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(found, expected)


def compare(dataset: Any, array: np.ndarray, key: Any) -> None:
    try:
        expected = array[key]
    except IndexError:
        with pytest.raises(IndexError):
            dataset[key]
        return
    if np.ndim(expected) > NDIM:
        return
    same(dataset[key], expected)


def check(datasets: dict[str, Any], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(ARRAYS)))
    array, _ = ARRAYS[name]
    compare(datasets[name], array, data.draw(numpy_keys(array.shape)))


QUIET = settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@settings(QUIET, max_examples=40)
@given(data=st.data())
def test_any_key_of_any_array_gives_what_numpy_gives(
    datasets: dict[str, Any], data: st.DataObject
) -> None:
    check(datasets, data)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@settings(QUIET, max_examples=3000, derandomize=False)
@given(data=st.data())
def test_thousands_of_keys_give_what_numpy_gives(
    datasets: dict[str, Any], data: st.DataObject
) -> None:
    check(datasets, data)


TELLING = {
    "whole": np.s_[()],
    "ellipsis": np.s_[...],
    "last": np.s_[-1],
    "item": np.s_[1, 2, 3],
    "item as an array": np.s_[1, 2, 3, ...],
    "backwards": np.s_[::-1, :, ::-2],
    "beyond the end": np.s_[1:99],
    "nothing": np.s_[2:1],
    "new axes": np.s_[None, :, 0, ..., None],
    "list": np.s_[[0, 2, 0]],
    "negative positions": np.s_[:, [-1, 0]],
    "two arrays together": np.s_[[0, 1], [2, 3]],
    "an array of two dimensions": np.s_[np.array([[0, 1], [2, 0]])],
    "open mesh": np.ix_([0, 2], [1, 3], [4, 0]),
    "arrays apart go in front": np.s_[[0, 1], :, [2, 3]],
    "an integer counts as an array": np.s_[0, :, [2, 3]],
    "arrays apart by a new axis": np.s_[:, [0, 1], None, [2, 3]],
    "mask of an axis": np.s_[:, np.array([True, False, True, False])],
    "mask of everything": np.arange(60).reshape(3, 4, 5) % 7 == 0,
    "mask of nothing": np.zeros((3, 4), bool),
    "a single truth": np.s_[True],
    "no positions": np.s_[[]],
    "step and array": np.s_[::2, [3, 1], 1:],
}  # fmt: skip


@pytest.mark.parametrize("key", TELLING.values(), ids=list(TELLING))
def test_telling_keys(datasets: dict[str, Any], key: Any) -> None:
    [name] = [n for n, (array, _) in ARRAYS.items() if array.shape == (3, 4, 5)][:1]
    same(datasets[name][key], ARRAYS[name][0][key])


@pytest.mark.parametrize(
    "key",
    [3, -4, (0, 0, 0, 0), [3], (..., ...), 1.5, [1.5], [True, False], "x", ([0, 1], [0, 1, 2])],
)
def test_a_key_that_the_dataset_has_not_is_an_index_error(
    datasets: dict[str, Any], key: Any
) -> None:
    [name] = [n for n, (array, _) in ARRAYS.items() if array.shape == (3, 4, 5)][:1]
    with pytest.raises(IndexError):
        datasets[name][key]


RECORDS = [name for name, (array, _) in ARRAYS.items() if array.dtype.names]


@pytest.mark.parametrize("name", RECORDS)
def test_fields_by_name(datasets: dict[str, Any], name: str) -> None:
    array, _ = ARRAYS[name]
    for field in RECORD:
        same(datasets[name][field[0]], array[field[0]])
        same(datasets[name].fields[field[0]][..., None], array[..., None][field[0]])
    same(datasets[name][["c", "a"]], array[["c", "a"]])


def test_long_index_arrays_travel_in_a_body_and_in_parts(
    datasets: dict[str, Any], remote: caterva2.Root
) -> None:
    array, _ = ARRAYS["0-2"]
    key = np.random.default_rng(0).integers(-40, 40, (700, 5))
    same(datasets["0-2"][key], array[key])
    client = caterva2.Client(remote.urlbase, limits=ClientLimits(points=1000))
    same(client.fetch("data/0-2.b2nd", key), array[key])
