"""The datasets of a root in order, and their descriptions, for a user who may read the root."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from caterva2.browsing.facts import INDESCRIBABLE, Facts, KnownFacts
from caterva2.browsing.filling import Filling
from caterva2.browsing.index import Index
from caterva2.errors import CatervaError
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath, RootName
from caterva2.special.computed.dataset import ComputedDataset
from caterva2.special.root import SpecialDataset, SpecialRoot
from caterva2.subscriber import descriptions
from caterva2.subscriber.info_cache import OnFound, leave
from caterva2.subscriber.remote_dataset import RemoteDataset
from caterva2.subscriber.remote_root import RemoteRoot

Opened = RemoteDataset | SpecialDataset | ComputedDataset
"""A dataset to be read."""
Described = Mapping[DatasetPath, DatasetInfo | Opened | CatervaError]


_ANY = ""
"""In place of an etag, where facts do not depend on the version."""


def _facts(described: Described) -> dict[DatasetPath, tuple[str, Facts]]:
    """Return the facts of what is described, with the version; not of what may be later."""
    found: dict[DatasetPath, tuple[str, Facts]] = {}
    for path, one in described.items():
        if isinstance(one, CatervaError):
            if one.retry == "no":
                found[path] = _ANY, INDESCRIBABLE
        elif isinstance(one, ComputedDataset):  # its etag is that of its operands
            found[path] = _ANY, Facts.of(one.info)
        else:
            info = one if isinstance(one, DatasetInfo) else one.info
            found[path] = info.etag, Facts.of(info)
    return found


class RootBrowser:
    """A root to be browsed.

    Parameters
    ----------
    name : RootName
    content : SpecialRoot or RemoteRoot
    opened : callable
        Opens a dataset of a special root.
    filling : Filling
    """

    def __init__(
        self,
        name: RootName,
        content: SpecialRoot | RemoteRoot,
        opened: Callable[[RootName, DatasetPath], Awaitable[Opened]],
        filling: Filling,
    ) -> None:
        self._name = name
        self._content = content
        self._open = opened
        self._filling = filling

    async def index(self) -> Index:
        """Return the index of the catalog as it is now."""
        return await self._content.index()

    async def described(self, paths: Sequence[DatasetPath]) -> Described:
        """Describe some datasets; one that can't be described now has the error."""
        if isinstance(self._content, SpecialRoot):
            return await self._opened(paths)
        return await descriptions.some(self._content, paths, all_known=False)

    @property
    def facts(self) -> KnownFacts:
        """The facts that are known of the datasets."""
        return self._content.browsed.facts

    async def learn(self, paths: Sequence[DatasetPath]) -> int:
        """Describe datasets to know their facts; return of how many these are known now."""
        described = await self.described(paths)
        made = await asyncio.to_thread(_facts, described)
        for path, (version, facts) in made.items():
            entry = self._content.entries.get(path)
            if entry is not None and version in (entry.etag, _ANY):
                self.facts.put(path, facts)
        return len(made)

    @property
    def is_described(self) -> bool:
        """Whether the datasets are being described in the background."""
        return self._filling.describes(self._name)

    def describe_later(self, paths: Sequence[DatasetPath]) -> bool:
        """Describe the datasets that a search left, in the background; return whether it does."""
        if isinstance(self._content, SpecialRoot):
            return False
        return self._filling.start(self._name, self, paths)

    async def members(
        self, below: str, after: str, max_members: int, on_found: OnFound = leave
    ) -> Described:
        """Describe the first datasets below a directory that follow a path, sorted.

        For ``on_found`` see `InfoCache.many`.
        """
        if isinstance(self._content, SpecialRoot):
            return await self._opened(await self._content.page(below, after, max_members))
        return await descriptions.members(self._content, below, after, max_members, on_found)

    async def _opened(self, paths: Sequence[DatasetPath]) -> Described:
        found: dict[DatasetPath, DatasetInfo | Opened | CatervaError] = {}
        for path in paths:
            try:
                found[path] = await self._open(self._name, path)
            except CatervaError as error:
                found[path] = error
        return found
