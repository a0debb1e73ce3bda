"""Overviews that are made once for a version and a query, and kept in memory."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from caterva2.arrays.overviews import Overview, Survey, cost
from caterva2.arrays.selection import count_chunks
from caterva2.errors import TooLarge
from caterva2.limits import Limits
from caterva2.names import DatasetPath, RootName
from caterva2.runtime.budget import Budget
from caterva2.runtime.lru import Lru
from caterva2.runtime.single_flight import SingleFlight
from caterva2.web.reader import Dataset

_FETCHED = 4
"""Bytes that are decoded while one is fetched, by which it is judged what takes long."""
Key = tuple[RootName, DatasetPath, str, Survey]


class Overviews:
    """Overviews of versions of datasets; several requests for one wait for one run.

    Of what takes long, the first answer is of a sample, and the next one exact. The work ends when
    the last client that waits for it has gone.

    Parameters
    ----------
    limits : Limits
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kept: Lru[Key, Overview] = Lru(
            limits.overviews.overviews_kept, lambda found: found.nbytes
        )
        self._flights: SingleFlight[Key, Overview] = SingleFlight()
        self._turns = Budget(limits.overviews.overviews)

    def plan(self, key: Key, dataset: Dataset, *, exact: bool | None) -> Survey:
        """Return the survey that answers a request now: the whole one, or one of a sample."""
        limits, whole = self._limits.overviews, key[-1]
        if key in self._kept:
            return whole
        decoded = cost(dataset.info, whole.selection)
        if decoded > limits.overview_bytes and exact:
            most = limits.overview_bytes
            raise TooLarge(f"{decoded} bytes would be read, OVERVIEW_BYTES is {most}")
        sample = replace(whole, coarse=limits.overview_sample)
        if exact is None and decoded <= limits.overview_bytes:
            taken = decoded + _FETCHED * _missing(dataset, whole)
            exact = taken <= limits.overview_exact or (*key[:-1], sample) in self._kept
        # Small arrays have no sample that is less work.
        return whole if exact or decoded <= limits.overview_sample else sample

    async def get(self, key: Key, dataset: Dataset) -> Overview:
        """Return an overview of a dataset, which has the version that the key names."""
        found = self._kept.get(key)
        if found is None:
            found = await self._flights.run(key, lambda: self._make(key, dataset))
        return found

    async def _make(self, key: Key, dataset: Dataset) -> Overview:
        hold = await self._turns.take(1, self._limits.wire.request_deadline)
        try:
            found = await dataset.survey(key[-1])
        finally:
            hold.release()
        self._kept.put(key, found)
        return found


def _missing(dataset: Dataset, survey: Survey) -> float:
    """Return the stored bytes of chunks that have to be fetched, about."""
    info = dataset.info
    if dataset.expression or not info.nchunks:
        return 0
    touched = count_chunks(survey.selection, info.chunks)
    away = (info.nchunks - dataset.cached_chunks) / info.nchunks
    return info.cbytes / info.nchunks * touched * away


def tag(key: Key, more: str = "") -> str:
    """Return the entity tag of an answer: by version and query."""
    text = repr((key[-1], more)).encode()
    return f'W/"{key[2]}-{hashlib.blake2b(text, digest_size=9).hexdigest()}"'
