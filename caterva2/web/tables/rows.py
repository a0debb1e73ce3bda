"""Rows that match a filter, and rows in order; kept for the next page."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from caterva2.arrays import tables
from caterva2.arrays.selection import IntArray
from caterva2.arrays.tables import Condition
from caterva2.errors import TooLarge
from caterva2.limits import DEFAULTS, OverviewLimits
from caterva2.runtime.budget import Budget, Hold
from caterva2.runtime.lru import Lru
from caterva2.runtime.single_flight import SingleFlight
from caterva2.web.tables.sheets import STEP, Rows, Sheet

Clock = Callable[[], float]
WIDE = 32
"""Bytes of an item up to which a sorted column counts by its rows alone."""


@dataclass
class Matches:
    """The numbers of the rows that match, of those before ``looked``."""

    parts: list[IntArray] = field(default_factory=list)
    found: int = 0
    looked: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while it is searched for more."""
    counted: int = 0
    """Bytes as the cache counts them, which stay while it has these."""

    @property
    def nbytes(self) -> int:
        """Bytes that the numbers take."""
        return 8 * self.found + 200

    def add(self, rows: IntArray, looked: int) -> None:
        """Add the matches up to row ``looked``."""
        self.parts.append(rows)
        self.found, self.looked = self.found + len(rows), looked

    def all(self) -> IntArray:
        """Return all numbers in one array."""
        if len(self.parts) != 1:
            self.parts = [np.concatenate([np.empty(0, np.int64), *self.parts])]
        return self.parts[0]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Rows of a page, and how many there are altogether: None if that is not known."""

    rows: Rows
    total: int | None
    at_least: int


class TableRows:
    """Finds the rows of pages of tables.

    Parameters
    ----------
    limits : OverviewLimits
    clock : callable
    deadline : float
        Seconds that a search, or a column to be sorted, waits for the memory of others.
    """

    def __init__(
        self,
        limits: OverviewLimits,
        clock: Clock = time.monotonic,
        deadline: float = DEFAULTS.wire.request_deadline,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._deadline = deadline
        self._memory = Budget(WIDE * limits.table_sorted)
        """For columns that are sorted, and rows that are looked for."""
        self._matches: Lru[object, Matches] = Lru(limits.tables_kept, lambda found: found.counted)
        self._orders: Lru[object, IntArray] = Lru(limits.tables_kept, lambda rows: rows.nbytes)
        self._flights: SingleFlight[object, IntArray] = SingleFlight()

    async def choose(
        self, sheet: Sheet, start: int, count: int, where: Sequence[Condition], sort: str
    ) -> Chosen:
        """Return the rows of a page.

        Parameters
        ----------
        sheet : Sheet
        start, count : int
            Of the rows that match, in their order.
        where : sequence of Condition
        sort : str
            Name of a column, with ``-`` in front for the opposite order; empty for that of storage.
        """
        where = (*sheet.present, *where)
        tests = [(one.name, one.test(sheet.dtype(one.name))) for one in where]
        if not where and not sort:
            length = sheet.length
            return Chosen(range(min(start, length), min(start + count, length)), length, length)
        key = (sheet.version, where)
        if sort:
            self._check_sorted(sheet)
            rows = await self._sorted((*key, sort), sheet, sort)
            if not where:
                return Chosen(rows[start : start + count], len(rows), len(rows))
        found = self._matches.get(key)
        if found is None:  # those who ask meanwhile wait for this search
            self._keep(key, found := Matches())
        async with found.lock:
            with await self._hold(found, sheet, sort):
                try:
                    await self._search(found, sheet, tests, whole=bool(sort))
                finally:
                    self._keep(key, found)
                matching = await asyncio.to_thread(found.all)
                total = len(matching) if found.looked >= sheet.length else None
                if sort:
                    matching = await asyncio.to_thread(_in_order, rows, matching, sheet.length)
        return Chosen(matching[start : start + count], total, len(matching))

    async def _hold(self, found: Matches, sheet: Sheet, sort: str) -> Hold:
        """Take the memory for finding rows: their numbers twice, and a step of columns."""
        if not sort and found.looked >= sheet.length and len(found.parts) == 1:
            return Hold(self._memory, 0)  # they are known: no search is waited for
        size = 2 * 8 * min(sheet.length, self._limits.table_sorted) + STEP
        return await self._memory.take(size, self._deadline)

    def _keep(self, key: object, found: Matches) -> None:
        self._matches.pop(key)
        found.counted = found.nbytes
        self._matches.put(key, found)

    def _check_sorted(self, sheet: Sheet) -> None:
        most = self._limits.table_sorted
        if sheet.length > most:
            raise TooLarge(f"this table has {sheet.length} rows, TABLE_SORTED is {most}")

    async def _sorted(self, key: tuple[object, ...], sheet: Sheet, sort: str) -> IntArray:
        name, backwards = (sort[1:], True) if sort.startswith("-") else (sort, False)
        key = (key[0], name, backwards)
        dtype = sheet.dtype(name)
        tables.order(np.empty(0, dtype.base).reshape(0, *dtype.shape), backwards=backwards)
        found = self._orders.get(key)
        if found is not None:
            return found

        size, most = sheet.length * dtype.itemsize, self._memory.max_bytes
        if size > most:
            raise TooLarge(
                f"the items of {name[:80]!r} have {size} bytes, TABLE_SORTED allows {most}"
            )

        async def sorting() -> IntArray:
            with await self._memory.take(size, self._deadline) as hold:
                parts = []
                for start in range(0, sheet.length, sheet.step):
                    stop = min(start + sheet.step, sheet.length)
                    parts.append((await sheet.read([name], range(start, stop)))[0][0])
                values = np.concatenate(parts) if parts else np.empty(0, dtype)
                order = await asyncio.to_thread(tables.order, values, backwards=backwards)
                hold.release()
            self._orders.put(key, order)
            return order

        return await self._flights.run(key, sorting)

    async def _search(
        self, found: Matches, sheet: Sheet, tests: list[tuple[str, tables.Test]],
        *, whole: bool,
    ) -> None:  # fmt: skip
        """Look for matches where they were not looked for yet, until the time is over."""
        until = self._clock() + self._limits.table_time
        names = list(dict.fromkeys(name for name, _ in tests))
        most = self._limits.table_sorted
        while found.looked < sheet.length and found.found <= most:
            if not whole and self._clock() >= until:
                return
            start, stop = found.looked, min(found.looked + sheet.step, sheet.length)
            columns = dict(zip(names, await sheet.read(names, range(start, stop)), strict=True))

            def matching() -> IntArray:
                mask = np.ones(stop - start, np.bool_)  # noqa: B023
                for name, test in tests:
                    values, present = columns[name]  # noqa: B023
                    mask &= test(values) if present is None else test(values) & present
                return np.flatnonzero(mask) + start  # noqa: B023

            found.add(await asyncio.to_thread(matching), stop)


def _in_order(rows: IntArray, matching: IntArray, length: int) -> IntArray:
    """Return those of some rows that match, in the order of the rows."""
    mask = np.zeros(length, np.bool_)
    mask[matching] = True
    return rows[mask[rows]]
