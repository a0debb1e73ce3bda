"""When mirrors look at what has changed: all at once, so that many wake up the process once."""

from __future__ import annotations

import asyncio

EVERY = 0.5
"""Seconds between two looks."""


async def look() -> None:
    """Wait for the next time at which all mirrors look."""
    now = asyncio.get_running_loop().time()
    await asyncio.sleep(EVERY - now % EVERY)
