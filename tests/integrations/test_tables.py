"""Arrays and tables in dask, pandas and pyarrow; in slow tests in polars and duckdb."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blosc2
import dask
import dask.array
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import caterva2
from caterva2.client.http.transport import HttpTransport
from caterva2.client.transport import Request, Response
from caterva2.integrations import columns, grids
from tests.conftest import Stack, eventually, example_root

RECORD = np.dtype(
    [
        ("n", ">i4"), ("x", "f8"), ("day", "M8[D]"), ("late", "m8[ms]"), ("raw", "S3"),
        ("word", "U4"), ("pair", "i2", (2,)), ("in", [("a", "u1"), ("b", "?")]), ("blob", "V2"),
    ]
)  # fmt: skip


@dataclass
class Row:
    """A row of a table of Blosc2."""

    k: int = blosc2.field(blosc2.int64())
    v: float = blosc2.field(blosc2.float64())


def records() -> np.ndarray[Any, Any]:
    made = np.zeros(1000, RECORD)
    made["n"], made["x"], made["raw"], made["word"] = (
        np.arange(1000),
        np.arange(1000) / 7,
        b"ab",
        "né",
    )
    made["day"], made["late"] = np.datetime64("2026-01-01") + np.arange(1000), 5
    made["pair"][:, 1], made["in"]["a"], made["blob"] = 7, 9, np.void(b"\0\1")
    return made


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("source")
    shutil.copytree(example_root(), made, dirs_exist_ok=True)
    blosc2.asarray(records(), chunks=(100,), blocks=(10,), urlpath=str(made / "rec.b2nd"))
    table = blosc2.CTable(Row, urlpath=str(made / "table.b2d"), mode="w")
    table.extend([(n, n / 2) for n in range(50)])
    table.delete([0, 7])
    table.close()
    return made


@pytest.fixture(scope="module")
def served(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("stack"))
    try:
        stack.start(foo=source)
        yield stack
    finally:
        stack.stop_all()


def opened(stack: Stack, path: str) -> Any:
    return stack.client.get(f"foo/{path}")


def test_records_are_equal_in_pandas_and_arrow(served: Stack) -> None:
    array, expected = opened(served, "rec.b2nd"), records()
    frame = array.to_pandas()
    assert list(frame) == list(RECORD.names or ())
    for name in ("n", "x", "raw", "word"):
        np.testing.assert_array_equal(frame[name].to_numpy(), expected[name])
    assert frame.day[3] == pd.Timestamp("2026-01-04")
    table = array.to_arrow()
    assert table.schema.types == [
        pa.int32(), pa.float64(), pa.date32(), pa.duration("ms"), pa.binary(), pa.string(),
        pa.list_(pa.int16(), 2), pa.struct([("a", pa.uint8()), ("b", pa.bool_())]), pa.binary(2),
    ]  # fmt: skip
    row = table.slice(999).to_pylist()[0]
    assert (row["n"], row["raw"], row["word"], row["blob"]) == (999, b"ab", "né", b"\0\1")
    assert (row["pair"], row["in"]) == ([0, 7], {"a": 9, "b": False})


def test_columns_and_rows_are_chosen(served: Stack) -> None:
    array = opened(served, "rec.b2nd")
    chosen = array.to_arrow(columns=["x", "n"], rows=slice(-1, 10, -100))
    assert chosen.column_names == ["x", "n"]
    assert chosen["n"].to_pylist() == list(range(999, 10, -100))
    assert list(array.to_pandas(["n"], slice(5, 5)).n) == []
    assert list(opened(served, "ds-1d.b2nd").to_pandas()) == ["ds-1d"]
    for given in (["x", "nope"], [], "x", ["x", "x"]):
        with pytest.raises(
            caterva2.BadRequest, match=r"no column 'nope'; there are: n, x|columns is|twice"
        ):
            array.to_arrow(columns=given)
    with pytest.raises(caterva2.BadRequest, match=r"ds-2d\.b2nd has 2 dimensions: the rows"):
        opened(served, "dir1/ds-2d.b2nd").to_pandas()


def test_tables_have_no_deleted_rows(served: Stack) -> None:
    table = opened(served, "table.b2d")
    kept = [n for n in range(50) if n not in (0, 7)]
    assert table.to_arrow()["k"].to_pylist() == kept
    assert list(table.to_pandas(["v"]).v) == [n / 2 for n in kept]
    with pytest.raises(caterva2.BadRequest, match="foo/dir1> is no table"):
        opened(served, "dir1").to_arrow()


def test_streams_of_arrow_are_read_by_others_in_batches(
    served: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "BATCH", RECORD.itemsize * 250)
    array = opened(served, "rec.b2nd")
    reader = pa.RecordBatchReader.from_stream(array)
    assert [len(batch) for batch in reader] == [200] * 5  # whole chunks
    assert pa.table(opened(served, "table.b2d")).num_rows == 48


@pytest.mark.parametrize(
    ("values", "there", "expected"),
    [
        (np.arange(3), [True, False, True], [0, None, 2]),
        (np.array([[1, 2], [3, 4]], "u1"), [False, True], [None, [3, 4]]),
        (np.array(["NaT", "2000"], "M8[s]"), None, [None, pd.Timestamp("2000").to_pydatetime()]),
        (np.array([(1,)], [("a", "i1")]), [False], [None]),
        (np.array([b"", b"x"], "S2"), [True, False], [b"", None]),
        (np.array([1, 2], "M8[h]"), None, [pd.Timestamp(3600 * n, unit="s") for n in (1, 2)]),
        (np.zeros((0, 2), "f4"), None, []),
    ],
)
def test_nulls_and_odd_types(values: Any, there: Any, expected: list[Any]) -> None:
    from caterva2.integrations import arrow, pandas_frames

    mask = None if there is None else np.array(there)
    dtype = np.dtype((values.dtype, values.shape[1:]))
    made = columns.Columns({"c": dtype}, len(values), 1, lambda _: {"c": (values, mask)})
    assert arrow.reader_of(made, slice(1)).read_all()["c"].to_pylist() == expected
    frame = pandas_frames.frame_of(made, slice(1))
    assert list(frame.c.isna()) == [one is None for one in expected]


def test_types_that_arrow_has_not_are_named() -> None:
    from caterva2.integrations import arrow

    for dtype in ("c16", "M8[Y]", "f16"):
        made = columns.Columns({"c": np.dtype(dtype)}, 1, 1, lambda _: {})
        with pytest.raises(caterva2.BadRequest, match=r"Arrow has no type for .* of column 'c'"):
            arrow.reader_of(made)


@pytest.mark.parametrize(
    ("shape", "chunks", "most", "expected"),
    [
        ((100, 100), (10, 10), 8 * 1000, (10, 100)),
        ((100, 100), (10, 10), 8 * 3000, (30, 100)),
        ((100, 100), (10, 10), 8 * 250, (10, 20)),
        ((100, 100), (10, 10), 1, (10, 10)),
        ((5, 0), (10, 1), 1000, (5, 1)),
        ((), (), 1000, ()),
    ],
)
def test_pieces_are_multiples_of_chunks_up_to_a_size(
    shape: Any, chunks: Any, most: int, expected: Any
) -> None:
    assert grids.pieces(shape, chunks, 8, most) == expected


def test_arrays_of_dask_are_computed_by_threads_and_processes(served: Stack) -> None:
    array = opened(served, "dir1/ds-3d.b2nd")
    made = array.to_dask()
    assert made.name == opened(served, "dir1/ds-3d.b2nd").to_dask().name
    assert made.chunksize == (3, 4, 5)
    np.testing.assert_array_equal(made.compute(scheduler="threads"), array[...])
    small = array.to_dask(chunks=(2, 4, 4))[::2, 1].sum(axis=0)
    with dask.config.set({"multiprocessing.context": "fork"}):
        found = small.compute(scheduler="processes", num_workers=1)
    np.testing.assert_array_equal(found, array[...][::2, 1].sum(axis=0))
    np.testing.assert_array_equal(dask.array.from_array(array).compute(), array[...])
    assert dask.array.from_array(array, chunks=2).sum().compute() == array[...].sum()


def test_arrays_of_dask_take_a_request_for_each_piece_and_no_other(
    served: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = opened(served, "dir1/ds-3d.b2nd")
    asked: list[str] = []
    exchange = HttpTransport.exchange

    def counted(self: HttpTransport, request: Request) -> Response:
        asked.append(request.path)
        return exchange(self, request)

    monkeypatch.setattr(HttpTransport, "exchange", counted)
    made = array.to_dask(chunks=(2, 4, 4))
    assert made.mean().compute(scheduler="threads") == array[...].mean()
    assert asked == [f"api/fetch/{array.path}"] * (made.npartitions + 1)


def test_array_of_dask_is_of_one_version(served: Stack, source: Path) -> None:
    place = str(source / "changing.b2nd")
    blosc2.asarray(np.zeros(10), urlpath=place)
    made = eventually(lambda: opened(served, "changing.b2nd")).to_dask(chunks=5)
    blosc2.asarray(np.ones(10), urlpath=place, mode="w")

    def refused() -> bool:
        with pytest.raises(caterva2.StaleVersion, match=r"changing\.b2nd has changed"):
            made.compute(scheduler="synchronous")
        return True

    eventually(refused)


@pytest.mark.slow
def test_dask_distributed_duckdb_and_polars_read_too(served: Stack) -> None:
    import distributed
    import duckdb
    import polars as pl

    array = opened(served, "dir1/ds-3d.b2nd")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert client.compute(array.to_dask(chunks=(2, 4, 4)).sum()).result() == array[...].sum()
    connection = duckdb.connect()
    connection.register("rec", opened(served, "ds-1d-fields.b2nd"))
    connection.register("rows", pa.table(opened(served, "table.b2d")))
    query = "select sum(rec.a), count(*) from rec join rows on rec.a = rows.k"
    assert connection.execute(query).fetchall() == [(49 * 50 // 2 - 7, 48)]
    table = pl.DataFrame(opened(served, "table.b2d").to_arrow())
    assert table["v"].sum() == sum(range(50)) / 2 - 3.5
    chosen = opened(served, "rec.b2nd").to_arrow(columns=["n", "day"])
    assert len(pl.DataFrame(chosen)) == 1000
