"""Search in roots: by names in their indices, and by descriptions as far as these are known."""

from __future__ import annotations

import asyncio
import contextlib
import time
from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from caterva2.browsing.facts import KnownFacts
from caterva2.browsing.index import Index
from caterva2.browsing.query import Query
from caterva2.names import DatasetPath

_BATCH: Final = 1024
"""Datasets that are described between two looks at the clock."""


class Searched(Protocol):
    """A root that is searched."""

    @property
    def facts(self) -> KnownFacts:
        """The facts that are known of its datasets."""
        ...

    @property
    def is_described(self) -> bool:
        """Whether its datasets are being described in the background."""
        ...

    async def index(self) -> Index:
        """Return the index of its catalog as it is now."""
        ...

    async def learn(self, paths: Sequence[DatasetPath]) -> int:
        """Describe datasets to know their facts; return of how many these are known now."""
        ...

    def describe_later(self, paths: Sequence[DatasetPath]) -> bool:
        """Describe the datasets that a search left, in the background; return whether it does."""
        ...


@dataclass(slots=True)
class Bounds:
    """What a search may take: a monotonic time, and a number of datasets that are described."""

    until: float
    described: int

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.until - time.monotonic()


@dataclass(frozen=True, slots=True)
class Found:
    """The datasets of a root that were found, in order, and how many are not known well enough.

    ``named`` of them have all words. ``describing`` says whether more will soon be known.
    """

    paths: list[DatasetPath]
    unknown: int
    named: int = 0
    describing: bool = False

    def behind(self, after: str) -> list[DatasetPath]:
        """Return those that follow a path."""
        return self.paths[bisect_right(self.paths, after) if after else 0 :]


async def search(root: Searched, directory: str, query: Query, bounds: Bounds) -> Found | None:
    """Search the datasets below a directory of a root; None if there is no such directory.

    Datasets whose facts are not known are described within the bounds, unless these are too many
    and are being described anyway; the others stay unknown.
    """
    index = await root.index()
    below = await asyncio.to_thread(index.below, directory)
    if directory and not below and index.level(directory, "", 1) is None:
        return None
    named = await asyncio.to_thread(query.named, below)
    if not query.needs_facts:
        return Found(named, 0, len(named))
    found, unknown = await asyncio.to_thread(_fitting, named, root.facts, query)
    if unknown and not (root.is_described and len(unknown) > bounds.described):
        await _learn(root, unknown, bounds)
        found, unknown = await asyncio.to_thread(_fitting, named, root.facts, query)
    describing = bool(unknown) and root.describe_later(unknown)
    return Found(found, len(unknown), len(named), describing)


def _fitting(
    paths: Sequence[DatasetPath], facts: KnownFacts, query: Query
) -> tuple[list[DatasetPath], list[DatasetPath]]:
    """Return the datasets that pass the filters, and those of which that is not known."""
    found, unknown = list[DatasetPath](), list[DatasetPath]()
    fits, get = query.filter(), facts.get
    for path in paths:
        known = get(path)
        if known is None:
            unknown.append(path)
        elif fits(known):
            found.append(path)
    return found, unknown


async def _learn(root: Searched, paths: Collection[DatasetPath], bounds: Bounds) -> None:
    """Describe datasets until the bounds are reached, or the publisher tells nothing more."""
    rest = list(paths)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(max(bounds.left, 0)):
            while rest and bounds.described > 0:
                batch = rest[: min(_BATCH, bounds.described)]
                rest = rest[len(batch) :]
                bounds.described -= len(batch)
                if not await root.learn(batch):
                    return
