"""Contract of the web application with a root that is browsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from caterva2.browsing.search import Searched
from caterva2.names import DatasetPath

if TYPE_CHECKING:
    from caterva2.web.reader import Member


class Browser(Searched, Protocol):
    """A root to be browsed."""

    async def described(self, paths: Sequence[DatasetPath]) -> Mapping[DatasetPath, Member]:
        """Describe some datasets; one that can't be described now has the error as its value."""
        ...
