"""Pages of tables over HTTP: records, planes and tables of Blosc2; sorted, filtered, refused."""

from __future__ import annotations

import io
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest

from tests.conftest import Stack
from tests.unit.b2trees import table
from tests.web.asking import Answer, ask

RNG = np.random.default_rng(8)
ROWS = 30_000
RECORDS = np.zeros(ROWS, [("n", ">i4"), ("t", "<f8"), ("name", "<U4"), ("v", "<i2", (2,))])
RECORDS["n"] = RNG.integers(0, 1000, ROWS)
RECORDS["t"] = RNG.standard_normal(ROWS)
RECORDS["t"][::100] = np.nan
RECORDS["name"] = RNG.choice(["ab", "cd", "ef"], ROWS)
RECORDS["v"][:, 1] = np.arange(ROWS) % 7
STACK = RNG.integers(0, 50, (4, 300, 40), np.int16)


@dataclass
class Served:
    stack: Stack

    def get(self, target: str, **query: Any) -> Answer:
        return ask(self.stack, f"api/table/data/{target}?{urllib.parse.urlencode(query)}")

    def page(self, target: str, **query: Any) -> Any:
        answer = self.get(target, **query)
        assert answer.status == 200, answer.body
        return answer.json

    def all(self, target: str, **query: Any) -> Any:
        """The first column of all rows, page by page."""
        found: list[Any] = []
        while True:
            page = self.page(target, start=len(found), count=7000, **query)
            found += [row[0] for row in page["rows"]]
            if page["total"] == len(found):
                return found
            assert page["rows"] or page["total"] is None


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    source = tmp_path_factory.mktemp("data")
    blosc2.asarray(RECORDS, urlpath=str(source / "records.b2nd"), chunks=(4000,))
    blosc2.asarray(STACK, urlpath=str(source / "stack.b2nd"), chunks=(1, 100, 40))
    blosc2.asarray(RNG.random(500), urlpath=str(source / "line.b2nd"))
    blosc2.asarray(np.array([2**53 + 1, 1]), urlpath=str(source / "large.b2nd"))
    table(source / "rows.b2d", 50, deleted=(3, 7))
    (source / "notes.txt").write_bytes(b"some text")
    made = Stack(tmp_path_factory.mktemp("stack"))
    made.configure("[limits.overviews]\ntable_sorted = 60_000\n")
    blosc2.zeros(60_001, urlpath=str(source / "long.b2nd"))
    try:
        made.start(data=Path(source))
        yield Served(made)
    finally:
        made.stop_all()


def test_a_page_has_the_rows_and_their_dtypes(served: Served) -> None:
    page = served.page("records.b2nd", start=99, count=3)
    assert page["fields"] == ["n", "t", "name", "v"] and page["total"] == ROWS
    assert page["dtypes"] == [">i4", "<f8", "<U4", "<i2"]
    for row, record in zip(page["rows"], RECORDS[99:102].tolist(), strict=True):
        assert row[0] == record[0] and row[2:] == [record[2], record[3].tolist()]
        assert row[1] == record[1] or (row[1] == "NaN" and np.isnan(record[1]))
    page = served.page("records.b2nd", start=ROWS - 1, fields="name,n")
    assert page["fields"] == ["name", "n"]
    assert page["rows"] == [[RECORDS["name"][-1], RECORDS["n"][-1]]]
    assert served.page("records.b2nd", start=10**9)["rows"] == []
    assert served.page("large.b2nd")["rows"] == [[str(2**53 + 1)], [1]]


def test_a_page_that_is_known_is_not_sent_again(served: Served) -> None:
    target = "api/table/data/records.b2nd?start=1&count=2"
    first = ask(served.stack, target)
    again = ask(served.stack, target, If_None_Match=first.headers["etag"])
    assert (first.status, again.status, again.body) == (200, 304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["vary"] == first.headers["vary"]
    other = ask(served.stack, target.replace("=2", "=3"), If_None_Match=first.headers["etag"])
    assert other.status == 200


@pytest.mark.parametrize("sort", ["n", "-n", "t", "-t", "name"])
def test_rows_are_sorted_by_a_column(served: Served, sort: str) -> None:
    column = RECORDS[sort.removeprefix("-")]
    missing = np.isnan(column) if column.dtype.kind == "f" else np.zeros(ROWS, bool)
    rows = np.flatnonzero(~missing)
    order = sorted(rows.tolist(), key=lambda n: column[n].item(), reverse=sort[0] == "-")
    order += np.flatnonzero(missing).tolist()
    found = served.all("records.b2nd", sort=sort, fields="n")
    assert found == RECORDS["n"][order].tolist()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("n>900", RECORDS["n"] > 900),
        ("n>=10 & n<12 and name='ab'", np.isin(RECORDS["n"], (10, 11)) & (RECORDS["name"] == "ab")),
        ("t = nan", np.isnan(RECORDS["t"])),
        ("t > 1e9", np.zeros(ROWS, bool)),
        ("n != -1", np.ones(ROWS, bool)),
    ],
)  # fmt: skip
def test_rows_are_filtered(served: Served, given: str, expected: Any) -> None:
    rows = np.flatnonzero(expected)
    query = {"filter": given, "fields": "n"}
    assert served.all("records.b2nd", **query) == RECORDS["n"][rows].tolist()
    order = rows[np.argsort(RECORDS["n"][rows], kind="stable")]
    assert served.all("records.b2nd", sort="n", **query) == RECORDS["n"][order].tolist()


def test_slices_of_a_dataset_have_rows_of_their_own(served: Served) -> None:
    for start in (0, 20_000):
        for query in ({"sort": "n"}, {"filter": "n < 3"}, {"filter": "n < 9", "sort": "t"}):
            page = served.page("records.b2nd", slice_=f"{start}:", fields="n", count=1000, **query)
            own = RECORDS["n"][start:]
            most = {"n < 3": 3, "n < 9": 9}.get(query.get("filter", ""), 1000)
            assert page["total"] == np.count_nonzero(own < most), query
            assert all(one < most for (one,) in page["rows"])


def test_a_plane_has_numbered_columns(served: Served) -> None:
    page = served.page("stack.b2nd", slice_="2", start=5, count=4, fields="3:6")
    assert page["fields"] == ["3", "4", "5"] and page["total"] == 300
    assert page["rows"] == STACK[2, 5:9, 3:6].tolist()
    assert served.page("stack.b2nd", slice_=":,7,::-1")["rows"] == STACK[:, 7, ::-1].tolist()
    page = served.page(
        "stack.b2nd", slice_="1", fields="0,39", sort="-3", filter="7 > 40", count=50
    )
    rows = np.flatnonzero(STACK[1, :, 7] > 40)
    rows = rows[np.argsort(-STACK[1, rows, 3], kind="stable")]
    assert page["rows"] == STACK[1][rows[:50]][:, [0, 39]].tolist()
    page = served.page("stack.b2nd", slice_="1", fields="10:20", sort="3", count=20)
    rows = np.argsort(STACK[1, :, 3], kind="stable")[:20]
    assert page["rows"] == STACK[1][rows, 10:20].tolist()
    assert served.page("line.b2nd", count=1)["fields"] == ["value"]


def test_deleted_rows_of_a_table_of_blosc2_are_left_out(served: Served) -> None:
    page = served.page("rows.b2d", count=20)
    left = [n for n in range(50) if n not in (3, 7)]
    assert page["fields"] == ["number", "score", "name"] and page["total"] == 48
    assert page["rows"] == [[n, n / 2, f"n{n}"] for n in left[:20]]
    page = served.page("rows.b2d", fields="name", sort="-score", filter="number < 9")
    assert page["rows"] == [[f"n{n}"] for n in (8, 6, 5, 4, 2, 1, 0)]


@pytest.mark.parametrize(
    ("target", "query", "status", "words"),
    [
        ("stack.b2nd", {}, 400, "selects 3 axes"),
        ("records.b2nd", {"sort": "absent"}, 400, "absent"),
        ("records.b2nd", {"sort": "v"}, 400, "no order"),
        ("records.b2nd", {"filter": "n >"}, 400, "no condition"),
        ("records.b2nd", {"filter": "n > abc"}, 400, "is no >i4"),
        ("records.b2nd", {"filter": "v > 1"}, 400, "not compared"),
        ("records.b2nd", {"fields": "n,,t"}, 400, "field ''"),
        ("records.b2nd", {"fields": "[1]"}, 400, "no list of names"),
        ("records.b2nd", {"count": 0}, 400, "count='0'"),
        ("records.b2nd", {"count": 10**6}, 400, "TABLE_ROWS is 10000"),
        ("stack.b2nd", {"slice_": "1", "fields": "40"}, 400, "there are 0 to 39"),
        ("long.b2nd", {"sort": "value"}, 413, "TABLE_SORTED is 60000"),
        ("rows.b2d", {"fields": "absent"}, 400, "absent"),
        ("rows.b2d", {"slice_": "1"}, 400, "slice_ is for arrays"),
        ("notes.txt", {}, 404, "is no table"),
        ("absent", {}, 404, "absent"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(
    served: Served, target: str, query: dict[str, Any], status: int, words: str
) -> None:
    answer = served.get(target, **query)
    assert answer.status == status, answer.body
    assert words in answer.json["detail"]


def test_all_rows_that_match_are_had_as_a_file_in_their_order(served: Served) -> None:
    chosen = RECORDS[100:29_000:3]
    chosen = chosen[chosen["n"] > 500]
    chosen = chosen[np.argsort(-chosen["t"], kind="stable")]
    query = {"slice_": "100:29000:3", "filter": "n > 500", "sort": "-t"}
    answer = served.get("records.b2nd", format="npy", **query)
    assert answer.headers["content-disposition"] == 'attachment; filename="records.npy"'
    found = np.load(io.BytesIO(answer.body))
    assert all(np.array_equal(found[name], chosen[name]) for name in ("n", "name", "v"))
    page = served.get("records.b2nd", format="csv", start=5, count=2, **query)
    assert page.headers["content-type"].startswith("text/csv")
    lines = page.body.decode().splitlines()
    assert (len(lines), lines[0].partition(",")[0]) == (3, "n")
    assert [line.split(",")[0] for line in lines[1:]] == [str(n) for n in chosen["n"][5:7]]
    names = served.get("records.b2nd", format="npy", fields="name", filter="n == 7")
    expected = RECORDS["name"][RECORDS["n"] == 7]
    assert np.array_equal(np.load(io.BytesIO(names.body)), expected)


@pytest.mark.parametrize(
    ("target", "query", "said"),
    [
        ("records.b2nd", {"format": "xls"}, "is none of"),
        ("records.b2nd", {"format": "csv", "fields": "n,t"}, "all fields, or one"),
        ("stack.b2nd", {"format": "csv", "slice_": "0"}, "one axis"),
        ("rows.b2d", {"format": "csv"}, "for arrays"),
    ],
)
def test_what_is_no_file_of_rows_is_refused(
    served: Served, target: str, query: dict[str, str], said: str
) -> None:
    answer = served.get(target, **query)
    assert (answer.status, said in answer.body.decode()) == (400, True)
