"""Numpy keys: the region to request for a key, and the layout of numpy's result.

A request has an integer, a slice or an index array for each dimension. Everything else in a
numpy key is expressed with these: a mask by the positions where it is true, and new axes are
added to the answer here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from caterva2.arrays import selection
from caterva2.client.read.region import Entry, IndexArray, Region
from caterva2.errors import BadSelection

_EXPECTED = (
    "only integers, slices, '...', numpy.newaxis and integer or boolean arrays are valid indices"
)


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The layout of numpy's result for a key.

    Parameters
    ----------
    region : Region
        To request.
    shape : tuple of int
        Shape of numpy's result.
    at : int
        Place of the block among the axes that are not new ones.
    scalar : bool
        Whether numpy gives a scalar, not an array.
    """

    region: Region
    shape: tuple[int, ...]
    at: int
    scalar: bool

    @property
    def is_empty(self) -> bool:
        """Whether nothing is selected; a key with ``False`` has a region that is not empty."""
        return 0 in self.shape

    def arrange(self, values: npt.NDArray[Any]) -> Any:
        """Arrange the values of the region as numpy's result."""
        width = len(self.region.block)
        if width and self.at != self.region.at:
            here, there = (
                range(self.region.at, self.region.at + width),
                range(self.at, self.at + width),
            )
            values = np.moveaxis(values, tuple(here), tuple(there))
        values = values.reshape(self.shape)
        return values[()] if self.scalar else values


def layout(key: object, shape: tuple[int, ...]) -> Layout:
    """Resolve a numpy key for an array of some shape.

    Raises
    ------
    BadSelection
        An `IndexError`, where numpy raises one.
    """
    entries = key if isinstance(key, tuple) else (key,)
    scalar = not any(entry is Ellipsis for entry in entries)
    if all(
        entry is Ellipsis or isinstance(entry, slice) or type(entry) is int for entry in entries
    ):
        chosen = selection.normalise(key, shape)
        result = chosen.result_shape
        return Layout(Region(shape, chosen.axes), result, 0, scalar and not result)
    full = _expand([_read(entry) for entry in entries], shape)
    if not any(isinstance(entry, np.ndarray) for entry in full):
        return _plain(full, shape, scalar)
    return _fancy(full, shape)


def _plain(full: list[Any], shape: tuple[int, ...], scalar: bool) -> Layout:
    axes = _bounded([entry for entry in full if not _is_virtual(entry)], shape)
    kept = [entry for entry in _merged(full, axes) if entry is None or isinstance(entry, range)]
    result = tuple(1 if entry is None else len(entry) for entry in kept)
    return Layout(Region(shape, axes), result, 0, scalar and not result)


def _fancy(full: list[Any], shape: tuple[int, ...]) -> Layout:
    """Resolve a key with index arrays; integers beside them count as index arrays too."""
    real = [entry for entry in full if not _is_virtual(entry)]
    axes = _bounded(real, shape)
    block = _broadcast([axis.shape for axis in axes if isinstance(axis, np.ndarray)])
    flags = [entry.shape for entry in full if isinstance(entry, _Flag)]
    everything = _broadcast([block, *flags])
    at = _block_at(axes) if block else 0
    region = Region(shape, axes, block, at)
    mixed = _merged(full, axes)
    place = _block_at(mixed)
    kept = [e for e in mixed if e is None or isinstance(e, range)]
    sizes = [1 if e is None else len(e) for e in kept]
    result = (*sizes[:place], *everything, *sizes[place:])
    before = sum(e is not None for e in kept[:place])
    return Layout(region, result, before, False)


class _Flag(np.ndarray[Any, np.dtype[np.intp]]):
    """A single ``True`` or ``False``: an index array of an axis that the dataset lacks."""


def _is_virtual(entry: object) -> bool:
    """Whether an entry selects along none of the dataset's axes."""
    return entry is None or entry is Ellipsis or isinstance(entry, _Flag)


def _merged(full: list[Any], axes: tuple[Entry, ...]) -> list[Any]:
    """Return all entries of a key, those of real axes within bounds."""
    bounded = iter(axes)
    return [entry if _is_virtual(entry) else next(bounded) for entry in full]


def _block_at(entries: Any) -> int:
    """Return where numpy puts the axes of index arrays, found by indexing a tiny array."""
    example = tuple(
        entry if entry is None or entry is Ellipsis
        else slice(None) if isinstance(entry, range)
        else np.zeros(2 if isinstance(entry, np.ndarray) else (), np.intp)
        for entry in entries
    )  # fmt: skip
    tiny = np.empty((1,) * sum(e is not None and e is not Ellipsis for e in entries), np.bool_)
    return tiny[example].shape.index(2)


def _broadcast(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        text = " ".join(map(str, shapes))
        raise BadSelection(
            f"shape mismatch: indexing arrays could not be broadcast together with shapes {text}"
        ) from None


def _read(entry: object) -> Any:
    """Convert an entry of a key to None, ``...``, an integer, a slice, or an array."""
    if entry is None or entry is Ellipsis or isinstance(entry, slice):
        return entry
    if isinstance(entry, bool | np.bool_):
        return np.asarray(entry)
    if not isinstance(entry, np.ndarray) and hasattr(entry, "__index__"):
        return entry.__index__()
    try:
        array = np.asarray(entry)
    except ValueError as error:
        raise BadSelection(f"an index is not an array: {error}") from None
    if array.size == 0 and not isinstance(entry, np.ndarray):
        return array.astype(np.intp)
    if array.dtype == np.bool_:
        return array
    if array.dtype.kind not in "iu":
        raise BadSelection(_EXPECTED)
    return array.astype(np.intp, casting="same_kind") if array.ndim else int(array)


def _expand(entries: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """Return entries for all axes, with masks as the positions that they select.

    A ``...`` that stands for no axis remains, since it separates index arrays.
    """
    if sum(entry is Ellipsis for entry in entries) > 1:
        raise BadSelection("a selection may have one '...' only")
    given = sum(map(_consumed, entries))
    if given > len(shape):
        raise BadSelection(f"too many indices: {given} for {len(shape)} dimensions")
    filler = [slice(None)] * (len(shape) - given)
    if not any(entry is Ellipsis for entry in entries):
        entries = [*entries, Ellipsis]
    full: list[Any] = []
    axis = 0
    for entry in entries:
        if entry is Ellipsis:
            full += filler or [Ellipsis]
            axis += len(filler)
        elif isinstance(entry, np.ndarray) and entry.dtype == np.bool_:
            full += _positions(entry, shape, axis)
        else:
            full.append(entry)
        axis += _consumed(entry)
    return full


def _consumed(entry: Any) -> int:
    """Return the number of the dataset's axes that an entry selects along."""
    if entry is None or entry is Ellipsis:
        return 0
    return entry.ndim if isinstance(entry, np.ndarray) and entry.dtype == np.bool_ else 1


def _positions(mask: npt.NDArray[np.bool_], shape: tuple[int, ...], axis: int) -> list[Any]:
    if mask.ndim == 0:
        return [np.zeros(int(mask), np.intp).view(_Flag)]
    there = shape[axis : axis + mask.ndim]
    # As in numpy, an axis of a mask that is empty fits any axis: it selects nothing.
    fits = all(wanted in (0, size) for wanted, size in zip(mask.shape, there, strict=False))
    if mask.ndim != len(there) or not fits:
        raise BadSelection(
            f"boolean index of shape {mask.shape} does not match {there}, from axis {axis} on"
        )
    return list(np.nonzero(mask))


def _bounded(real: list[Any], shape: tuple[int, ...]) -> tuple[Entry, ...]:
    """Bring the entries of real axes within bounds."""
    plain = tuple(slice(None) if isinstance(entry, np.ndarray) else entry for entry in real)
    axes = selection.normalise(plain, shape).axes
    return tuple(
        _wrapped(entry, shape[n], n) if isinstance(entry, np.ndarray) else axes[n]
        for n, entry in enumerate(real)
    )


def _wrapped(indices: IndexArray, size: int, axis: int) -> IndexArray:
    """Replace the negative indices of an array, which count from the end."""
    if indices.size == 0:
        return indices
    for extreme in (int(indices.min()), int(indices.max())):
        if not -size <= extreme < size:
            raise BadSelection(f"index {extreme} is out of bounds for axis {axis} with size {size}")
    return np.where(indices < 0, indices + size, indices)
