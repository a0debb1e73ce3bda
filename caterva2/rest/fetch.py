"""Parameters of ``fetch``, in the query or in a JSON body; and those of ``chunks``.

The latter are numbers of chunks: ``3,8:20`` for chunk 3 and those from 8 to 19.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, NotRequired

import numpy as np
import numpy.typing as npt
from pydantic import Field
from typing_extensions import TypedDict

from caterva2.errors import BadRequest, NotFound
from caterva2.limits import constants
from caterva2.rest.shapes import closed
from caterva2.rest.values.files import Format

Slice = Annotated[
    str,
    Field(
        max_length=constants.SELECTION_LENGTH,
        pattern=r"^[-+0-9:.,\s]*$",
        description="a slice as in Python, without brackets",
    ),
]
_Index = (
    int
    | None
    | Annotated[str, Field(description='`"start:stop"` or `"start:stop:step"`')]
    | Annotated[list[Any], Field(description="an index array: integers, or lists of them")]
)
Indices = Annotated[
    list[_Index], Field(max_length=constants.NDIM, description="one entry for each axis")
]
FieldName = Annotated[
    str, Field(max_length=constants.DTYPE_LENGTH, description="a field of a structured dtype")
]


@closed
class Fetch(TypedDict):
    """Parameters of ``fetch``."""

    slice_: NotRequired[Slice | None]
    indices: NotRequired[Indices | Annotated[str, Field(description="the list as JSON")] | None]
    field: NotRequired[FieldName | None]
    format: NotRequired[Format | None]


NUMBERS_LENGTH = 2_000
"""Characters of the numbers in one request."""
MOST_NUMBERS = 2**20
"""Numbers in one request: ranges of many are few characters, but take 8 bytes a chunk."""
_ITEM = "[0-9]{1,12}(:[0-9]{1,12})?"
_PATTERN = rf"^{_ITEM}(,{_ITEM})*$"
_TEXT = re.compile(_PATTERN)
ChunkIds = npt.NDArray[np.int64]
ChunkNumbers = Annotated[
    str,
    Field(
        max_length=NUMBERS_LENGTH,
        pattern=_PATTERN,
        description="numbers, and ranges as in slices; ascending",
    ),
]


def parse_numbers(text: str, nchunks: int) -> ChunkIds:
    """Return the numbers that a text names, of a dataset with some chunks.

    Raises
    ------
    BadRequest
        If it is malformed, or the numbers do not ascend, or are too many.
    NotFound
        If there is no such chunk.
    """
    if len(text) > NUMBERS_LENGTH or not _TEXT.fullmatch(text):
        raise BadRequest(f"ids={text[:40]!r} are no numbers of chunks, such as 3,8:20")
    found, count, end = [], 0, 0
    for item in text.split(","):
        first, _, last = item.partition(":")
        start = int(first)
        stop = int(last) if last else start + 1
        if start < end or stop <= start:
            raise BadRequest(f"ids={text[:40]!r} do not ascend")
        if stop > nchunks:
            raise NotFound(f"chunk {stop - 1} of {nchunks} does not exist")
        count += stop - start
        if count > MOST_NUMBERS:
            raise BadRequest(f"ids={text[:40]!r} are more than {MOST_NUMBERS} chunks")
        found.append(np.arange(start, stop, dtype=np.int64))
        end = stop
    return np.concatenate(found)


def number_texts(ids: ChunkIds, most: int) -> Iterator[tuple[str, ChunkIds]]:
    """Divide ascending numbers among requests; yield the text of each, and its numbers.

    Parameters
    ----------
    ids : ndarray
    most : int
        Chunks of one request.
    """
    items: list[str] = []
    taken: list[ChunkIds] = []
    length = count = 0
    for run in _runs(ids, most):
        first, last = int(run[0]), int(run[-1])
        item = f"{first}:{last + 1}" if last > first else str(first)
        if items and (length + len(item) >= NUMBERS_LENGTH or count + len(run) > most):
            yield ",".join(items), np.concatenate(taken)
            items, taken, length, count = [], [], 0, 0
        items.append(item)
        taken.append(run)
        length, count = length + len(item) + 1, count + len(run)
    if items:
        yield ",".join(items), np.concatenate(taken)


def _runs(ids: ChunkIds, most: int) -> Iterator[ChunkIds]:
    for run in np.split(ids, np.flatnonzero(np.diff(ids) != 1) + 1):
        for start in range(0, len(run), most):
            yield run[start : start + most]
