"""Values over HTTP: the values format of browsers, npy, CSV and JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest

from caterva2.rest.values import layout
from tests.conftest import Stack
from tests.web.asking import Answer, ask

GRID = np.random.default_rng(3).random((500, 700), "f4")
"""Its stored chunks are hardly smaller than its values: our own client gets chunks of it."""
BIG = np.array([[1, -2, 3], [2**31 - 1, -(2**31), 0]], ">i4")
RECORDS = np.array(
    [(1, 0.1, b"x"), (2, np.nan, b"\xff")], [("a", "<i8"), ("b", "<f4"), ("c", "S2")]
)
LIMIT = 400_000
"""Items of a text."""


@dataclass
class Served:
    stack: Stack

    def fetch(self, target: str, method: str = "GET", body: Any = None, **headers: str) -> Answer:
        given = None if body is None else json.dumps(body)
        return ask(self.stack, f"api/fetch/data/{target}", method, given, **headers)

    def values(self, target: str, method: str = "GET", body: Any = None) -> tuple[Any, Any]:
        answer = self.fetch(target, method, body, Accept=layout.MEDIA_TYPE)
        assert (answer.status, answer.headers["content-type"]) == (200, layout.MEDIA_TYPE)
        return layout.read(answer.body)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    source = tmp_path_factory.mktemp("data")
    for name, values in {"grid": GRID, "big": BIG, "records": RECORDS}.items():
        blosc2.asarray(values, urlpath=str(source / f"{name}.b2nd"))
    blosc2.zeros((2000, 300, 300), "f4", urlpath=str(source / "huge.b2nd"))
    blosc2.asarray(np.array(2.5), urlpath=str(source / "scalar.b2nd"))
    (source / "notes.txt").write_bytes(b"some text")
    made = Stack(tmp_path_factory.mktemp("stack"))
    made.configure(f"[limits.web]\ntext_items = {LIMIT}\n")
    try:
        made.start(data=Path(source))
        yield Served(made)
    finally:
        made.stop_all()


def test_whole_array_comes_as_values(served: Served) -> None:
    head, found = served.values("grid.b2nd")
    np.testing.assert_array_equal(found, GRID)
    assert head == {
        "form": "values", "shape": [500, 700], "dtype": "<f4", "kind": "array",
        "etag": ask(served.stack, "api/info/data/grid.b2nd").json["etag"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("grid.b2nd?slice_=3,::7", GRID[3, ::7]),
        ("grid.b2nd?slice_=5:5", GRID[5:5]),
        ("grid.b2nd?indices=[[4,1],2]", GRID[[4, 1], 2]),
        ("big.b2nd?slice_=:,1", BIG[:, 1]),
        ("records.b2nd?field=b", RECORDS["b"]),
        ("records.b2nd", RECORDS),
        ("scalar.b2nd", np.array(2.5)),
        ("notes.txt?slice_=5:", np.frombuffer(b"text", "u1")),
    ],
)
def test_a_selection_is_numpys(served: Served, target: str, expected: Any) -> None:
    _, found = served.values(target)
    assert found.dtype == expected.dtype.newbyteorder("<")
    assert found.tobytes() == expected.astype(found.dtype).tobytes()
    assert found.shape == expected.shape


def test_parameters_may_be_in_the_body(served: Served) -> None:
    _, found = served.values("grid.b2nd", "POST", {"indices": [[7, 8], None]})
    np.testing.assert_array_equal(found, GRID[[7, 8]])
    answer = served.fetch("big.b2nd", "POST", {"slice_": "0", "format": "json"})
    assert answer.json == [1, -2, 3]


def test_npy_is_a_file_for_numpy(served: Served) -> None:
    answer = served.fetch("big.b2nd?format=npy")
    found = np.load(io.BytesIO(answer.body))
    np.testing.assert_array_equal(found, BIG)
    assert found.dtype == np.dtype("<i4")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == 'attachment; filename="big.npy"'


def test_json_and_csv_of_records(served: Served) -> None:
    answer = served.fetch("records.b2nd?format=json")
    assert answer.json == [
        {"a": 1, "b": 0.1, "c": "x"}, {"a": 2, "b": "NaN", "c": "\\xff"}
    ]  # fmt: skip
    assert answer.headers["content-type"] == "application/json"
    answer = served.fetch("records.b2nd?format=csv")
    assert answer.body == b"a,b,c\r\n1,0.1,x\r\n2,NaN,\\xff\r\n"
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    answer = served.fetch("records.b2nd?format=csv&field=a")
    assert answer.body == b"1\r\n2\r\n"
    assert answer.headers["content-disposition"] == 'attachment; filename="records.a.csv"'


def test_a_long_text_is_whole(served: Served) -> None:
    assert np.array_equal(np.array(served.fetch("grid.b2nd?format=json").json, "f4"), GRID)
    text = served.fetch("grid.b2nd?format=csv").body.decode()
    np.testing.assert_array_equal(np.loadtxt(io.StringIO(text), "f4", delimiter=","), GRID)


@pytest.mark.parametrize("form", ["values", "npy", "csv", "json"])
def test_a_version_that_the_client_has_is_not_sent(served: Served, form: str) -> None:
    headers = {"Accept": layout.MEDIA_TYPE} if form == "values" else {}
    target = "big.b2nd?slice_=0" + ("" if form == "values" else f"&format={form}")
    first = served.fetch(target, **headers)
    again = served.fetch(target, **headers, If_None_Match=first.headers["etag"])
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert again.headers["vary"] in ("Accept", "Accept, Accept-Encoding")
    assert first.headers["vary"] in ("Accept", "Accept, Accept-Encoding")  # texts are compressed
    frame = served.fetch("big.b2nd?slice_=0")
    assert frame.headers["etag"] != first.headers["etag"]
    other = served.fetch(target, **headers, If_None_Match=frame.headers["etag"])
    assert (other.status, other.body) == (200, first.body)
    assert served.fetch(target, **headers, If_Match='"x"').status == 412


@pytest.mark.parametrize("form", ["values", "npy", "csv", "json"])
def test_head_reads_nothing(served: Served, form: str) -> None:
    headers = {"Accept": layout.MEDIA_TYPE} if form == "values" else {}
    target = "huge.b2nd?slice_=7,:100" + ("" if form == "values" else f"&format={form}")
    before = served.stack.metric("fetched_chunks_total")
    head = served.fetch(target, "HEAD", **headers)
    assert (head.status, head.body) == (200, b"")
    assert served.stack.metric("fetched_chunks_total") == before
    whole = served.fetch(target, **headers)
    for name in ("content-type", "etag", "content-length", "content-disposition"):
        if name in head.headers:
            assert head.headers[name] == whole.headers[name]
    assert ("content-length" in head.headers) == (form in ("values", "npy"))


@pytest.mark.parametrize(
    ("target", "status", "word"),
    [
        ("huge.b2nd", 413, "OUTPUT_BYTES"),
        ("huge.b2nd?slice_=:10&format=json", 413, "TEXT_ITEMS"),
        ("huge.b2nd?slice_=0,:10,:&format=xlsx", 400, "format"),
        ("huge.b2nd?slice_=:2&format=csv", 400, "axes"),
        ("grid.b2nd?format=npy&format=csv", 400, "twice"),
        ("nope.b2nd?format=npy", 404, "nope"),
    ],
)
def test_what_is_refused(served: Served, target: str, status: int, word: str) -> None:
    answer = served.fetch(target, Accept=layout.MEDIA_TYPE)
    assert answer.status == status
    assert word in answer.json["detail"]


def test_description_has_the_dtype_as_json(served: Served) -> None:
    info = ask(served.stack, "api/info/data/records.b2nd").json
    assert info["dtype_json"]["itemsize"] == 14
    assert info["dtype_json"]["fields"][2] == {"name": "c", "dtype": "|S2", "shape": []}
    members = ask(served.stack, "api/members/data").json["members"]
    assert members["big.b2nd"]["dtype_json"] == ">i4"
    assert members["big.b2nd"]["dtype"] == ">i4"
