"""Null object for announcements: a subscriber without a broker."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from caterva2.model import RootInfo
from caterva2.names import RootName


class NullAnnouncements:
    """Stand in for `AnnouncementListener`: no root is ever announced."""

    roots: Mapping[RootName, RootInfo] = {}
    known = True
    connected = False
    quiet = False
    silent_for: float | None = None

    async def close(self) -> None:
        """Do nothing."""

    def listen(self, name: RootName) -> None:
        """Do nothing."""

    def ignore(self, name: RootName) -> None:
        """Do nothing."""

    async def follow(self) -> None:
        """Wait until cancelled."""
        await asyncio.Event().wait()
