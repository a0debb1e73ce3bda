"""Opening of tables: a dataset, or a directory or file whose datasets are columns."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence

from caterva2.arrays.tables import Condition
from caterva2.errors import BadRequest, NotFound
from caterva2.model import DatasetInfo, Entry
from caterva2.names import DatasetPath, RootName, full_name
from caterva2.rest.values.tables import COLUMNS
from caterva2.web.reader import Dataset, Reader
from caterva2.web.tables.sheets import STEP, Columns

_SUFFIX, _VALID, _NOT_NULL = ".b2nd", "_valid_rows", ".notnull"


def _path(directory: str, name: str, mark: str = "") -> str:
    """Return where a column lies: one named ``a.b`` is ``a/b``."""
    below = f"{name.replace('.', '/')}{mark}{_SUFFIX}"
    return f"{directory}/{below}" if directory else below


async def columns(
    reader: Reader,
    place: tuple[RootName, str],
    group: DatasetInfo | None,
    shown: Sequence[str],
    used: Iterable[str],
) -> Columns:
    """Open the columns of a table that are shown, the first ones if none is named, or used.

    Raises
    ------
    NotFound
        If there is no table.
    BadRequest
        If a column is not there, or columns differ in their length.
    """
    root, directory = place
    if group is None or not group.columns:
        raise NotFound(f"{full_name(root, directory)} is no table")
    entries = await reader.entries(root)
    names = dict.fromkeys(name for name in group.columns if _path(directory, name) in entries)
    shown = tuple(shown or itertools.islice(names, COLUMNS))
    wanted = dict.fromkeys((*shown, *used))
    for name in wanted:
        if name not in names:
            raise BadRequest(f"there is no column {name[:80]!r} that is served")
    opened = await _open(reader, root, {name: _path(directory, name) for name in wanted})
    marks = {name: _path(directory, name, _NOT_NULL) for name in wanted}
    not_null = await _open(reader, root, _there(marks, entries))
    valid = await _open(reader, root, _there({_VALID: _path(directory, _VALID)}, entries))
    every = {**opened, **valid}
    lengths = {one.info.shape[0] if one.info.shape else 0 for one in every.values()}
    if len(lengths) > 1:
        raise BadRequest(f"columns of this table have different lengths: {sorted(lengths)}")
    present = (Condition(_VALID, "==", "true"),) if valid else ()
    return Columns(
        every, not_null, shown, max(lengths, default=0),
        _version(root, [*every.values(), *not_null.values()]), _step(every.values()), present,
    )  # fmt: skip


def _there(paths: Mapping[str, str], entries: Mapping[DatasetPath, Entry]) -> dict[str, str]:
    return {name: path for name, path in paths.items() if path in entries}


async def _open(reader: Reader, root: RootName, paths: Mapping[str, str]) -> dict[str, Dataset]:
    found = await asyncio.gather(
        *[reader.dataset(root, DatasetPath(path)) for path in paths.values()]
    )
    return dict(zip(paths, found, strict=True))


def _version(root: RootName, datasets: Iterable[Dataset]) -> str:
    text = "\0".join([root, *(f"{one.info.path} {one.info.etag}" for one in datasets)])
    return hashlib.blake2b(text.encode(), digest_size=9).hexdigest()


def _step(datasets: Iterable[Dataset]) -> int:
    """Return rows of which all columns together have about `STEP` bytes, in whole chunks."""
    infos = [one.info for one in datasets]
    width = sum(max(1, info.nbytes // max(info.shape[0], 1)) for info in infos)
    rows = max((info.chunks[0] for info in infos), default=1)
    return max(1, STEP // width // max(rows, 1)) * max(rows, 1)
