"""The values format and files of values: one side reads what the other wrote, or refuses it."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

import numpy as np
import pytest

from caterva2.arrays import dtypes as dtype_strings
from caterva2.errors import BadMessage, BadRequest
from caterva2.rest.values import dtypes, files, layout

RECORDS = np.dtype([("a", ">i4"), ("b", [("x", "f4"), ("y", "S3", (2, 2))]), ("c", "?")])
DTYPES = [
    "|b1", "|i1", "|u1", ">i2", "<u4", ">i8", "<f2", ">f4", "<f8", "<c8", ">c16", "|S5", ">U3",
    ">M8[ns]", "<m8[s]", "|V3",
]  # fmt: skip


def sample(dtype: np.dtype[Any], shape: tuple[int, ...]) -> Any:
    count = math.prod(shape) * dtype.itemsize
    return np.frombuffer((np.arange(count) % 2).astype("u1").tobytes(), dtype).reshape(shape)


def body_of(values: Any) -> bytes:
    head = layout.head_of("array", values.shape, values.dtype, "v1")
    return layout.begin(head) + layout.packed(values)


@pytest.mark.parametrize("dtype", [*map(np.dtype, DTYPES), RECORDS], ids=str)
@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (2, 3)])
def test_values_are_read_as_they_were_written(dtype: Any, shape: tuple[int, ...]) -> None:
    values = sample(dtype, shape)
    body = body_of(values)
    head, found = layout.read(body)
    assert (head["shape"], head["etag"], head["kind"]) == (list(shape), "v1", "array")
    assert found.dtype == dtype.newbyteorder("<")
    assert found.tobytes() == values.astype(found.dtype).tobytes()
    assert (len(body) - values.nbytes) % 16 == 0
    assert values.size == 0 or np.shares_memory(layout.packed(found), found)


@pytest.mark.parametrize("dtype", [*map(np.dtype, DTYPES), RECORDS], ids=str)
def test_dtypes_are_read_as_they_were_written(dtype: Any) -> None:
    form = json.loads(json.dumps(dtypes.of(dtype)))
    assert dtypes.parse(form) == dtype
    assert dtypes.of_text(dtype_strings.describe(dtype)) == form


def test_a_record_names_its_fields() -> None:
    y = {"name": "y", "dtype": "|S3", "shape": [2, 2]}
    b = {"fields": [{"name": "x", "dtype": "<f4", "shape": []}, y], "itemsize": 16}
    assert dtypes.of(RECORDS) == {
        "fields": [
            {"name": "a", "dtype": ">i4", "shape": []},
            {"name": "b", "dtype": b, "shape": []},
            {"name": "c", "dtype": "|b1", "shape": []},
        ],
        "itemsize": 21,
    }


GOOD = body_of(np.arange(6, dtype="<i4").reshape(2, 3))


@pytest.mark.parametrize(
    "body",
    [
        b"", b"C2V\x01", b"C2S\x01" + GOOD[4:], GOOD[:-1], GOOD + b"x", GOOD[:30],
        GOOD.replace(b'"<i4"', b'"|O8"'), GOOD.replace(b'"shape":[2,3]', b'"shape":[2,-3'),
        GOOD.replace(b'"form"', b'"from"'), b"C2V\x01" + b"\xff" * 20,
    ],
)  # fmt: skip
def test_what_is_not_in_the_format_is_refused(body: bytes) -> None:
    with pytest.raises(BadMessage):
        layout.read(body)


@pytest.mark.parametrize(
    "form",
    [
        None, 7, {}, "|O8", "x" * 99_999, {"fields": 3}, {"fields": [{"name": "a"}]},
        {"fields": [{"name": "a", "dtype": "<i4", "shape": [10**9]}]},
        {"fields": [{"name": "a", "dtype": "<i4", "shape": []}] * 2},
        {"fields": [{"name": str(n), "dtype": "|b1", "shape": []} for n in range(9999)]},
    ],
)  # fmt: skip
def test_what_is_no_dtype_is_refused(form: Any) -> None:
    with pytest.raises(BadMessage):
        dtypes.parse(form)


def test_a_dtype_that_is_nested_too_deep_is_refused() -> None:
    form: Any = "<i4"
    for _ in range(dtype_strings.NESTING + 2):
        form = {"fields": [{"name": "a", "dtype": form, "shape": []}], "itemsize": 4}
    with pytest.raises(BadMessage, match="nested deeper"):
        dtypes.parse(form)


@pytest.mark.parametrize("dtype", [*map(np.dtype, DTYPES), RECORDS], ids=str)
@pytest.mark.parametrize("shape", [(), (2, 3)])
def test_npy_is_numpys(dtype: Any, shape: tuple[int, ...]) -> None:
    values = sample(dtype, shape)
    content = files.npy_head(shape, dtype) + layout.packed(values)
    found = np.load(io.BytesIO(content), allow_pickle=False)
    assert (found.dtype, found.shape) == (dtype.newbyteorder("<"), shape)
    assert found.tobytes() == values.astype(found.dtype).tobytes()


def test_npy_of_a_dtype_with_a_long_name() -> None:
    dtype = np.dtype([("x" * 70_000, "<i4")])
    content = files.npy_head((1,), dtype) + bytes(4)
    assert np.load(io.BytesIO(content), max_header_size=100_000).dtype == dtype


@pytest.mark.parametrize(
    "shape", [(), (5,), (0,), (2, 0), (40_000,), (3, 20_000), (300, 2, 100), (20_000, 2)]
)
def test_json_is_lists_within_lists(shape: tuple[int, ...]) -> None:
    values = np.arange(math.prod(shape), dtype="i4").reshape(shape)
    pieces = list(files.json_pieces(values))
    assert json.loads(b"".join(pieces)) == values.tolist()
    assert max(map(len, pieces)) < 10 * files.STEP


@pytest.mark.parametrize("shape", [(), (5,), (0,), (2, 0), (3, 7), (1, 20_000), (20_000, 2)])
def test_csv_is_rows_of_values(shape: tuple[int, ...]) -> None:
    values = np.arange(math.prod(shape), dtype="f4").reshape(shape) / 10
    rows = list(csv.reader(io.StringIO(b"".join(files.csv_pieces(values)).decode(), newline="")))
    table = values.reshape(-1, 1) if values.ndim < 2 else values
    assert [[np.float32(text) for text in row] for row in rows] == table.tolist()


def test_csv_of_records_has_the_names_of_fields_above_it() -> None:
    values = np.zeros(2, RECORDS)
    values["a"] = [1, -2]
    values["b"]["y"][0, 0, 1] = b'",\n'
    rows = list(csv.reader(io.StringIO(b"".join(files.csv_pieces(values)).decode(), newline="")))
    names = ["a", "b.x", "b.y[0,0]", "b.y[0,1]", "b.y[1,0]", "b.y[1,1]", "c"]
    first, second = ["1", "0.0", "", '",\n', "", "", "false"], ["-2", "0.0", *[""] * 4, "false"]
    assert rows == [names, first, second]


def test_csv_of_complex_numbers_is_read_by_python() -> None:
    values = np.array([1 - 2j, complex(math.nan, math.inf), complex(-math.inf, -0.0)])
    found = [complex(text) for text in b"".join(files.csv_pieces(values)).decode().split()]
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize(("shape", "dtype"), [((2, 2, 2), "i4"), ((2, 2), [("a", "i4")])])
def test_csv_of_what_is_no_table_is_refused(shape: tuple[int, ...], dtype: Any) -> None:
    with pytest.raises(BadRequest, match="CSV has"):
        list(files.csv_pieces(np.zeros(shape, dtype)))
