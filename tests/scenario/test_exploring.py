"""Searches, statistics and overviews from Python and from the command line"""

from __future__ import annotations

import asyncio
import json
from argparse import Namespace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

import caterva2
from caterva2.cli.commands import catalogue, values
from caterva2.client import Client
from caterva2.client.read import overview
from tests.conftest import Stack, eventually


def test_datasets_are_found_by_words_and_criteria(shared_stack: Stack) -> None:
    client = shared_stack.client

    def found(*words: str, **criteria: Any) -> list[str]:
        def complete() -> dict[str, Any] | None:
            page = client.search(*words, **criteria)
            return page if not page["unknown"] else None

        return list(eventually(complete)["found"])

    everything = found(path="foo")
    assert "foo/dir1/ds-2d.b2nd" in everything
    assert found("DS 2d", "foo") == [path for path in everything if "ds-2d" in path]
    assert found(path="foo/dir1", ndim=3) == ["foo/dir1/ds-3d.b2nd"]
    two = client.get("foo/dir1/ds-2d.b2nd")
    assert isinstance(two, caterva2.Dataset)
    rows = two.shape[0]
    assert "foo/dir1/ds-2d.b2nd" in found(path="foo", shape=(rows, None))
    assert found(path="foo", dtype=str(two.dtype), shape=two.shape) == found(
        path="foo", dtype=str(two.dtype), shape=",".join(map(str, two.shape))
    )
    first = client.search(path="foo", limit=1)
    assert list(first["found"]) == everything[:1]
    assert (
        list(client.search(path="foo", limit=1, after=first["after"])["found"]) == everything[1:2]
    )
    with pytest.raises(caterva2.BadRequest, match="integers and None"):
        client.search(shape=("x",))  # type: ignore[arg-type]


def test_values_are_described_by_the_subscriber(shared_stack: Stack) -> None:
    array: Any = shared_stack.client["foo/dir1/ds-2d.b2nd"]
    values = array[...]
    known = array.stats(exact=True)
    assert (known["count"], known["min"], known["max"]) == (values.size, values.min(), values.max())
    assert known["mean"] == pytest.approx(values.mean())
    assert array.stats(np.s_[2:4, ::2])["std"] == pytest.approx(values[2:4, ::2].std())
    small = array.overview(size=2, reduce="max", exact=True)
    assert max(small.values.shape) == 2
    assert np.asarray(small).max() == small.statistics["max"] == values.max()
    assert small.statistics["full_shape"] == list(values.shape)
    assert small.etag == array.meta["etag"]
    assert array.overview(np.s_[1], reduce="nearest").values.tolist() == values[1].tolist()
    fields: Any = shared_stack.client["foo/ds-1d-fields.b2nd"]
    assert fields.stats(field="b")["count"] == fields.shape[0]


@pytest.mark.parametrize(
    "body", [b"", b"C2V\x02aaaa", b"C2V\x01\x02\0\0\0[]", b'C2V\x01\x0f\0\0\0{"shape":[2000]}']
)
def test_answer_that_is_no_overview_is_refused(body: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError, overview.struct.error)):
        overview._decoded(bytearray(body))


def test_all_of_it_is_awaited(shared_stack: Stack) -> None:
    async def work() -> None:
        async with caterva2.AsyncClient(shared_stack.url) as client:
            assert "foo/dir1/ds-3d.b2nd" in (await client.search("3d", "foo"))["found"]
            array: Any = await client.get("foo/dir1/ds-2d.b2nd")
            assert (await array.stats())["count"] == array.size
            assert (await client.stats("foo/dir1/ds-2d.b2nd", 0))["count"] == array.shape[1]
            assert (await array.overview(size=3)).values.shape[-1] == 2
            assert (await client.overview("foo/dir1/ds-2d.b2nd", size=3)).etag
            assert (await client.me())["user"] is None
            page = await client.table("foo/ds-1d-fields.b2nd", start=3, count=1, fields=["a"])
            assert page["rows"] == [[3]]

    asyncio.run(work())


def test_commands_search_describe_and_say_who_asks(shared_stack: Stack) -> None:
    done = shared_stack.cli("search", "ds", "2D", "--in", "foo/dir1", "--ndim", "2")
    array: Any = shared_stack.client["foo/dir1/ds-2d.b2nd"]
    assert done.stdout == f"foo/dir1/ds-2d.b2nd  {array.shape} {array.meta['dtype']}\n"
    done = shared_stack.cli("search", "--in", "foo", "--limit", "1")
    assert "there are more" in done.stderr
    shown = json.loads(shared_stack.cli("stats", "foo/dir1/ds-2d.b2nd[0]", "--json").stdout)
    assert shown["count"] == array.shape[1]
    assert "mean" in shared_stack.cli("stats", "foo/dir1/ds-2d.b2nd", "--exact").stdout
    assert shared_stack.cli("whoami").stdout == "no user is logged in\n"


def test_a_search_command_pauses_where_nothing_more_is_described(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left, pauses = [5, 3, 3, 3, 0], list[float]()

    class Answering:
        def search(self, *_: object, **__: object) -> dict[str, Any]:
            return {"found": {}, "unknown": left.pop(0), "more": False}

    clock = SimpleNamespace(monotonic=lambda: 0.0, sleep=pauses.append)
    monkeypatch.setattr(catalogue, "time", clock)
    given = dict.fromkeys(("dtype", "ndim", "shape", "attr"))
    options = Namespace(words=[], path="", limit=1, **given)
    catalogue.search(cast("Client", Answering()), options)
    assert (len(pauses), left) == (2, [])


def test_rows_of_tables_are_sorted_and_filtered(shared_stack: Stack) -> None:
    client, path = shared_stack.client, "foo/ds-1d-fields.b2nd"
    page = client.table(path, sort="-a", where="a < 7 & c != 'foobar5'", fields=["a", "c"], count=3)
    assert page["rows"] == [[6, "foobar6"], [4, "foobar4"], [3, "foobar3"]]
    assert (page["fields"], page["total"], page["start"]) == (["a", "c"], 6, 0)
    assert len(client.table(path)["rows"]) == 100
    array: Any = client["foo/dir1/ds-2d.b2nd"]
    plane = client.table("foo/dir1/ds-2d.b2nd", np.s_[2:5], start=1, fields=["0", "7"])
    assert plane["rows"] == array[3:5, [0, 7]].tolist()
    with pytest.raises(caterva2.HttpError, match="nothing"):
        client.table(path, where="nothing > 5")
    shown = shared_stack.cli("table", path, "--field", "a", "--sort=-a", "--where", "a<5").stdout
    assert shown.split() == ["a", "4", "3", "2", "1", "0"]
    done = shared_stack.cli("table", f"{path}[10:20]", "--count", "2", "--start", "1", "--json")
    assert [row[0] for row in json.loads(done.stdout)["rows"]] == [11, 12]


def test_table_that_was_not_looked_at_in_time_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = {"fields": ["a"], "rows": [["\x1b[2J"]], "total": None}
    client = cast("Client", SimpleNamespace(table=lambda *_, **__: page))
    names = ("start", "count", "fields", "sort", "where")
    values.rows(client, Namespace(path="foo/x.b2nd", **dict.fromkeys(names))).print(False)
    shown = capsys.readouterr()
    assert ("not all rows" in shown.err, "\x1b" in shown.out) == (True, False)
