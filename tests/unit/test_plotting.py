"""Plots: what fits an array, the state in the URL, and what will be read."""

from __future__ import annotations

import numpy as np
import pytest

from caterva2.errors import BadRequest
from caterva2.model import DatasetInfo
from caterva2.pages import figures
from caterva2.pages.plotting.cost import cost
from caterva2.pages.plotting.state import PlotState
from caterva2.pages.plotting.subject import Subject, is_number

RECORDS = np.dtype([("t", "<f8"), ("n", "<i4"), ("name", "<U3"), ("box", "<f4", (2,))])


def subject(*shape: int, dtype: object = "f4") -> Subject:
    return Subject(shape, np.dtype(dtype))  # type: ignore[call-overload]


def info(shape: tuple[int, ...], chunks: tuple[int, ...], **given: object) -> DatasetInfo:
    size = int(np.prod(chunks)) * 4
    return DatasetInfo.model_validate({
        "path": "a.b2nd", "etag": "1", "mtime": 0.0, "kind": "array", "shape": shape,
        "chunks": chunks, "blocks": chunks, "dtype": "<f4", "typesize": 4, "chunksize": size,
        "blocksize": size, "nbytes": size, "cbytes": 100, **given,
    })  # fmt: skip


@pytest.mark.parametrize(
    ("array", "kinds"),
    [
        (subject(9), ("line", "histogram")),
        (subject(9, 9), ("heatmap", "line", "scatter", "histogram")),
        (subject(9, 1), ("line", "heatmap", "scatter", "histogram")),
        (subject(9, 9, 3, dtype="u1"), ("image", "heatmap", "line", "scatter", "histogram")),
        (subject(9, 9, 3), ("heatmap", "line", "scatter", "histogram")),
        (subject(9, dtype=RECORDS), ("line", "scatter", "histogram")),
    ],
)
def test_an_array_has_the_plots_that_fit_it(array: Subject, kinds: tuple[str, ...]) -> None:
    assert array.kinds == kinds


def test_only_numbers_are_drawn() -> None:
    drawn = ["b1", "i1", "u8", "f2", "f8", "c8", "M8[s]", "m8[s]"]
    assert [text for text in (*drawn, "U3", "S3", "V4") if is_number(np.dtype(text))] == drawn
    assert list(subject(9, dtype=RECORDS).fields) == ["t", "n"]


@pytest.mark.parametrize(
    "given",
    [
        info((3, 3), (3, 3), dtype="<U3", typesize=12, chunksize=108, blocksize=108),
        info((), ()),
    ],
    ids=["text", "no axes"],
)
def test_what_has_nothing_to_draw_has_no_plot(given: DatasetInfo) -> None:
    assert Subject.of(given) is None
    assert Subject.of(info((3, 3), (3, 3))) is not None


def test_a_url_without_parameters_shows_the_last_plane() -> None:
    state = PlotState.of({}, subject(60, 256, 200))
    assert (state.kind, state.x, state.y, state.aspect) == ("heatmap", 2, 1, "equal")
    assert state.slice_(subject(60, 256, 200)) == "0,:,:"


def test_the_state_of_a_url_is_the_one_that_it_was_made_of() -> None:
    array = subject(60, 256, 256, dtype="c8")
    given = {
        "kind": "heatmap", "x": "0", "y": "2", "part": "angle", "reduce": "mean", "scale": "symlog",
        "map": "gray_r", "lo": "-1.5", "hi": "1e3", "aspect": "fill", "slice": ":,17,:",
    }  # fmt: skip
    state = PlotState.of(given, array)
    assert {name: value for name, value in state.params().items() if value} == {
        name: value for name, value in given.items() if name != "slice"
    }
    assert state.slice_(array) == ":,17,:"
    assert PlotState.of({**state.params(), "slice": ":,17,:"}, array) == state


@pytest.mark.parametrize(
    ("given", "drawn"),
    [
        ({"slice": "3,:,:"}, "3,:,:"),
        ({"slice": "[3, :, :]"}, "3,:,:"),
        ({"slice": "-1"}, "59,:,:"),
        ({"slice": "999,:,:"}, "59,:,:"),
        ({"slice": "3,:,:", "i0": "5"}, "5,:,:"),
        ({"slice": "3:9,4,:"}, "3,:,:"),
        ({"kind": "line", "x": "0", "slice": "1,2,3"}, ":,2,3"),
        ({"x": "1", "y": "1"}, "0,:,:"),
        ({"x": "0", "y": "0", "slice": "1,2,3"}, ":,2,:"),
    ],
)
def test_places_along_the_other_axes_stand_in_the_url(given: dict[str, str], drawn: str) -> None:
    array = subject(60, 256, 256)
    assert PlotState.of(given, array).slice_(array) == drawn


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "pie"), ("x", "3"), ("y", "-1"), ("x", "²"), ("lo", "nan"), ("hi", "much"),
        ("x", "00009"),
        ("map", "<script>"), ("scale", "sqrt"), ("slice", "a"), ("i0", "1.5"), ("part", "x"),
    ],
)  # fmt: skip
def test_a_parameter_that_means_nothing_is_named(name: str, value: str) -> None:
    with pytest.raises(BadRequest) as error:
        PlotState.of({name: value}, subject(60, 256, 256, dtype="c8"))
    assert value[:20] in str(error.value)


def test_an_array_without_items_has_a_state() -> None:
    array = subject(0, 5)
    assert PlotState.of({"slice": "7,9"}, array).slice_(array) == ":,:"
    assert PlotState.of({"kind": "line", "slice": "7,9"}, array).slice_(array) == "0,:"


def test_two_columns_of_a_table_are_a_scatter_plot() -> None:
    table, records = subject(100, 3), subject(100, dtype=RECORDS)
    first = PlotState.of({"kind": "scatter"}, table)
    assert (first.x, first.y, first.columns) == (0, 1, ("0", "1"))
    second = PlotState.of({"kind": "scatter", "fy": "t"}, records)
    assert (second.x, second.y, second.columns) == (0, None, ("t", "t"))


def test_what_is_read_are_the_chunks_of_the_plane_that_are_missing() -> None:
    array = info((60, 256, 256), (10, 128, 128), cbytes=2400)
    shape = Subject.of(array)
    assert shape is not None
    found = cost(array, PlotState.of({}, shape), cached=12)
    assert (found.chunks, found.stored, found.missing) == (4, 400, 200)
    assert found.values == 4 * array.chunksize
    assert cost(array, PlotState.of({"kind": "line", "x": "0"}, shape), 0).chunks == 6
    assert not found.is_large


def test_a_large_plane_is_asked_about() -> None:
    array = info((4, 8000, 8000), (1, 1000, 8000), cbytes=2**30)
    shape = Subject.of(array)
    assert shape is not None
    state = PlotState.of({}, shape)
    assert cost(array, state, cached=0).is_large
    assert not cost(array, state, cached=32).is_large


def test_what_begins_to_load_with_a_page_is_named_as_the_script_names_it() -> None:
    """As ``URLSearchParams`` escapes it: another address of the answer would be requested twice."""
    made = figures.query(slice_="1,:", field="a*b~c d(é)!'+/&", part="")
    assert made == "?slice_=1%2C%3A&field=a*b%7Ec+d%28%C3%A9%29%21%27%2B%2F%26"
