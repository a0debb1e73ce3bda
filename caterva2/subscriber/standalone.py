"""A broker that is not there and never will be: what a subscriber that runs alone hears."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from caterva2.model import RootInfo
from caterva2.names import RootName


class NullAnnouncements:
    """The same face as `Announced`, and nothing behind it."""

    roots: Mapping[RootName, RootInfo] = {}
    told = True
    heard = False

    def start(self) -> None:
        """Nothing is to be opened."""

    async def close(self) -> None:
        """Nothing is to be closed."""

    def listen(self, name: RootName) -> None:
        """Nobody says anything about a root."""

    def leave(self, name: RootName) -> None:
        """The same."""

    async def follow(self) -> None:
        """Wait, for ever."""
        await asyncio.Event().wait()
