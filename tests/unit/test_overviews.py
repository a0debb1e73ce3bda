"""Overviews against numpy: bins, statistics and samples, for many dtypes and shapes."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from samples import array_frame, describe

from caterva2.arrays import overviews, selection, summaries
from caterva2.arrays.binning import Grid
from caterva2.arrays.overviews import Accumulation, Overview, Survey
from caterva2.errors import BadSelection
from caterva2.model import DatasetInfo
from tests.thoroughness import some

Array = npt.NDArray[Any]
RNG = np.random.default_rng(7)
REDUCTIONS = {
    "min": np.fmin.reduce,
    "max": np.fmax.reduce,
    "mean": lambda box: np.nan if np.isnan(box).all() else np.nanmean(box.astype(float)),
}


def info_of(values: Array, **grid: Any) -> DatasetInfo:
    return describe(array_frame(values, **grid))


def overview(values: Array, boxes: int = 1, **asked: Any) -> Overview:
    """The overview of an array that arrives in boxes of rows."""
    info = info_of(values)
    survey = Survey(selection.whole(values.shape), **asked)
    made = Accumulation(survey, info, values.shape)
    edges = np.linspace(0, values.shape[0], boxes + 1).astype(int).tolist()
    for start, stop in itertools.pairwise(edges):
        piece = made.piece()
        made.reduce(piece, values[start:stop], (start,) + (0,) * (values.ndim - 1))
        made.join(piece)
    return made.result()


def binned(values: Array, size: int, reduce: Any) -> Array:
    """What the bins are, box by box."""
    grid = Grid.of(values.shape, size)
    result = np.empty(grid.bins)
    for place in np.ndindex(grid.bins):
        box = values[
            tuple(slice(n * w, (n + 1) * w) for n, w in zip(place, grid.widths, strict=True))
        ]
        result[place] = reduce(box.ravel())
    return result


def sample(dtype: str, shape: tuple[int, ...]) -> Array:
    if dtype[1] in "iu":
        bounds = np.iinfo(dtype)
        return RNG.integers(
            bounds.min, bounds.max, shape, np.dtype(dtype).newbyteorder("=")
        ).astype(dtype)
    values: Array = RNG.standard_normal(shape).astype(dtype)
    return values


NUMERIC = [
    "|i1",
    "|u1",
    "<i2",
    ">u2",
    "<i4",
    ">i4",
    "<u8",
    "<i8",
    "<f2",
    "<f4",
    ">f4",
    "<f8",
    "<f16",
]


@pytest.mark.parametrize(
    ("dtype", "shape"),
    some([*itertools.product(NUMERIC, [(1000,), (37, 53), (5, 2000), (1, 1)])], 3),
)
def test_bins_are_those_of_numpy(dtype: str, shape: tuple[int, ...]) -> None:
    values = sample(dtype, shape)
    native = values.astype(np.float64) if values.dtype.itemsize > 8 else values
    lows, highs = binned(native, 10, np.min), binned(native, 10, np.max)
    found = {reduce: bins_of(values, reduce) for reduce in ("min", "max", "mean", "minmax")}
    assert (found["min"] == lows).all() and (found["max"] == highs).all()
    assert (found["minmax"] == np.stack([lows, highs], -1)).all()
    expected = binned(native, 10, REDUCTIONS["mean"])
    np.testing.assert_allclose(found["mean"], expected, rtol=1e-5, atol=1e-7)
    grid = Grid.of(shape, 10)
    middles = [
        np.minimum(np.arange(count) * width + width // 2, size - 1)
        for count, width, size in zip(grid.bins, grid.widths, shape, strict=True)
    ]
    assert (bins_of(values, "nearest") == native[np.ix_(*middles)]).all()


def bins_of(values: Array, reduce: Any) -> Array:
    found = overview(values, boxes=3, size=10, reduce=reduce)
    assert found.values is not None and found.bins == Grid.of(values.shape, 10).bins
    return found.values


@pytest.mark.parametrize("dtype", NUMERIC)
def test_statistics_are_those_of_numpy(dtype: str) -> None:
    values = sample(dtype, (61, 83))
    found = overview(values, boxes=7).statistics
    double = values.astype(np.float64)
    assert (found.count, found.nan, found.infinite) == (values.size, 0, 0)
    assert found.min == values.min() and found.max == values.max()
    scale = np.abs(double).max()
    assert found.mean == pytest.approx(double.mean(), abs=1e-9 * scale)
    assert found.std == pytest.approx(double.std())
    expected = np.percentile(values.astype(np.float32) if dtype == "<f2" else double, (1, 99))
    assert (found.p1, found.p99) == pytest.approx(tuple(expected), rel=1e-6)
    assert sum(found.histogram.counts) == values.size == found.sampled


def test_a_histogram_of_floats_is_that_of_numpy_and_one_of_integers_has_whole_bins() -> None:
    values = RNG.standard_normal((100, 100))
    found = overview(values).statistics.histogram
    expected, edges = np.histogram(values, 256)
    assert found.counts == tuple(expected) and (found.lo, found.hi) == (edges[0], edges[-1])
    numbers = RNG.integers(-300, 300, (100, 100), np.int16)
    whole = overview(numbers).statistics.histogram
    assert (whole.hi - whole.lo) / len(whole.counts) == 3
    assert whole.counts == tuple(np.histogram(numbers, len(whole.counts), (whole.lo, whole.hi))[0])


@pytest.mark.parametrize("low, high", [(-(2**63), 2**63 - 1), (0, 0), (2**62, 2**62 + 3)])
def test_integers_of_any_range_overflow_nowhere(low: int, high: int) -> None:
    values = np.array([[low, high], [low, low]], np.int64)
    found = overview(values).statistics
    assert (found.min, found.max) == (low, high) and sum(found.histogram.counts) == 4
    assert found.mean == pytest.approx((3 * low + high) / 4)


@pytest.mark.parametrize("value", [-(2**15), 2**15 - 1, 2**16 - 1])
def test_sums_of_small_integers_overflow_nowhere(value: int) -> None:
    dtype = np.uint16 if value >= 2**15 else np.int16
    for shape in ((70_000, 3), (3, 70_000), (70_000,)):
        for size in (0, 8):
            assert overview(np.full(shape, value, dtype), size=size).statistics.mean == value


def test_nan_and_infinities_are_counted_and_hide_no_value() -> None:
    values = RNG.standard_normal((64, 64)).astype(np.float32)
    values[3, 5], values[10, 11], values[40, :8] = np.nan, np.inf, np.nan
    values[:8, 56:] = np.nan
    for reduce in ("min", "max", "mean", "minmax"):
        found = overview(values, boxes=5, size=8, reduce=reduce)
        assert found.values is not None
        shown = found.values[..., 0] if reduce == "minmax" else found.values
        expected = binned(values, 8, REDUCTIONS["min" if reduce == "minmax" else reduce])
        np.testing.assert_allclose(shown, expected, rtol=1e-6)
        assert np.isnan(shown[0, 7])
    finite = values[np.isfinite(values)]
    assert found.statistics.nan == np.isnan(values).sum() and found.statistics.infinite == 1
    assert (found.statistics.min, found.statistics.max) == (finite.min(), finite.max())
    assert found.statistics.mean == pytest.approx(float(finite.astype(float).mean()))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_array_without_a_finite_value_has_no_statistics(value: float) -> None:
    found = overview(np.full((30, 30), value), size=4).statistics
    assert found.min is None is found.mean and found.p1 is None and not found.histogram.counts
    assert found.nan + found.infinite == 900


def test_an_empty_array_has_no_bins_and_no_statistics() -> None:
    found = overview(np.empty((0, 7)), size=4)
    assert found.values is not None and found.values.shape == (0, 4, 2)
    assert found.statistics.count == 0 and found.statistics.min is None


def test_doubles_at_the_ends_of_their_range_are_spread_over_the_histogram() -> None:
    found = overview(np.array([-1.7e308, 0.0, 1.7e308])).statistics.histogram
    assert (found.counts[0], found.counts[128], found.counts[-1]) == (1, 1, 1)


@pytest.mark.parametrize("part", ["abs", "angle", "real", "imag", ""])
def test_complex_numbers_are_shown_by_one_part(part: Any) -> None:
    values = (RNG.standard_normal((20, 20)) + 1j * RNG.standard_normal((20, 20))).astype("<c8")
    expected = {"angle": np.angle, "real": np.real, "imag": np.imag}.get(part, np.abs)(values)
    found = overview(values, size=20, reduce="max", part=part)
    assert found.values is not None and found.values.dtype == np.float32
    np.testing.assert_allclose(found.values, expected, rtol=1e-6)


def test_dates_are_counts_of_their_unit_and_booleans_are_0_and_1() -> None:
    dates = np.array(["2020-01-01", "NaT", "2020-01-11"], "M8[D]")
    found = overview(dates, size=3, reduce="max")
    assert found.values is not None and found.statistics.nan == 1
    assert found.statistics.max - found.statistics.min == 10
    flags = overview(np.array([True, False, True, True]), size=2, reduce="mean")
    assert flags.values is not None and flags.values.tolist() == [0.5, 1.0]
    assert flags.statistics.mean == 0.75


@pytest.mark.parametrize("values", [np.array(["a"]), np.array([b"a"]), np.zeros(2, [("a", "i4")])])
def test_what_is_no_number_is_refused_with_its_dtype(values: Array) -> None:
    with pytest.raises(BadSelection, match=r"no numbers|name one of its fields"):
        overview(values, size=3)
    with pytest.raises(BadSelection, match="complex"):
        overview(np.zeros(2), size=3, part="abs")


def test_a_single_hot_pixel_survives() -> None:
    values = np.zeros((800, 800), np.float32)
    values[333, 444] = 1e6
    for reduce in ("max", "minmax"):
        found = overview(values, boxes=3, size=64, reduce=reduce)
        assert found.values is not None
        shown = found.values[..., 1] if reduce == "minmax" else found.values
        assert shown[333 // 13, 444 // 13] == 1e6 and (shown == 1e6).sum() == 1
        assert found.statistics.max == 1e6 and found.statistics.histogram.counts[-1] == 1


def test_an_extreme_that_is_not_sampled_is_in_the_histogram() -> None:
    values = np.zeros((1100, 1100), np.float32)
    values[0, 0] = -5.0  # of each two rows, the second one is sampled
    found = overview(values).statistics
    assert found.sampled < values.size and found.min == -5
    assert (found.histogram.lo, found.histogram.counts[0]) == (-5, 1)


def test_nearest_shows_the_middle_of_each_bin() -> None:
    values = np.arange(100)
    found = overview(values, boxes=7, size=10, reduce="nearest")
    assert found.values is not None and found.values.tolist() == list(range(5, 100, 10))


@pytest.mark.parametrize("shape", [(3000, 3000), (4, 2**21), (2**22,), (200, 200, 200)])
def test_a_sample_is_even_and_small(shape: tuple[int, ...]) -> None:
    steps = summaries.sample_steps(shape)
    count = math.prod(len(range(step // 2, n, step)) for n, step in zip(shape, steps, strict=True))
    assert summaries.SAMPLE / 8 < count <= summaries.SAMPLE
    assert all(step // 2 < n for n, step in zip(shape, steps, strict=True))


def test_a_coarse_overview_reads_few_blocks_all_over_the_plane() -> None:
    values = np.zeros((1000, 1000), np.int16)
    info = info_of(values, chunks=(100, 100), blocks=(10, 10))
    survey = Survey(selection.whole(info.shape), size=100, coarse=64 * info.blocksize)
    shape, boxes = survey.boxes(info)
    read = list(boxes)
    assert sum(part.size for part, _ in read) == math.prod(shape) <= 64 * 100
    assert sum(overviews.cost(info, part) for part, _ in read) <= 64 * info.blocksize
    for axis in (0, 1):
        firsts = sorted({part.axes[axis][0] for part, _ in read})
        assert firsts[0] < 150 and firsts[-1] > 850 and max(np.diff(firsts)) <= 200
    whole = replace(survey, coarse=overviews.cost(info, survey.selection))
    assert whole.boxes(info)[0] == (1000, 1000)
