"""Surveys: overviews of parts of datasets, read chunk by chunk in bounded memory."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from caterva2.arrays.fields import Values
from caterva2.arrays.overviews import Accumulation, Overview, Piece, Survey
from caterva2.arrays.selection import Selection, split
from caterva2.model import DatasetInfo
from caterva2.reading.bands import BAND, Place
from caterva2.reading.scope import ReadScope

T = TypeVar("T")
Bands = Iterator[tuple[Values | None, Place]]
_AT_ONCE = min(4, 1 + (os.cpu_count() or 1))
"""Parts that are fetched or reduced at once: one more than cores, since one waits to be joined."""


class Reduced(Protocol):
    """A dataset whose values are reduced where they are read."""

    @property
    def info(self) -> DatasetInfo: ...

    async def reduce(self, part: Selection, work: Callable[[Bands], T | None]) -> T:
        """Run work in a thread over the values of a part, which may come in bands."""
        ...


async def survey(dataset: Reduced, asked: Survey, scope: ReadScope) -> Overview:
    """Make an overview of one version of a dataset; what is missing of it is fetched."""
    shape, boxes = asked.boxes(dataset.info)
    made = Accumulation(asked, dataset.info, shape)
    parts = _parts(dataset.info, boxes, scope)
    tasks: deque[asyncio.Task[Piece]] = deque()
    try:
        while True:
            for part, place in itertools.islice(parts, _AT_ONCE - len(tasks)):
                tasks.append(asyncio.create_task(_piece(dataset, made, part, place)))
            if not tasks:
                return await asyncio.to_thread(made.result)
            piece = await tasks[0]
            tasks.popleft()
            await asyncio.to_thread(made.join, piece)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _parts(
    info: DatasetInfo, boxes: Iterator[tuple[Selection, Place]], scope: ReadScope
) -> Iterator[tuple[Selection, Place]]:
    """Divide boxes into parts of one chunk, or of a few small ones."""
    most = 1 if info.chunksize > 2 * BAND else scope.chunks_a_step(info)
    for box, at in boxes:
        for part, where in split(box, info.chunks, most):
            yield part, _moved(at, tuple(place.start for place in where))


async def _piece(dataset: Reduced, made: Accumulation, part: Selection, at: Place) -> Piece:
    def work(bands: Bands) -> Piece | None:
        whole = made.piece()
        for values, place in bands:
            if values is None:
                return None
            made.reduce(whole, values, _moved(at, place))
        return whole

    return await dataset.reduce(part, work)


def _moved(at: Place, by: Place) -> Place:
    return tuple(a + b for a, b in zip(at, by, strict=True))
