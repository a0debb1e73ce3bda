"""Selections: a numpy key or a slice string, normalised for an array's shape.

An axis of a `Selection` is an ``int`` (the axis goes away) or a ``range`` (start, stop, step
as Python has them, all within bounds), so the standard library does the arithmetic.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import EllipsisType

import numpy as np
import numpy.typing as npt

from caterva2.errors import BadSelection
from caterva2.limits import constants

Axis = int | range
Index = int | slice | EllipsisType
IntArray = npt.NDArray[np.int64]

_BLANK = " \t\r\n"
_PART = r"[ \t\r\n]*+([+-]?[0-9]++)?+[ \t\r\n]*+"  # possessive: it never takes long to fail
_ENTRY = re.compile(f"{_PART}(?:(:){_PART}(?::{_PART})?+)?+")
"""A number, or a slice: start, a colon, stop and step."""
_DIGITS = 19
"""Digits of a number beyond which it lies outside of any array, and is clipped."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The part of an array that integers and slices select.

    Parameters
    ----------
    shape : tuple of int
        Shape of the whole dataset, in items.
    axes : tuple of int or range
        One for each dimension.
    """

    shape: tuple[int, ...]
    axes: tuple[Axis, ...]
    result_shape: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """Shape of the selected values, by numpy's rules."""
    size: int = field(init=False, repr=False, compare=False)
    """Number of selected items."""

    def __post_init__(self) -> None:
        # Computed once: one small read uses them many times.
        shape = tuple([len(axis) for axis in self.axes if isinstance(axis, range)])
        object.__setattr__(self, "result_shape", shape)
        object.__setattr__(self, "size", math.prod(shape))

    @property
    def is_whole(self) -> bool:
        """Whether it selects the whole dataset with all its axes, in order."""
        return all(
            axis == range(size) for axis, size in zip(self.axes, self.shape, strict=True)
        )  # two ranges are equal when they name the same sequence

    def is_aligned(self, chunks: tuple[int, ...]) -> bool:
        """Return whether it consists of whole chunks, which need not be decoded to be sent."""
        return all(
            isinstance(axis, range)
            and len(axis) > 0
            and axis.step == 1
            and axis.start % chunk == 0
            and (axis.stop % chunk == 0 or axis.stop == size)
            for axis, chunk, size in zip(self.axes, chunks, self.shape, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Box:
    """The chunks that a selection touches, as a smaller array of only these chunks.

    Parameters
    ----------
    chunk_ids : ndarray of int64
        Numbers of the touched chunks in C order.
    shape : tuple of int
        Shape of the small array, in items.
    cut : tuple of int, slice or ndarray
        Index on each axis of the small array that gives the selection.
    """

    chunk_ids: IntArray
    shape: tuple[int, ...]
    cut: tuple[int | slice | IntArray, ...]

    @property
    def is_all(self) -> bool:
        """Whether this is the whole small array, in order: axes without an index are whole."""
        return all(
            isinstance(cut, slice) and range(*cut.indices(size)) == range(size)
            for cut, size in zip(self.cut, self.shape, strict=False)
        )

    def take(self, small: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Cut the selection out of the small array."""
        # One axis at a time, from the last: an array index here means "these positions of this
        # axis", never numpy's broadcasting of several index arrays together.
        for position in reversed(range(len(self.cut))):
            small = small[(slice(None),) * position + (self.cut[position], ...)]  # an array
        return small


def count_chunks(selection: Selection, chunks: tuple[int, ...]) -> int:
    """Count the chunks that a selection touches, without listing them."""
    if selection.size == 0:
        return 0
    count = 1
    for axis, chunk in zip(selection.axes, chunks, strict=True):
        if isinstance(axis, range):
            count *= _touched_count(axis, chunk)
    return count


def box(selection: Selection, chunks: tuple[int, ...]) -> Box:
    """Return the chunks that a selection touches.

    Parameters
    ----------
    selection : Selection
    chunks : tuple of int
        Shape of a chunk, in items.
    """
    if selection.size == 0:
        empty = tuple(len(axis) if isinstance(axis, range) else 1 for axis in selection.axes)
        cut = tuple(slice(None) if isinstance(axis, range) else 0 for axis in selection.axes)
        return Box(np.empty(0, np.int64), empty, cut)
    ids = np.zeros(1, np.int64)
    shape, cuts = [], []
    for axis, chunk, size in zip(selection.axes, chunks, selection.shape, strict=True):
        touched = _touched(axis, chunk)
        ids = (ids[:, None] * -(-size // chunk) + touched).ravel()
        width = (len(touched) - 1) * chunk + min(chunk, size - int(touched[-1]) * chunk)
        shape.append(width)
        cuts.append(_relative(axis, chunk, touched))
    return Box(ids, tuple(shape), tuple(cuts))


def split(
    selection: Selection, chunks: tuple[int, ...], max_chunks: int
) -> Iterator[tuple[Selection, tuple[slice, ...]]]:
    """Divide a selection into parts that touch at most ``max_chunks`` chunks each.

    Yields
    ------
    part : Selection
    where : tuple of slice
        Place of the part in the result of the whole.
    """
    where = tuple(slice(0, len(axis)) for axis in selection.axes if isinstance(axis, range))
    pending = [(selection, where)]
    while pending:
        part, where = pending.pop()
        at = _splittable(part, chunks) if count_chunks(part, chunks) > max_chunks else None
        if at is None:
            yield part, where
            continue
        axis = part.axes[at]
        assert isinstance(axis, range)
        middle = _middle(axis, chunks[at])
        position = sum(isinstance(a, range) for a in part.axes[:at])
        begin = where[position].start
        for piece, start in ((axis[middle:], begin + middle), (axis[:middle], begin)):
            axes = (*part.axes[:at], piece, *part.axes[at + 1 :])
            place = slice(start, start + len(piece))
            pending.append(
                (Selection(part.shape, axes), (*where[:position], place, *where[position + 1 :]))
            )


def _splittable(part: Selection, chunks: tuple[int, ...]) -> int | None:
    """Return the first axis that touches more than one chunk."""
    for at, (axis, chunk) in enumerate(zip(part.axes, chunks, strict=True)):
        if isinstance(axis, range) and _touched_count(axis, chunk) > 1:
            return at
    return None


def _middle(axis: range, chunk: int) -> int:
    """Count the items of an axis in about the first half of the chunks that it touches."""
    first, target = axis[0] // chunk, axis[len(axis) // 2] // chunk
    if axis.step > 0:
        target = max(target, first + 1)
        distance = target * chunk - axis[0]
    else:
        target = min(target, first - 1)
        distance = axis[0] - (target * chunk + chunk - 1)
    return -(-distance // abs(axis.step))


def _touched_count(axis: range, chunk: int) -> int:
    if abs(axis.step) >= chunk:
        return len(axis)
    return abs(axis[-1] // chunk - axis[0] // chunk) + 1


def _touched(axis: Axis, chunk: int) -> IntArray:
    """Positions of the touched chunks along an axis, ascending."""
    if isinstance(axis, int):
        return np.array([axis // chunk])
    low, high = sorted((axis[0], axis[-1]))
    if abs(axis.step) < chunk:
        return np.arange(low // chunk, high // chunk + 1)
    return np.arange(low, high + 1, abs(axis.step)) // chunk


def _relative(axis: Axis, chunk: int, touched: IntArray) -> int | slice | IntArray:
    origin = int(touched[0]) * chunk
    if isinstance(axis, int):
        return axis - origin
    if int(touched[-1]) - int(touched[0]) + 1 == len(touched):
        return as_slice(range(axis.start - origin, axis.stop - origin, axis.step))
    items = np.arange(axis.start, axis.stop, axis.step)
    return np.searchsorted(touched, items // chunk) * chunk + items % chunk


def as_key(selection: Selection) -> tuple[int | slice, ...]:
    """Return the numpy key of a selection that is not empty."""
    return tuple(axis if isinstance(axis, int) else as_slice(axis) for axis in selection.axes)


def as_slice(axis: range) -> slice:
    """Return the slice that selects the items of a non-empty range, with a step of either sign."""
    last = axis[-1]
    if axis.step > 0:
        return slice(axis[0], last + 1, axis.step)
    return slice(axis[0], last - 1 if last > 0 else None, axis.step)


def normalise(key: object, shape: tuple[int, ...]) -> Selection:
    """Return the selection of a numpy key of integers, slices and ``...``.

    Raises
    ------
    BadSelection
        If an integer is out of range, there are too many indices, or an index is of another
        kind.
    """
    entries = key if isinstance(key, tuple) else (key,)
    dots = sum([entry is Ellipsis for entry in entries])
    if dots > 1:
        raise BadSelection("a selection may have one '...' only")
    given = len(entries) - dots
    if given > len(shape):
        raise BadSelection(f"too many indices: {given} for {len(shape)} dimensions")
    full = list(entries)
    if given < len(shape) or dots:
        at = next((n for n, entry in enumerate(full) if entry is Ellipsis), len(full))
        full[at : at + 1] = [slice(None)] * (len(shape) - given)
    axes = [_axis(entry, size, n) for n, (entry, size) in enumerate(zip(full, shape, strict=True))]
    return Selection(shape, tuple(axes))


def _axis(entry: object, size: int, position: int) -> Axis:
    if isinstance(entry, slice):
        try:
            start, stop, step = entry.indices(size)
        except (ValueError, TypeError) as error:
            raise BadSelection(f"axis {position}: {error}") from None
        if step == 1:
            return range(start, stop)
        # A step as long as the axis takes its first item too, and fits into an int64.
        return range(start, stop, max(-max(size, 1), min(step, max(size, 1))))
    if isinstance(entry, bool | np.bool_) or not hasattr(entry, "__index__"):
        raise BadSelection(f"axis {position}: {type(entry).__name__} is not an index")
    index: int = entry.__index__()
    if not -size <= index < size:
        raise BadSelection(f"index {index} is out of bounds for axis {position} with size {size}")
    return index % size


def whole(shape: tuple[int, ...]) -> Selection:
    """Return the selection of a whole dataset."""
    return Selection(shape, tuple(range(size) for size in shape))


def parse(text: str | None, shape: tuple[int, ...]) -> Selection:
    """Return the selection of a slice string such as ``"1, :5, ::2"``; an empty one selects all.

    Raises
    ------
    BadSelection
        If the string is malformed or does not fit the shape.
    """
    return normalise(parse_key(text), shape)


def parse_key(text: str | None) -> tuple[Index, ...]:
    """Return the numpy key of a slice string."""
    if text is None or not text.strip(_BLANK):
        return ()
    if len(text) > constants.SELECTION_LENGTH:
        raise BadSelection(f"slice of {len(text)} characters is too long")
    entries = text.split(",")
    if len(entries) > 1 and not entries[-1].strip(_BLANK):
        entries.pop()  # "5," is a tuple of one, as in Python
    return tuple([_parse_entry(entry, text) for entry in entries])


def _parse_entry(entry: str, text: str) -> Index:
    found = _ENTRY.fullmatch(entry)
    start, colon, stop, step = found.groups() if found else (None,) * 4
    if colon:
        return slice(*[part and _number(part) for part in (start, stop, step)])
    if start is not None:
        return _number(start)
    if entry.strip(_BLANK) == "...":
        return Ellipsis
    raise BadSelection(f"{text[:80]!r} is not a slice: {entry[:40]!r} can't be read")


def _number(text: str) -> int:
    """Return a number that was written; one of too many digits is clipped, as its bound is."""
    if len(text) <= _DIGITS:
        return int(text)
    digits = text.lstrip("+-").lstrip("0") or "0"
    value = int(digits) if len(digits) <= _DIGITS else 10**_DIGITS
    return -value if text.startswith("-") else value


def to_string(key: object) -> str:
    """Return the slice string of a numpy key of integers, slices and ``...``."""
    if key is None:
        return ""
    entries = key if isinstance(key, tuple) else (key,)
    return ", ".join(map(_entry_string, entries))


def _entry_string(entry: object) -> str:
    if entry is Ellipsis:
        return "..."
    if isinstance(entry, slice):
        bounds = (entry.start, entry.stop, entry.step)
        try:
            start, stop, step = ("" if b is None else str(operator.index(b)) for b in bounds)
        except TypeError as error:
            raise BadSelection(f"{entry} is not a slice of integers: {error}") from None
        return f"{start}:{stop}" + (f":{step}" if step else "")
    if isinstance(entry, bool) or not hasattr(entry, "__index__"):
        raise BadSelection(f"{type(entry).__name__} is not an index")
    return str(entry.__index__())
