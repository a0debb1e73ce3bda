"""Overviews of parts of arrays, their statistics and images of them."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from caterva2.limits import constants
from caterva2.rest.shapes import Count, closed

PNG: Final = "image/png"
SIZE: Final = 1024
"""Bins along an axis where a request names no number."""
Reduce = Annotated[
    Literal["minmax", "max", "min", "mean", "nearest"],
    Field(description="what becomes of the items of a bin"),
]
Part = Annotated[
    Literal["", "abs", "angle", "real", "imag"], Field(description="what is taken of complex items")
]
Exact = Annotated[str, WithJsonSchema({"enum": ["", "0", "1"]})]
Scale = Annotated[Literal["linear", "log"], Field(description="how numbers become colours")]
Size = Annotated[int, Field(ge=1)]
Bound = Annotated[float, Field(allow_inf_nan=False)]
Number = Annotated[float | None, Field(description="null where there is no finite value")]


@closed
class Histogram(TypedDict):
    """Counts of values in bins of equal width between two bounds; no bins where there is none."""

    counts: list[Count]
    lo: float
    hi: float


@closed
class Statistics(TypedDict):
    """Statistics of the selected values; those that are not finite are counted only."""

    count: Count
    nan: Count
    infinite: Count
    min: Number
    max: Number
    mean: Number
    std: Number
    p1: Number
    """The first percentile."""
    p99: Number
    histogram: Histogram
    sampled: Count
    """Number of values that percentiles and histogram are of, spread evenly."""
    exact: bool
    """Whether all values count, rather than a sample of the blocks."""


@closed
class OverviewHead(TypedDict):
    """Head of an overview, in the values format: the bins follow it."""

    form: Literal["values"]
    shape: Annotated[list[Count], Field(max_length=constants.NDIM)]
    """Of the bins; with ``minmax`` there is one more axis, of two."""
    dtype: str
    etag: str
    kind: Literal["array", "frame", "file"]
    full_shape: list[Count]
    """Of what was selected."""
    bins: list[Count]
    reduce: Reduce
    count: Count
    nan: Count
    infinite: Count
    min: Number
    max: Number
    mean: Number
    p1: Number
    p99: Number
    histogram: Histogram
    sampled: Count
    exact: bool


def statistics(found: Any, *, exact: bool) -> dict[str, Any]:
    """Return `caterva2.arrays.summaries.Statistics` as JSON."""
    histogram = found.histogram
    return {
        "count": found.count, "nan": found.nan, "infinite": found.infinite,
        "min": found.min, "max": found.max, "mean": found.mean, "std": found.std,
        "p1": found.p1, "p99": found.p99,
        "histogram": {
            "counts": list(histogram.counts), "lo": histogram.lo, "hi": histogram.hi
        },
        "sampled": found.sampled, "exact": exact,
    }  # fmt: skip
