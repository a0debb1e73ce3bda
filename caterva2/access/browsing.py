"""The datasets of a root in order, and their descriptions, for a user who may read the root."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from caterva2.browsing.index import Index
from caterva2.errors import CatervaError
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath, RootName
from caterva2.special.computed.dataset import ComputedDataset
from caterva2.special.root import SpecialDataset, SpecialRoot
from caterva2.subscriber import descriptions
from caterva2.subscriber.remote_dataset import RemoteDataset
from caterva2.subscriber.remote_root import RemoteRoot

Opened = RemoteDataset | SpecialDataset | ComputedDataset
"""A dataset to be read."""
Described = Mapping[DatasetPath, DatasetInfo | Opened | CatervaError]


class RootBrowser:
    """A root to be browsed.

    Parameters
    ----------
    name : RootName
    content : SpecialRoot or RemoteRoot
    opened : callable
        Opens a dataset of a special root.
    """

    def __init__(
        self,
        name: RootName,
        content: SpecialRoot | RemoteRoot,
        opened: Callable[[RootName, DatasetPath], Awaitable[Opened]],
    ) -> None:
        self._name = name
        self._content = content
        self._open = opened

    async def index(self) -> Index:
        """Return the index of the catalog as it is now."""
        return await self._content.index()

    async def described(self, paths: Sequence[DatasetPath]) -> Described:
        """Describe some datasets; one that can't be described now has the error."""
        if isinstance(self._content, SpecialRoot):
            return await self._opened(paths)
        return await descriptions.some(self._content, paths, all_known=False)

    async def members(self, below: str, after: str, max_members: int) -> Described:
        """Describe the first datasets below a directory that follow a path, sorted."""
        if isinstance(self._content, SpecialRoot):
            return await self._opened(await self._content.page(below, after, max_members))
        return await descriptions.members(self._content, below, after, max_members)

    async def _opened(self, paths: Sequence[DatasetPath]) -> Described:
        found: dict[DatasetPath, DatasetInfo | Opened | CatervaError] = {}
        for path in paths:
            try:
                found[path] = await self._open(self._name, path)
            except CatervaError as error:
                found[path] = error
        return found
