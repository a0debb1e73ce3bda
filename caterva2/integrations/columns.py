"""Columns of a table: of an array of records, of a plain array, or of a table of Blosc2."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from caterva2.errors import BadRequest

if TYPE_CHECKING:
    from caterva2.client.objects.dataset import Dataset
    from caterva2.client.objects.group import Group

BATCH = 16_000_000
"""Bytes of the rows that are read at once."""
_SUFFIX, _VALID, _NOT_NULL = ".b2nd", "_valid_rows.b2nd", ".notnull.b2nd"

Values = npt.NDArray[Any]
Batch = dict[str, tuple[Values, Values | None]]
"""Values of columns by their names, and where they are not null if that is kept."""


@dataclass(frozen=True)
class Columns:
    """The columns of a table that are read together.

    Parameters
    ----------
    dtypes : mapping of str to dtype
        Those of the columns by their names, with subarrays for items that are arrays.
    length : int
        Rows, with deleted ones.
    chunk : int
        Rows of a chunk.
    read : callable
        Reads the rows of a slice.
    """

    dtypes: Mapping[str, np.dtype[Any]]
    length: int
    chunk: int
    read: Callable[[slice], Batch]

    def batches(self, rows: slice | None) -> Iterator[Batch]:
        """Read rows in batches of whole chunks and bounded size."""
        chosen = range(*(rows or slice(None)).indices(self.length))
        width = max(sum(dtype.itemsize for dtype in self.dtypes.values()), 1)
        step = max(BATCH // (width * self.chunk), 1) * self.chunk
        if width * self.chunk > 4 * BATCH:  # a chunk is too much
            step = max(BATCH // width, 1)
        for start in range(0, len(chosen), step):
            part = chosen[start : start + step]
            stop = part.stop if part.stop >= 0 else None
            yield self.read(slice(part.start, stop, part.step))


def of_dataset(dataset: Dataset, wanted: Sequence[str] | None = None) -> Columns:
    """Return the columns of an array of records, or the only one of a plain array."""
    array = dataset.pinned()
    if array.ndim != 1:
        raise BadRequest(f"{array.path} has {array.ndim} dimensions: the rows of a table have one")
    chunk = max(array.chunks[0], 1)
    if array.dtype.names is None:
        name = array.path.name.removesuffix(_SUFFIX)
        _check(array.path, wanted, (name,))
        return Columns(
            {name: array.dtype}, array.shape[0], chunk, lambda rows: {name: (array[rows], None)}
        )
    _check(array.path, wanted, array.dtype.names)
    names = tuple(array.dtype.names if wanted is None else wanted)

    def read(rows: slice) -> Batch:
        if wanted is not None and 2 * len(names) <= len(array.dtype.names or ()):
            return {name: (np.asarray(array.fields[name][rows]), None) for name in names}
        records = array[rows]
        return {name: (records[name], None) for name in names}

    return Columns({name: array.dtype[name] for name in names}, array.shape[0], chunk, read)


def of_table(group: Group, wanted: Sequence[str] | None = None) -> Columns:
    """Return the columns of a table of Blosc2, without deleted rows.

    Parameters
    ----------
    group : Group
    wanted : sequence of str, optional
        Names of columns; all by default.
    """
    from caterva2.client.objects.dataset import Dataset

    if not getattr(group, "columns", ()):  # a root has none
        raise BadRequest(f"{group!r} is no table")
    _check(group.path, wanted, group.columns)
    client: Any = group._client
    members = client.get_members(group.path)

    def opened(name: str) -> Dataset | None:
        meta = members.get(name)
        if meta is None or "shape" not in meta:
            return None
        return Dataset(client, f"{group.path}/{name}", meta, pinned=True)

    names = tuple(group.columns if wanted is None else wanted)
    arrays, masks = dict[str, Dataset](), dict[str, Dataset | None]()
    for name in names:
        found = opened(name.replace(".", "/") + _SUFFIX)
        if found is None or not found.shape:
            raise BadRequest(f"column {name!r} of {group.path} is not served: name others")
        arrays[name] = found
        masks[name] = opened(name.replace(".", "/") + _NOT_NULL)
    valid = opened(_VALID)
    lengths = {array.shape[0] for array in arrays.values()}
    if len(lengths) > 1:
        raise BadRequest(f"columns of {group.path} have different lengths: {sorted(lengths)}")

    def read(rows: slice) -> Batch:
        kept = ... if valid is None else np.asarray(valid[rows], np.bool_)
        made: Batch = {}
        for name, array in arrays.items():
            mask = masks[name]
            there = None if mask is None else np.asarray(mask[rows], np.bool_)[kept]
            made[name] = (np.asarray(array[rows])[kept], there)
        return made

    first = next(iter(arrays.values()))
    dtypes = {name: np.dtype((array.dtype, array.shape[1:])) for name, array in arrays.items()}
    return Columns(dtypes, first.shape[0], max(first.chunks[0], 1), read)


def _check(path: object, wanted: Sequence[str] | None, known: Sequence[str]) -> None:
    """Refuse columns that there are not, or none at all."""
    if wanted is None:
        return
    if isinstance(wanted, str) or not wanted:
        raise BadRequest(f"columns is a list of names, not {wanted!r}")
    for name in wanted:
        if name not in known:
            raise BadRequest(f"{path} has no column {name!r}; there are: {', '.join(known)}")
    if len(set(wanted)) < len(wanted):
        raise BadRequest("a column is named twice")
