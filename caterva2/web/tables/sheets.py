"""Sheets: what has rows and columns, and how their values are read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from caterva2.arrays import fields, selection
from caterva2.arrays.fields import FieldPath, Values
from caterva2.arrays.points import Points
from caterva2.arrays.selection import Axis, IntArray, Selection
from caterva2.arrays.tables import Condition
from caterva2.errors import BadRequest, BadSelection
from caterva2.limits.constants import MIB
from caterva2.names import RootName
from caterva2.web.reader import Dataset

Rows = range | IntArray
"""Numbers of rows: some that follow each other, or any."""
Column = tuple[Values, npt.NDArray[np.bool_] | None]
"""Values of a column, and where they are not null if that is stored."""
STEP = 4 * MIB
"""Bytes of the items that are read at once in search of matches."""
ONLY = "value"
"""Name of the column of an array with one axis, and no fields."""


class Sheet(Protocol):
    """A table of one version.

    Attributes
    ----------
    names : tuple of str
        Of all columns.
    length : int
        Number of rows, with deleted ones.
    version : str
        Differs for other datasets, and for other rows of a version too.
    step : int
        Rows that are looked at at once in search of matches.
    present : tuple of Condition
        Holds for rows that are not deleted.
    """

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def length(self) -> int: ...
    @property
    def version(self) -> str: ...
    @property
    def step(self) -> int: ...
    @property
    def present(self) -> tuple[Condition, ...]: ...

    def dtype(self, name: str) -> np.dtype[Any]:
        """Return the dtype of a column; `BadRequest` if there is none of this name."""
        ...

    async def read(self, names: Sequence[str], rows: Rows) -> list[Column]:
        """Read columns of some rows."""
        ...


def _selected(axes: Sequence[Axis], shape: tuple[int, ...], at: int, rows: Rows) -> Any:
    """Replace axis ``at`` of a selection by some of its items."""
    axis = axes[at]
    assert isinstance(axis, range)
    if isinstance(rows, range):
        part = axis[rows.start : rows.stop]
        return Selection(shape, (*axes[:at], part, *axes[at + 1 :]))
    numbers = axis.start + axis.step * rows
    given = [np.asarray(one) if isinstance(one, int) else one for one in axes]
    return Points(shape, (*given[:at], numbers, *given[at + 1 :]), (len(rows),))


def _version(root: RootName, dataset: Dataset, chosen: Selection) -> str:
    """Return what names a selection of one version: others have other rows.

    Publishers choose etags, so that datasets of several may have one in common.
    """
    return f"{root}/{dataset.info.path} {dataset.info.etag} {chosen.axes}"


def _step(dataset: Dataset, at: int) -> int:
    """Return the rows of some chunks with `STEP` bytes together."""
    info = dataset.info
    rows = max(1, info.chunks[at])
    each = max(1, info.chunksize // rows)
    return max(1, STEP // each // rows) * rows


@dataclass(frozen=True)
class Records:
    """The records of a structured array, or the only column of another one."""

    dataset: Dataset
    selection: Selection
    at: int
    names: tuple[str, ...]
    length: int
    version: str
    step: int
    present: tuple[Condition, ...] = ()

    @classmethod
    def of(cls, root: RootName, dataset: Dataset, chosen: Selection) -> Records:
        """Return the sheet of a selection with one axis."""
        at = next(n for n, axis in enumerate(chosen.axes) if isinstance(axis, range))
        dtype = fields.dtype_of(dataset.info)
        return cls(
            dataset, chosen, at, dtype.names or (ONLY,), chosen.size,
            _version(root, dataset, chosen), _step(dataset, at),
        )  # fmt: skip

    def _field(self, name: str) -> FieldPath:
        if fields.dtype_of(self.dataset.info).names is not None:
            return fields.find(self.dataset.info, name)
        if name != ONLY:
            raise BadRequest(f"there is no column {name[:80]!r}, there is {ONLY}")
        return ()

    def dtype(self, name: str) -> np.dtype[Any]:
        return fields.dtype_of(self.dataset.info, self._field(name))

    def region(self, rows: Rows) -> Selection | Points:
        """Return the part of the array that some rows are."""
        found: Selection | Points
        found = _selected(self.selection.axes, self.dataset.info.shape, self.at, rows)
        return found

    async def read(self, names: Sequence[str], rows: Rows) -> list[Column]:
        region = self.region(rows)
        own = fields.dtype_of(self.dataset.info)
        needed = sum(self.dtype(name).itemsize for name in names)
        # Whole records are read once, but other fields may be large: they count in no budget.
        if len(names) > 1 and own.itemsize * len(rows) <= max(STEP, 2 * needed * len(rows)):
            records = await self.dataset.values(region)
            return [(fields.pick(records, self._field(name)), None) for name in names]
        return [(await self.dataset.values(region, self._field(name)), None) for name in names]


@dataclass(frozen=True)
class Plane:
    """The rows and columns of a selection with two axes; columns have their numbers as names."""

    dataset: Dataset
    selection: Selection
    names: tuple[str, ...]
    length: int
    version: str
    step: int
    present: tuple[Condition, ...] = ()

    @classmethod
    def of(cls, root: RootName, dataset: Dataset, chosen: Selection) -> Plane:
        """Return the sheet of a selection with two axes."""
        if fields.dtype_of(dataset.info).names is not None:
            raise BadSelection("records are columns: slice_ has to select one axis of them")
        rows, columns = chosen.result_shape
        at = _ranges(chosen)[0]
        names, version = tuple(map(str, range(columns))), _version(root, dataset, chosen)
        return cls(dataset, chosen, names, rows, version, _step(dataset, at))

    def _number(self, name: str) -> int:
        if not name.isdecimal() or not name.isascii() or int(name) >= len(self.names):
            raise BadRequest(
                f"there is no column {name[:80]!r}, there are 0 to {len(self.names) - 1}"
            )
        return int(name)

    def dtype(self, name: str) -> np.dtype[Any]:
        self._number(name)
        return fields.dtype_of(self.dataset.info)

    async def read(self, names: Sequence[str], rows: Rows) -> list[Column]:
        at, across = _ranges(self.selection)
        numbers = [self._number(name) for name in names]
        low, high = min(numbers), max(numbers) + 1
        axes = list(self.selection.axes)
        axis = axes[across]
        assert isinstance(axis, range)
        if high - low <= 2 * len(numbers):
            axes[across] = axis[low:high]
            block = await self.dataset.values(_selected(axes, self.dataset.info.shape, at, rows))
            # Where an integer is apart from them, the axis of index arrays comes first.
            return [(np.asarray(block)[:, n - low], None) for n in numbers]
        found: list[Column] = []
        for n in numbers:
            axes[across] = axis[n]
            region = _selected(axes, self.dataset.info.shape, at, rows)
            found.append((await self.dataset.values(region), None))
        return found


def _ranges(chosen: Selection) -> list[int]:
    return [n for n, axis in enumerate(chosen.axes) if isinstance(axis, range)]


@dataclass(frozen=True)
class Columns:
    """A table whose columns are datasets, maybe with deleted rows and nulls."""

    datasets: Mapping[str, Dataset]
    not_null: Mapping[str, Dataset]
    names: tuple[str, ...]
    length: int
    version: str
    step: int
    present: tuple[Condition, ...]

    def _dataset(self, name: str) -> Dataset:
        found = self.datasets.get(name)
        if found is None:
            raise BadRequest(f"there is no column {name[:80]!r}")
        return found

    def dtype(self, name: str) -> np.dtype[Any]:
        info = self._dataset(name).info
        base: Any = fields.dtype_of(info)
        return np.dtype((base, info.shape[1:])) if len(info.shape) > 1 else base

    async def read(self, names: Sequence[str], rows: Rows) -> list[Column]:
        async def values(dataset: Dataset) -> Values:
            whole = selection.whole(dataset.info.shape).axes
            return await dataset.values(_selected(whole, dataset.info.shape, 0, rows))

        async def column(name: str) -> Column:
            kept = self.not_null.get(name)
            mask = None if kept is None else np.asarray(await values(kept), np.bool_)
            return await values(self._dataset(name)), mask

        return list(await asyncio.gather(*[column(name) for name in names]))


def of_dataset(root: RootName, dataset: Dataset, chosen: Selection) -> Sheet:
    """Return the sheet of a selection of an array of a root."""
    count = len(chosen.result_shape)
    if count == 2:
        return Plane.of(root, dataset, chosen)
    if count != 1:
        raise BadSelection(
            f"this selects {count} axes of {list(dataset.info.shape)}, a table has one or two: "
            "slice_ takes an integer for each other axis"
        )
    return Records.of(root, dataset, chosen)
