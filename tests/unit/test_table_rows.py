"""The search for rows of a table: within its time, going on where it ended, kept by version"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import samples

from caterva2.arrays import selection
from caterva2.arrays.tables import conditions
from caterva2.errors import TooLarge
from caterva2.limits import DEFAULTS
from caterva2.names import RootName
from caterva2.web.tables import sheets
from caterva2.web.tables.rows import TableRows

LIMITS = replace(DEFAULTS.overviews, table_time=1.0, table_sorted=100_000)


@dataclass
class Counted:
    """A table with one column, which notes what is read, and a clock that reading moves."""

    values: Any
    version: str = "v1"
    names: tuple[str, ...] = ("a",)
    step: int = 1000
    present: tuple[Any, ...] = ()
    read_rows: list[range] = field(default_factory=list)
    now: float = 0.0

    @property
    def length(self) -> int:
        return len(self.values)

    def dtype(self, name: str) -> np.dtype[Any]:
        return np.dtype(self.values.dtype)

    async def read(self, names: Sequence[str], rows: Any) -> Any:
        self.read_rows.append(rows)
        self.now += 0.3
        await asyncio.sleep(0)
        return [(self.values[rows.start : rows.stop], None) for _ in names]


@dataclass
class Noted(Counted):
    """A table that notes when it is read, among others."""

    read_versions: list[str] = field(default_factory=list)

    async def read(self, names: Sequence[str], rows: Any) -> Any:
        self.read_versions.append(self.version)
        return await super().read(names, rows)


def table(rows: int = 10_000) -> tuple[Counted, TableRows]:
    made = Counted(np.arange(rows) % 10)
    return made, TableRows(LIMITS, lambda: made.now)


def test_a_search_ends_with_its_time_and_the_next_one_goes_on() -> None:
    async def main() -> None:
        sheet, rows = table()
        where = conditions("a = 3")
        first = await rows.choose(sheet, 0, 50, where, "")
        assert (first.total, first.at_least) == (None, 400) and len(sheet.read_rows) == 4
        assert list(first.rows) == list(range(3, 503, 10))
        second = await rows.choose(sheet, 50, 50, where, "")
        assert second.at_least == 800 and second.rows[0] == 503
        third = await rows.choose(sheet, 990, 50, where, "")
        assert (third.total, third.at_least) == (1000, 1000)
        assert [part.start for part in sheet.read_rows] == list(range(0, 10_000, 1000))
        await rows.choose(sheet, 0, 50, where, "")
        assert len(sheet.read_rows) == 10

    asyncio.run(main())


def test_searches_at_the_same_time_look_at_each_row_once() -> None:
    async def main() -> None:
        sheet, rows = table(3000)
        where = conditions("a = 3")
        await rows.choose(sheet, 0, 1, where, "")
        found = await asyncio.gather(*[rows.choose(sheet, 0, 5, where, "-a") for _ in range(4)])
        assert [one.total for one in found] == [300] * 4
        assert len(sheet.read_rows) == 3 + 3  # to search, and to sort

    asyncio.run(main())


def test_another_version_is_searched_anew() -> None:
    async def main() -> None:
        sheet, rows = table(2000)
        await rows.choose(sheet, 0, 5, conditions("a = 3"), "a")
        changed = replace(sheet, values=np.full(2000, 3), version="v2", read_rows=[])
        found = await rows.choose(changed, 0, 5, conditions("a = 3"), "a")
        assert found.total == 2000 and len(changed.read_rows) == 4

    asyncio.run(main())


def test_a_table_that_is_too_long_is_not_sorted_and_its_matches_are_bounded() -> None:
    async def main() -> None:
        sheet, rows = table(200_000)
        with pytest.raises(TooLarge, match="TABLE_SORTED is 100000"):
            await rows.choose(sheet, 0, 5, (), "a")
        endless = TableRows(replace(LIMITS, table_time=1e9))
        found = await endless.choose(sheet, 0, 5, conditions("a >= 0"), "")
        assert found.total is None and 100_000 < found.at_least <= 101_000

    asyncio.run(main())


def test_datasets_of_several_publishers_are_different_tables_even_with_one_etag() -> None:
    frame = samples.array_frame(np.arange(10), chunks=(5,))
    places = [("foo", "a.b2nd"), ("bar", "a.b2nd"), ("foo", "b.b2nd")]
    versions = set()
    for root, path in places:
        dataset: Any = SimpleNamespace(info=samples.describe(frame, path))
        whole = selection.whole(dataset.info.shape)
        versions.add(sheets.of_dataset(RootName(root), dataset, whole).version)
    assert len(versions) == len(places)


def test_searches_that_begin_together_look_at_each_row_once() -> None:
    async def main() -> None:
        sheet, rows = table(3000)
        where = conditions("a = 3")
        found = await asyncio.gather(*[rows.choose(sheet, 0, 5, where, "") for _ in range(4)])
        assert [one.total for one in found] == [300] * 4
        assert len(sheet.read_rows) == 3

    asyncio.run(main())


def test_matches_that_grow_take_the_place_of_others() -> None:
    async def main() -> None:
        sheet, _ = table()
        rows = TableRows(replace(LIMITS, tables_kept=10_000), lambda: sheet.now)
        for where in (conditions("a = 3"), conditions("a = 4")):
            for _ in range(3):
                found = await rows.choose(sheet, 0, 5, where, "")
            assert found.total == 1000
        assert len(sheet.read_rows) == 20
        found = await rows.choose(sheet, 0, 5, conditions("a = 3"), "")
        assert found.total is None

    asyncio.run(main())


def test_columns_that_are_sorted_at_a_time_have_a_bound() -> None:
    async def main() -> None:
        wide = Counted(np.zeros(2000, "S2000"))
        with pytest.raises(TooLarge, match="have 4000000 bytes, TABLE_SORTED allows 3200000"):
            await TableRows(LIMITS).choose(wide, 0, 5, (), "a")
        values, read = np.zeros(3000, "S700"), list[str]()
        sheets = [Noted(values, version=f"v{n}", read_versions=read) for n in range(3)]
        rows = TableRows(LIMITS)
        await asyncio.gather(*[rows.choose(one, 0, 5, (), "a") for one in sheets])
        assert read == ["v0"] * 3 + ["v1"] * 3 + ["v2"] * 3

    asyncio.run(main())


@pytest.mark.parametrize("width, whole", [(10, True), (1000, False)])
def test_records_are_read_as_a_whole_unless_other_fields_are_large(width: int, whole: bool) -> None:
    dtype = [("a", "f8"), ("b", "f8"), ("text", f"S{width}")]
    read = list[tuple[str, ...]]()

    class Opened:
        info = samples.describe(samples.array_frame(np.zeros(6, dtype), chunks=(6,)))

        async def values(self, _: Any, field: tuple[str, ...] = ()) -> Any:
            read.append(field)
            return np.zeros(10_000, np.dtype(dtype)[field[0]] if field else dtype)

    opened: Any = Opened()
    sheet = sheets.of_dataset(RootName("foo"), opened, selection.whole((6,)))
    columns = asyncio.run(sheet.read(["a", "b"], np.zeros(10_000, np.int64)))
    assert [values.dtype for values, _ in columns] == [np.dtype("f8")] * 2
    assert read == ([()] if whole else [("a",), ("b",)])


@dataclass
class Watched(Counted):
    """A table that notes how many searches of its kind are under way."""

    under_way: list[str] = field(default_factory=list)
    most: list[int] = field(default_factory=list)

    async def read(self, names: Sequence[str], rows: Any) -> Any:
        self.under_way.append(self.version)
        self.most.append(len(set(self.under_way)))
        for _ in range(5):
            await asyncio.sleep(0)
        found = await super().read(names, rows)
        if rows.stop >= self.length:
            self.under_way[:] = [one for one in self.under_way if one != self.version]
        return found


def test_searches_that_need_much_memory_wait_for_each_other_and_known_rows_for_none() -> None:
    async def main() -> None:
        under_way: list[str] = []
        most: list[int] = []
        tables = [
            Watched(np.arange(3000) % 10, f"v{n}", under_way=under_way, most=most) for n in range(4)
        ]
        rows = TableRows(replace(LIMITS, table_sorted=3000), lambda: 0.0)
        where = conditions("a = 3")
        await asyncio.gather(*[rows.choose(one, 0, 5, where, "") for one in tables])
        assert max(most) == 1
        slow = asyncio.create_task(rows.choose(tables[0], 0, 5, conditions("a = 4"), ""))
        waits = asyncio.create_task(rows.choose(tables[1], 0, 5, conditions("a = 4"), ""))
        await asyncio.sleep(0)
        assert (await rows.choose(tables[2], 0, 5, where, "")).total == 300
        assert not slow.done() and not waits.done()
        await asyncio.gather(slow, waits)

    asyncio.run(main())
