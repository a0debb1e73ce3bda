"""The plane of an array that a page shows, as its address says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from caterva2.arrays import selection
from caterva2.arrays.selection import Selection
from caterva2.errors import BadRequest

ROWS, COLUMNS = 50, 20
"""Size of the window of a plane that is shown, and read, at a time."""


@dataclass(frozen=True, slots=True)
class Plane:
    """The part of an array along at most two axes, and a window of it.

    Parameters
    ----------
    selection : Selection
        An index for each axis that is not shown.
    rows, columns : int or None
        The axes that are shown downwards and to the right.
    row, column : int
        The first of the plane's rows and columns in the window.
    """

    selection: Selection
    rows: int | None
    columns: int | None
    row: int = 0
    column: int = 0

    @property
    def shown(self) -> tuple[int, ...]:
        """The axes that are shown."""
        return tuple(axis for axis in (self.rows, self.columns) if axis is not None)

    @property
    def text(self) -> str:
        """The plane as a slice string; an axis that is shown as a whole is ``:``."""
        return ",".join(map(_entry, self.selection.axes, self.selection.shape))

    @property
    def is_turned(self) -> bool:
        """Whether rows are along a later axis than columns."""
        return self.rows is not None and self.columns is not None and self.rows > self.columns

    def along(self, axis: int | None) -> range:
        """Return the indices along an axis that is shown; one of an axis that is not there."""
        found = self.selection.axes[axis] if axis is not None else range(1)
        return found if isinstance(found, range) else range(found, found + 1)

    def window(self, columns: int = COLUMNS) -> Selection:
        """Return the selection of what is shown at a time."""
        axes = list(self.selection.axes)
        if self.rows is not None:
            axes[self.rows] = self.along(self.rows)[self.row : self.row + ROWS]
        if self.columns is not None:
            axes[self.columns] = self.along(self.columns)[self.column : self.column + columns]
        return Selection(self.selection.shape, tuple(axes))


def _entry(axis: int | range, size: int) -> str:
    if isinstance(axis, int):
        return str(axis)
    if axis == range(size):
        return ":"
    if not axis:
        return "0:0"
    return selection.to_string(selection.as_slice(axis))


def plane_of(given: Mapping[str, str], shape: tuple[int, ...], most: int) -> Plane:
    """Return the plane that the parameters of an address name.

    ``slice`` is the slice string, ``y`` and ``x`` the axes of rows and columns, ``i0``, ``i1`` ...
    an index along an axis that is not shown, ``row`` and ``col`` the window.

    Parameters
    ----------
    given : mapping of str to str
    shape : tuple of int
        Of an array with items.
    most : int
        How many axes are shown at most.

    Raises
    ------
    BadSelection, BadRequest
        If a parameter can't be read, or the array has no such axis or index.
    """
    asked = selection.parse(given.get("slice"), shape)
    shown = _shown(given, asked, most)
    axes: list[int | range] = []
    for n, axis in enumerate(asked.axes):
        if n in shown:
            axes.append(axis if isinstance(axis, range) and axis else range(shape[n]))
        else:
            first = axis if isinstance(axis, int) else axis[0] if axis else 0
            axes.append(number(given, f"i{n}", first, shape[n]))
    rows = shown[0] if shown else None
    columns = shown[1] if len(shown) > 1 else None
    made = Plane(Selection(shape, tuple(axes)), rows, columns)
    width = len(made.along(columns)) if columns is not None else None
    row = number(given, "row", 0, len(made.along(rows)))
    return replace(made, row=row, column=number(given, "col", 0, width))


def _shown(given: Mapping[str, str], asked: Selection, most: int) -> tuple[int, ...]:
    ndim = len(asked.shape)
    ranged = tuple(n for n, axis in enumerate(asked.axes) if isinstance(axis, range))[-most:]
    named = [name for name in ("y", "x")[: len(ranged)] if given.get(name)]
    if not named:
        return ranged
    rows = number(given, "y", ranged[0], ndim)
    if len(ranged) < 2:
        return (rows,)
    columns = number(given, "x", ranged[1], ndim)
    if rows == columns:  # the other one was meant to change
        columns = ranged[0] if rows == ranged[1] else ranged[1]
    return rows, columns


def number(given: Mapping[str, str], name: str, usual: int, size: int | None = None) -> int:
    """Return a parameter that is an index, clipped to an axis; `BadRequest` if it is no number."""
    text = given.get(name, "").strip()
    if not text:
        return usual
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise BadRequest(f"{name}={text[:20]!r} is not a number of 0 or more")
    return min(int(text), size - 1) if size else int(text)
