"""When mirrors look at what has changed: all at once, so that many wake up the process once."""

from __future__ import annotations

import asyncio

from caterva2.runtime.tasks import until_tick

EVERY = 0.5
"""Seconds between two looks."""


async def look() -> None:
    """Wait for the next time at which all mirrors look."""
    await asyncio.sleep(until_tick(EVERY))
